//! The stand-in over real sockets, asked by a client that checks certificates.

mod auth;
mod client;
mod faults;
mod login;
mod management;
mod self_service;

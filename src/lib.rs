//! A reverse proxy for Frontegg's MFA routes.
//!
//! # Floors
//!
//! A module uses only modules of lower floors; inside its own folder it is free.
//!
//! ```text
//! 10 cli                                         the commands
//! 9  app · sandbox                               wire everything, own the life cycle; a vendor to try it on
//! 8  edge                                        sockets, connections, admin endpoints
//! 7  gateway                                     the way of one request: read this first
//! 6  upstream                                    builds what leaves from receipts, sends it
//! 5  limit · credential · jwks · audit · telemetry
//!                                                own state, do I/O, don't know each other
//! 4  otlp · refresh                              takes messages to a collector; keeps a value fresh
//! 3  caller · client_ip · subject · event · body · net   read a request; the audit record as data; TLS
//! 2  config                                      the settings
//! 1  jwt · route                                 tokens of others; the allow-list
//! 0  model · json                                words; JSON written by hand
//! ```

#![forbid(unsafe_code)]

pub mod app;
pub mod audit;
pub mod body;
pub mod caller;
pub mod cli;
pub mod client_ip;
pub mod config;
pub mod credential;
pub mod edge;
pub mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
mod json;
pub mod jwks;
pub mod jwt;
pub mod limit;
pub mod model;
pub mod net;
pub mod otlp;
mod refresh;
pub mod route;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod subject;
pub mod telemetry;
pub mod upstream;

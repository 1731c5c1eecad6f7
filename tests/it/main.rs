//! The built gateway against a stand-in vendor, over real sockets. One binary, because linking
//! is what costs; the list of modules is the table of contents.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may fail, and says so by panicking"
)]

mod address;
mod admin;
mod audit_collector;
mod audit_commands;
mod audit_crash;
mod audit_faults;
mod begun;
mod bypasses;
mod canaries;
mod cli;
mod credential;
mod drain;
mod faults;
mod floors;
mod headers;
mod identity;
mod javascript;
mod limits;
mod listeners;
mod operations;
mod outages;
mod pseudo_headers;
mod refusals;
mod reload;
mod sandbox;
mod service_accounts;
mod shared_store;
mod shown_by;
mod signals;
mod smuggling;
mod support;
mod traces;
mod user_tokens;

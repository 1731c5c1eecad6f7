//! OTLP over HTTP: takes a message to a collector, and says whether the collector took it.
//!
//! One attempt is [`Client::post`]; [`Client::deliver`] tries again as the protocol has it (OTLP
//! 1.x, "OTLP/HTTP response") until its deadline. What is in a message, and what to do with one
//! that is not taken, is left to `audit` and `telemetry`.
//!
//! SECURITY: a client knows its collector from the start, and no credential of anybody's is ever
//! given to it.

mod client;
mod failure;
pub mod messages;
mod words;

pub use client::Client;
pub use failure::Failure;
pub use words::{about_us, number, scope, text};

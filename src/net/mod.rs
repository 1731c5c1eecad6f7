//! How to reach the vendor, and whoever else is asked: name, TCP, egress proxy, TLS.
//!
//! A [`Connector`] is made for one host and reaches no other. It verifies the host's
//! certificate, always: nothing can switch that off but to ask for a way without TLS, which only
//! a collector of telemetry has. Everything that could be wrong with
//! the configuration is found when it is made, everything that goes wrong later is a
//! [`ConnectError`], and all steps of a connection share one budget of time.
//!
//! What is said over a connection is left to `credential`, `jwks`, `otlp` and `upstream`.

mod connector;
mod egress;
mod error;
mod reach;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use http::HeaderValue;

pub use connector::Connector;
pub(crate) use error::root_cause;
pub use error::{ConnectError, NamedBy, SetupError, Step};
pub use reach::{Probe, Reach, Reached};
pub use stream::Stream;

/// Says who asks, where the gateway does for itself.
pub const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("mfa-gateway/", env!("CARGO_PKG_VERSION")));

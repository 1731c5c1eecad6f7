//! How a host is to be reached, and how far that came.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ProtocolVersion, RootCertStore};

use super::error::{ConnectError, NamedBy};
use crate::config::{Egress, Frontegg};

/// How a host is reached.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Whose certificates are believed.
    pub roots: &'a Arc<RootCertStore>,
    /// What is in between.
    pub proxy: &'a Egress,
    /// Time to connect, name and TLS included.
    pub connect_timeout: Duration,
    /// Where a person mends what is wrong.
    pub named_by: &'static NamedBy,
}

impl<'a> Reach<'a> {
    /// As the vendor is.
    #[must_use]
    pub const fn vendor(settings: &'a Frontegg) -> Self {
        Self {
            roots: &settings.roots,
            proxy: &settings.proxy,
            connect_timeout: settings.connect_timeout,
            named_by: NamedBy::VENDOR,
        }
    }
}

/// A step that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The name has these addresses.
    Resolved {
        /// Host and port, the proxy's where there is one.
        hop: Arc<str>,
        /// At least one.
        addresses: Vec<SocketAddr>,
    },
    /// There is a TCP connection.
    Connected(SocketAddr),
    /// The egress proxy opened a tunnel.
    Tunnelled,
    /// The host's certificate is good.
    Secured {
        /// TLS 1.2 or 1.3.
        version: Option<ProtocolVersion>,
        /// Whether HTTP/2 was chosen.
        http2: bool,
    },
}

/// How far a trial connection came.
#[derive(Debug)]
pub struct Probe {
    /// What worked, in order.
    pub reached: Vec<Reached>,
    /// What didn't.
    pub result: Result<(), ConnectError>,
}

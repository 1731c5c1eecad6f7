//! What one listener asks of its connections; of their requests its [`Entrance`] does.

use std::sync::Arc;

use tokio::{io::AsyncRead, sync::Semaphore};

use super::{
    proxy,
    timeouts::{ConnectionError, ConnectionTimeouts},
    tls::Identity,
};
use crate::{client_ip::Source, config::Listen, event::Peer, gateway::Entrance};

/// What one address asks of its connections.
#[derive(Debug)]
pub struct ConnectionRules {
    pub(super) entrance: Arc<Entrance>,
    pub(super) timeouts: ConnectionTimeouts,
    pub(super) max_headers: usize,
    pub(super) tls: Option<Arc<Identity>>,
    /// Whether connections start with a PROXY protocol header.
    proxied: bool,
    pub(super) connections: Arc<Semaphore>,
}

impl ConnectionRules {
    /// Of one address of `listen`; `connections` is shared with its other addresses.
    #[must_use]
    pub fn new(
        listen: &Listen,
        entrance: Entrance,
        tls: Option<Arc<Identity>>,
        connections: Arc<Semaphore>,
    ) -> Self {
        Self {
            entrance: Arc::new(entrance),
            timeouts: ConnectionTimeouts {
                header: listen.header_timeout,
                idle: listen.idle_timeout,
            },
            max_headers: listen.max_headers,
            tls,
            proxied: listen.proxy_protocol,
            connections,
        }
    }

    /// Where requests of a new connection say from where the user comes. With the PROXY protocol
    /// that is read from the connection's first bytes, and believed of trusted proxies alone.
    pub(super) async fn source<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        peer: Peer,
    ) -> Result<Source, ConnectionError> {
        let proxies = self.entrance.proxies();
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        };
        let source = Source::of_peer(proxies, address);
        match (self.proxied, source) {
            (false, source) => Ok(source),
            (true, Source::Nowhere) => Err(ConnectionError::NotFromProxy),
            (true, Source::Headers | Source::Known(_)) => {
                let origin = proxy::read(stream).await?;
                Ok(Source::of_proxied(proxies, origin))
            }
        }
    }
}

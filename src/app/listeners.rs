//! The sockets that callers reach it by: all are bound before the first is served.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::StartError;
use crate::{
    config::Listen,
    edge::{ConnectionRules, Identity, Listener, UnixAccess},
    gateway::Entrance,
};

/// Every address of every `[listen]`, and what they share.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) bound: Vec<(Listener, Arc<ConnectionRules>)>,
    /// Of each `[listen]`.
    pub(super) in_flight: Vec<InFlight>,
    /// Certificates, to be renewed.
    pub(super) identities: Vec<Arc<Identity>>,
}

/// The room for requests in flight of one `[listen]`.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) permits: Arc<Semaphore>,
    pub(super) most: u32,
}

impl Listeners {
    /// Binds every address.
    pub(super) fn bind(listens: &[Listen]) -> Result<Self, StartError> {
        let mut listeners = Self {
            bound: Vec::new(),
            in_flight: Vec::new(),
            identities: Vec::new(),
        };
        for listen in listens {
            listeners.add(listen)?;
        }
        Ok(listeners)
    }

    fn add(&mut self, listen: &Listen) -> Result<(), StartError> {
        let tls = listen.tls.as_ref().map(Identity::load).transpose()?;
        let tls = tls.map(Arc::new);
        let requests = Arc::new(Semaphore::new(listen.max_in_flight.get()));
        let connections = Arc::new(Semaphore::new(listen.max_connections.get()));
        let access = UnixAccess {
            mode: listen.unix_mode,
            group: listen.unix_group,
        };
        for bind in &listen.addresses {
            let Some(listener) = Listener::bind(bind, access)? else {
                continue;
            };
            let entrance = Entrance::new(listen, bind, Arc::clone(&requests));
            // the file's permissions guard a unix socket, and TLS would add nothing
            let tls = tls.clone().filter(|_tls| listener.is_tcp());
            let rules = ConnectionRules::new(listen, entrance, tls, Arc::clone(&connections));
            self.bound.push((listener, Arc::new(rules)));
        }
        self.in_flight.push(InFlight {
            permits: requests,
            most: u32::try_from(listen.max_in_flight.get()).unwrap_or(u32::MAX),
        });
        self.identities.extend(tls);
        Ok(())
    }
}

//! What the stand-in received, for tests to look at.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Version, request::Parts};
use tokio::sync::watch;

use super::{super::locked::Locked, endpoint::Endpoint};

/// How many requests are kept; of older ones only the count is.
const KEPT: usize = 10_000;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its last byte had come.
    pub at: SystemTime,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// What it was for.
    pub endpoint: Endpoint,
    /// All header fields, in the order in which they came; fields of one name stand together.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Received {
    pub(super) fn new(
        head: &Parts,
        body: Bytes,
        endpoint: Endpoint,
        (connection, peer): (u64, SocketAddr),
    ) -> Self {
        let target = head.uri.path_and_query();
        Self {
            at: SystemTime::now(),
            connection,
            peer,
            version: head.version,
            method: head.method.clone(),
            target: target.map_or_else(String::new, ToString::to_string),
            endpoint,
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body,
        }
    }

    /// The value of the first field of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_name, value) = self.headers.iter().find(|(found, _)| found == name)?;
        value.to_str().ok()
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// All that was received.
#[derive(Debug)]
pub(super) struct Journal {
    kept: Locked<VecDeque<Received>>,
    counts: Locked<HashMap<Endpoint, u64>>,
    changed: watch::Sender<()>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            kept: Locked::default(),
            counts: Locked::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn write(&self, received: Received) {
        let endpoint = received.endpoint;
        self.kept.with(|kept| {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(received);
        });
        self.counts.with(|counts| {
            let count = counts.entry(endpoint).or_default();
            *count = count.saturating_add(1);
        });
        self.changed.send_replace(());
    }

    pub(super) fn read(&self) -> Vec<Received> {
        self.kept.with(|kept| kept.iter().cloned().collect())
    }

    pub(super) fn count(&self, endpoint: Endpoint) -> u64 {
        self.counts
            .with(|counts| counts.get(&endpoint).copied().unwrap_or_default())
    }

    pub(super) fn clear(&self) {
        self.kept.with(VecDeque::clear);
        self.counts.with(HashMap::clear);
    }

    /// Tells of everything that comes in.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Something other than a request changed that someone may wait for: connections.
    pub(super) fn touch(&self) {
        self.changed.send_replace(());
    }
}

//! The connection that a request took from the pool.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};

use super::IDLE;
use crate::net::ConnectedSince;

/// Watches which connection a request takes. Unless it is given back, it is never used again.
pub(super) struct Taken {
    connection: CaptureConnection,
    sound: bool,
}

/// The age at which a connection isn't used any more.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

impl Taken {
    pub(super) fn watch(request: &mut Request<Full<Bytes>>) -> Self {
        Self {
            connection: capture_connection(request),
            sound: false,
        }
    }

    /// Whether there is one: before, no byte can have left.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.connection_metadata().is_some()
    }

    /// Its exchange came to a good end.
    pub(super) fn give_back(mut self) {
        self.sound = true;
    }

    /// Lets it do no other request if it could be too old by the time of the next.
    pub(super) fn retire_if_old<B>(&self, answer: &Response<B>) {
        let since = answer.extensions().get::<ConnectedSince>();
        let oldest = LONGEST_LIFE.saturating_sub(IDLE);
        if since.is_none_or(|since| since.0.elapsed() >= oldest) {
            self.retire();
        }
    }

    fn retire(&self) {
        if let Some(connection) = &*self.connection.connection_metadata() {
            connection.poison();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.sound {
            self.retire();
        }
    }
}

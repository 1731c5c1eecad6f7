//! Sends a request to the vendor, once, and takes the answer.
//!
//! Each worker has an [`Upstream`] of its own, with its own connections, so that no request
//! wakes another thread. What leaves is decided in `request`, what comes back in `reply`.
//!
//! # Never sent twice
//!
//! A request is given to another connection only where one hands it back, which it does only
//! for one of which no byte was begun to be written: the vendor had closed a pooled connection
//! before. Everything else ends in an [`UpstreamError`] that says whether a byte may have left;
//! in doubt it may. Trying again after an answer is the gateway's decision.
//!
//! # Connections
//!
//! Idle for 50 s at most, and ten minutes old at most, so that a change of the vendor's
//! addresses is seen. One over which a request timed out, broke or was abandoned is not used again.
//! Over HTTP/2 many requests share one; where it has no room, another is opened.

mod address;
mod connection;
mod cookies;
mod credential;
mod error;
mod http1;
mod http2;
mod names;
mod pool;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

pub use address::AddressProof;
use connection::{Connection, Failure};
pub use credential::Credential;
pub use error::{NotSent, UpstreamError};
use pool::Pool;
pub use reply::{MAX_ANSWER, Reply};
pub use request::{Blueprint, Outgoing, UpstreamRequest};

use crate::{model::Deadline, net::Connector};

/// For fuzzing: reads any bytes as the vendor's answer.
#[cfg(any(test, fuzzing))]
pub(crate) fn answer_is_one_however_it_comes(data: &[u8]) {
    http1::is_one_however_it_comes(data);
}

/// One worker's way to the identity API.
pub struct Upstream {
    pool: Arc<Pool>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// With connections of its own. The connector may be a clone, so that workers share TLS
    /// sessions.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        let pool = Pool::new(connector);
        Self { pool }
    }

    /// Sends the request and takes the whole answer. Dropping the future before its end closes
    /// the connection that it had taken.
    ///
    /// # Errors
    /// [`UpstreamError`] where there is no whole answer; the vendor's refusals are answers.
    pub async fn send(
        &self,
        request: UpstreamRequest,
        deadline: Deadline,
    ) -> Result<Reply, UpstreamError> {
        while let Some(connection) = self.pool.take() {
            match self.exchange(connection, &request, deadline).await {
                Err(Failure::HandedBack(_error)) => {}
                Err(Failure::Lost(error)) => return Err(error),
                Ok(reply) => return Ok(reply),
            }
        }
        let connection = deadline.run(self.pool.connect()).await;
        let connection = connection.unwrap_or(Err(NotSent::Timeout));
        let connection = connection.map_err(UpstreamError::NotSent)?;
        match self.exchange(connection, &request, deadline).await {
            Err(Failure::HandedBack(error)) => Err(UpstreamError::NotSent(NotSent::Dropped(error))),
            Err(Failure::Lost(error)) => Err(error),
            Ok(reply) => Ok(reply),
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: &UpstreamRequest,
        deadline: Deadline,
    ) -> Result<Reply, Failure> {
        let reply = connection.exchange(request, deadline).await?;
        self.pool.give_back(connection);
        Ok(reply)
    }
}

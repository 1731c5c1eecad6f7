//! Sends a request to the vendor, once, and takes the answer.
//!
//! Each worker has an [`Upstream`] of its own, with its own connections, so that no request
//! wakes another thread. What leaves is decided in `request`, what comes back in `reply`.
//!
//! # Never sent twice
//!
//! A request is given to another connection only where hyper hands it back, which it does only
//! for one of which it has not begun to write a byte: the vendor had closed a pooled connection
//! before. Everything else ends in an [`UpstreamError`] that says whether a byte may have left;
//! in doubt it may. Trying again after an answer is the gateway's decision.
//!
//! # Connections
//!
//! Idle for 50 s at most, and ten minutes old at most, so that a change of the vendor's
//! addresses is seen. One over which a request timed out, broke or was abandoned is not used again.

mod address;
mod cookies;
mod credential;
mod error;
mod names;
mod reply;
mod request;
mod taken;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

pub use address::AddressProof;
pub use credential::Credential;
pub use error::{NotSent, UpstreamError};
pub use reply::{MAX_ANSWER, Reply};
pub use request::{Blueprint, Outgoing, UpstreamRequest};
use taken::Taken;

use crate::{model::Deadline, net::Connector};

/// One worker's way to the identity API.
#[derive(Debug)]
pub struct Upstream {
    client: Client<Connector, Full<Bytes>>,
}

/// A connection that nobody uses is given up after this.
const IDLE: Duration = Duration::from_secs(50);

/// An HTTP/2 connection is asked after this whether it is still there,
const PING: Duration = Duration::from_secs(15);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(10);

impl Upstream {
    /// With a pool of its own. The connector may be a clone, so that workers share TLS sessions.
    #[must_use]
    pub fn new(connector: Connector) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PONG)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Self { client }
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
        let mut request = request.into_http();
        let taken = Taken::watch(&mut request);
        let exchange = async {
            let answer = self.client.request(request).await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(UpstreamError::SwitchedProtocols);
            }
            taken.retire_if_old(&answer);
            let (head, body) = answer.into_parts();
            if body.size_hint().lower() > MAX_ANSWER.try_into().unwrap_or(u64::MAX) {
                return Err(UpstreamError::AnswerTooLarge);
            }
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_too_large) => UpstreamError::AnswerTooLarge,
                Err(error) => UpstreamError::Broken(error),
            })?;
            Ok(Reply::new(head.status, head.headers, body.to_bytes()))
        };
        match deadline.run(exchange).await {
            Ok(Ok(reply)) => {
                taken.give_back();
                Ok(reply)
            }
            Ok(Err(error)) => Err(error),
            Err(_elapsed) if taken.is_connected() => Err(UpstreamError::Timeout),
            Err(_elapsed) => Err(UpstreamError::NotSent(NotSent::Timeout)),
        }
    }
}

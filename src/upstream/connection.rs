//! A connection to the vendor, in the protocol that both ends have chosen.
//!
//! With HTTP/1.1 whoever uses a connection also drives it: no task of its own, no wake-up from
//! one to the other. With HTTP/2 many use it at once, so there it has a task.

use std::error::Error;

use http::{HeaderValue, uri::Authority};

use super::{Reply, UpstreamError, UpstreamRequest, http1::Http1, http2::Http2};
use crate::{model::Deadline, net::Stream};

/// The vendor's host, as each protocol names it.
pub(super) struct Host {
    header: HeaderValue,
    authority: Authority,
}

impl Host {
    pub(super) fn new(authority: &Authority) -> Self {
        let named = if authority.port_u16() == Some(443) {
            authority.host() // the usual port is left out (RFC 9110, section 7.2)
        } else {
            authority.as_str()
        };
        #[expect(clippy::expect_used, reason = "an authority is visible ASCII")]
        let header = HeaderValue::from_str(named).expect("a host");
        Self {
            header,
            authority: authority.clone(),
        }
    }
}

/// Why an exchange brought no answer.
pub(super) enum Failure {
    /// No byte of the request was written.
    HandedBack(Box<dyn Error + Send + Sync>),
    /// It may have left.
    Lost(UpstreamError),
}

/// A connection that is there for one exchange, or for many at once.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

impl Connection {
    /// Begins to speak what both ends have chosen.
    pub(super) async fn open(stream: Stream, host: &Host) -> Result<Self, h2::Error> {
        if stream.is_http2() {
            let http2 = Http2::open(stream, host.authority.clone()).await?;
            return Ok(Self::Http2(http2));
        }
        Ok(Self::Http1(Box::new(Http1::new(stream, &host.header))))
    }

    /// Sends the request and takes the whole answer, unless the deadline passes first.
    pub(super) async fn exchange(
        &mut self,
        request: &UpstreamRequest,
        deadline: Deadline,
    ) -> Result<Reply, Failure> {
        match self {
            Self::Http1(connection) => connection.exchange(request, deadline).await,
            Self::Http2(connection) => {
                // boxed: else every request's future would reserve space for it
                let exchange = Box::pin(connection.exchange(request));
                let reply = deadline.run(exchange).await;
                reply.unwrap_or(Err(Failure::Lost(UpstreamError::Timeout)))
            }
        }
    }
}

//! A connection to the vendor in HTTP/2, which many exchanges share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Uri,
    uri::{Authority, Parts, Scheme},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::{TrySendError, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{
    MAX_ANSWER, Reply, UpstreamError, UpstreamRequest, connection::Failure, reply::Passed,
};
use crate::net::Stream;

/// A connection is asked after this whether it is still there,
const PING: Duration = Duration::from_secs(15);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(10);

/// A connection that many exchanges share.
#[derive(Clone)]
pub(super) struct Http2 {
    authority: Authority,
    sender: http2::SendRequest<Full<Bytes>>,
    pub(super) made: Instant,
    /// An exchange over it came to no good end, so nobody begins another.
    doubtful: Arc<AtomicBool>,
}

impl Http2 {
    pub(super) async fn open(stream: Stream, authority: Authority) -> hyper::Result<Self> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        drop(tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection to the vendor ended");
            }
        }));
        Ok(Self {
            authority,
            sender,
            made: Instant::now(),
            doubtful: Arc::default(),
        })
    }

    /// Sends the request and takes the whole answer.
    pub(super) async fn exchange(&mut self, request: &UpstreamRequest) -> Result<Reply, Failure> {
        let sent = self.absolute(request);
        let mut doubt = Doubt {
            doubtful: &self.doubtful,
            whole: false,
        };
        let reply = match self.sender.try_send_request(sent).await {
            Ok(answer) => whole(answer).await.map_err(Failure::Lost),
            Err(error) => Err(not_answered(error)),
        };
        doubt.whole = reply.is_ok();
        reply
    }

    /// HTTP/2 names the host in the URI (RFC 9113, section 8.3.1).
    fn absolute(&self, request: &UpstreamRequest) -> Request<Full<Bytes>> {
        let mut uri = Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(request.target().clone());
        #[expect(
            clippy::expect_used,
            reason = "scheme, authority and path are there, and that is all that is asked"
        )]
        let uri = Uri::from_parts(uri).expect("a URI of all its parts");
        let mut sent = Request::new(Full::new(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = uri;
        *sent.headers_mut() = request.headers();
        sent
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.doubtful.load(Ordering::Relaxed) && self.sender.is_ready()
    }
}

/// An exchange that fails, or is given up, casts doubt on its connection.
struct Doubt<'c> {
    doubtful: &'c AtomicBool,
    whole: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.doubtful.store(true, Ordering::Relaxed);
        }
    }
}

/// Takes the whole answer.
async fn whole(answer: Response<Incoming>) -> Result<Reply, UpstreamError> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamError::SwitchedProtocols);
    }
    let (head, body) = answer.into_parts();
    if body.size_hint().lower() > MAX_ANSWER.try_into().unwrap_or(u64::MAX) {
        return Err(UpstreamError::AnswerTooLarge);
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_too_large) => UpstreamError::AnswerTooLarge,
        Err(error) => UpstreamError::Broken(error),
    })?;
    let passed = Passed::of(head.headers);
    Ok(Reply::new(head.status, passed, body.to_bytes()))
}

/// Whether it may have left.
fn not_answered(mut error: TrySendError<Request<Full<Bytes>>>) -> Failure {
    let unsent = error.take_message().is_some();
    let error = error.into_error();
    if unsent {
        Failure::HandedBack(error.into())
    } else if error.is_parse() {
        Failure::Lost(UpstreamError::BadAnswer(error.into()))
    } else {
        Failure::Lost(UpstreamError::Broken(error.into()))
    }
}

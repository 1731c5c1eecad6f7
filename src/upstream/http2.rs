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
    uri::{Authority, Scheme},
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
    pub(super) async fn exchange(
        &mut self,
        request: &mut UpstreamRequest,
    ) -> Result<Reply, Failure> {
        let (mut head, body) = request.take().into_parts();
        head.uri = self.absolute(head.uri);
        let sent = Request::from_parts(head, Full::new(body.clone()));
        let mut doubt = Doubt {
            doubtful: &self.doubtful,
            whole: false,
        };
        let reply = match self.sender.try_send_request(sent).await {
            Ok(answer) => whole(answer).await.map_err(Failure::Lost),
            Err(error) => Err(not_answered(error, body, request)),
        };
        doubt.whole = reply.is_ok();
        reply
    }

    /// HTTP/2 names the host in the URI (RFC 9113, section 8.3.1).
    fn absolute(&self, path: Uri) -> Uri {
        let mut parts = path.into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        #[expect(
            clippy::expect_used,
            reason = "scheme, authority and path are there, and that is all that is asked"
        )]
        Uri::from_parts(parts).expect("a URI of all its parts")
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

/// What is handed back becomes the `request` that it was.
fn not_answered(
    mut error: TrySendError<Request<Full<Bytes>>>,
    body: Bytes,
    request: &mut UpstreamRequest,
) -> Failure {
    let message = error.take_message();
    let error = error.into_error();
    match message {
        Some(unsent) => {
            request.put_back(unsent.into_parts().0, body);
            Failure::HandedBack(error.into())
        }
        None if error.is_parse() => Failure::Lost(UpstreamError::BadAnswer(error.into())),
        None => Failure::Lost(UpstreamError::Broken(error.into())),
    }
}

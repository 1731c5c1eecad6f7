//! One connection to the vendor, and one exchange over it.
//!
//! With HTTP/1.1 whoever uses a connection also drives it: no task of its own, no wake-up from
//! one to the other. With HTTP/2 many use it at once, so there it has a task.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::HOST,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use super::{MAX_ANSWER, Reply, UpstreamError, UpstreamRequest};
use crate::net::Stream;

/// An HTTP/2 connection is asked after this whether it is still there,
const PING: Duration = Duration::from_secs(15);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(10);

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
    /// No byte of the request was written, and here it is again.
    HandedBack(Box<UpstreamRequest>, hyper::Error),
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
    pub(super) async fn open(stream: Stream, host: &Host) -> hyper::Result<Self> {
        if stream.is_http2() {
            Http2::open(stream, host).await.map(Self::Http2)
        } else {
            let http1 = Http1::open(stream, host).await?;
            Ok(Self::Http1(Box::new(http1)))
        }
    }

    /// Sends the request and takes the whole answer.
    pub(super) async fn exchange(&mut self, request: UpstreamRequest) -> Result<Reply, Failure> {
        match self {
            Self::Http1(connection) => connection.exchange(request).await,
            Self::Http2(connection) => connection.exchange(request).await,
        }
    }
}

type Driver = http1::Connection<Stream, Full<Bytes>>;

/// A connection that does one exchange after another.
pub(super) struct Http1 {
    host: HeaderValue,
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    pub(super) made: Instant,
}

impl Http1 {
    async fn open(stream: Stream, host: &Host) -> hyper::Result<Self> {
        // small head and small body: one buffer is cheaper than two slices
        let (sender, driver) = http1::Builder::new()
            .writev(false)
            .handshake(stream)
            .await?;
        Ok(Self {
            host: host.header.clone(),
            sender,
            driver: Some(Box::pin(driver)),
            made: Instant::now(),
        })
    }

    async fn exchange(&mut self, request: UpstreamRequest) -> Result<Reply, Failure> {
        let mut request = request.into_http();
        request.headers_mut().insert(HOST, self.host.clone());
        let mut work = pin!(answer(self.sender.try_send_request(request)));
        let driver = &mut self.driver;
        poll_fn(|task| {
            // The request and the connection wake each other, and both are polled here: so once
            // for what is between them, with a waker that does nothing, and once for the socket.
            let mut nobody = Context::from_waker(Waker::noop());
            drive(driver, &mut nobody);
            let done = work.as_mut().poll(&mut nobody);
            if done.is_ready() {
                return done;
            }
            drive(driver, task);
            work.as_mut().poll(task)
        })
        .await
    }

    /// Whether it can take a request. Nobody drives it while it is idle, so this looks whether
    /// the vendor has closed it.
    pub(super) fn is_ready(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Tells the vendor that no more will come. What can't be told at once isn't.
    pub(super) fn close(self) {
        let Self {
            sender, mut driver, ..
        } = self;
        drop(sender);
        drive(&mut driver, &mut Context::from_waker(Waker::noop()));
    }
}

fn drive(driver: &mut Option<Pin<Box<Driver>>>, context: &mut Context<'_>) {
    let ended = driver
        .as_mut()
        .is_some_and(|driver| driver.as_mut().poll(context).is_ready());
    if ended {
        // what it ended with was told to the request that was on it
        *driver = None;
    }
}

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
    async fn open(stream: Stream, host: &Host) -> hyper::Result<Self> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .keep_alive_while_idle(true)
            .handshake(stream)
            .await?;
        drop(tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection to the vendor ended");
            }
        }));
        Ok(Self {
            authority: host.authority.clone(),
            sender,
            made: Instant::now(),
            doubtful: Arc::default(),
        })
    }

    async fn exchange(&mut self, request: UpstreamRequest) -> Result<Reply, Failure> {
        let (mut head, body) = request.into_http().into_parts();
        head.uri = self.absolute(head.uri);
        let request = Request::from_parts(head, body);
        let mut doubt = Doubt {
            doubtful: &self.doubtful,
            whole: false,
        };
        let reply = answer(self.sender.try_send_request(request)).await;
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
async fn answer<R>(sent: R) -> Result<Reply, Failure>
where
    R: Future<Output = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>>,
{
    let answer = sent.await.map_err(not_answered)?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Lost(UpstreamError::SwitchedProtocols));
    }
    let (head, body) = answer.into_parts();
    if body.size_hint().lower() > MAX_ANSWER.try_into().unwrap_or(u64::MAX) {
        return Err(Failure::Lost(UpstreamError::AnswerTooLarge));
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_too_large) => Failure::Lost(UpstreamError::AnswerTooLarge),
        Err(error) => Failure::Lost(UpstreamError::Broken(error)),
    })?;
    Ok(Reply::new(head.status, head.headers, body.to_bytes()))
}

fn not_answered(mut error: TrySendError<Request<Full<Bytes>>>) -> Failure {
    let message = error.take_message();
    let error = error.into_error();
    match message {
        Some(request) => Failure::HandedBack(Box::new(UpstreamRequest::unsent(request)), error),
        None if error.is_parse() => Failure::Lost(UpstreamError::BadAnswer(error.into())),
        None => Failure::Lost(UpstreamError::Broken(error.into())),
    }
}

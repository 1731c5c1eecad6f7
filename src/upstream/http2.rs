//! A connection to the vendor in HTTP/2, which many exchanges share.
//!
//! On `h2` itself. hyper's client hands a request through a channel to one task, which gives it to
//! another for as long as it lasts: a ninth of the instructions of a request (`tests/bench/README.md`).
//! Here whoever asks begins a stream and waits for it, and one task moves the frames of all.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{
    Ping, PingPong, RecvStream,
    client::{Builder, SendRequest},
};
use http::{
    Request, Response, StatusCode, Uri,
    uri::{Authority, Parts, Scheme},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    MAX_ANSWER, Reply, UpstreamError, UpstreamRequest, connection::Failure, reply::Passed,
};
use crate::net::Stream;

/// A connection is asked after this whether it is still there,
const PING: Duration = Duration::from_secs(15);
/// and has this long to say so.
const PONG: Duration = Duration::from_secs(10);

/// Bytes of one answer that may come before some of them are read: all that are taken of one.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes of all answers over a connection that may come before some of them are read.
const CONNECTION_WINDOW: u32 = 5 * STREAM_WINDOW;
/// Bytes of an answer's headers that are taken.
const MAX_HEADERS: u32 = 16 * 1024;
/// Streams that are begun at once before the vendor has said how many it takes: what each should
/// take at least (RFC 9113, section 6.5.2).
const STREAMS_UNASKED: usize = 100;

/// A connection that many exchanges share.
#[derive(Clone)]
pub(super) struct Http2 {
    authority: Authority,
    streams: SendRequest<Bytes>,
    pub(super) made: Instant,
    /// An exchange over it came to no good end, so nobody begins another.
    doubtful: Arc<AtomicBool>,
}

impl Http2 {
    pub(super) async fn open(stream: Stream, authority: Authority) -> Result<Self, h2::Error> {
        let (streams, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .initial_max_send_streams(STREAMS_UNASKED)
            .handshake(stream)
            .await?;
        let pings = connection.ping_pong();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to the vendor ended");
            }
        });
        if let Some(pings) = pings {
            drop(tokio::spawn(async move {
                silence(pings).await;
                driver.abort();
            }));
        }
        Ok(Self {
            authority,
            streams,
            made: Instant::now(),
            doubtful: Arc::default(),
        })
    }

    /// Sends the request and takes the whole answer.
    pub(super) async fn exchange(&mut self, request: &UpstreamRequest) -> Result<Reply, Failure> {
        let head = self.absolute(request);
        let mut doubt = Doubt {
            doubtful: &self.doubtful,
            whole: false,
        };
        let body = Some(request.body()).filter(|body| !body.is_empty());
        // a stream that did not begin has sent nothing
        let handed_back = |error: h2::Error| Failure::HandedBack(error.into());
        let ready = poll_fn(|task| self.streams.poll_ready(task)).await;
        ready.map_err(handed_back)?;
        let begun = self.streams.send_request(head, body.is_none());
        let (answer, mut sending) = begun.map_err(handed_back)?;
        if let Some(body) = body {
            // kept there until the vendor has room for it, as it is here: `listen.max_body`
            let sent = sending.send_data(body.clone(), true);
            sent.map_err(|error| Failure::Lost(not_whole(error)))?;
        }
        let answer = answer.await.map_err(not_whole);
        let reply = match answer {
            Ok(answer) => whole(answer).await,
            Err(error) => Err(error),
        };
        doubt.whole = reply.is_ok();
        reply.map_err(Failure::Lost)
    }

    /// HTTP/2 names the host in the URI (RFC 9113, section 8.3.1).
    fn absolute(&self, request: &UpstreamRequest) -> Request<()> {
        let mut uri = Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(request.target().clone());
        #[expect(
            clippy::expect_used,
            reason = "scheme, authority and path are there, and that is all that is asked"
        )]
        let uri = Uri::from_parts(uri).expect("a URI of all its parts");
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = uri;
        *head.headers_mut() = request.headers();
        head
    }

    pub(super) fn is_ready(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.doubtful.load(Ordering::Relaxed)
            && matches!(self.streams.poll_ready(&mut nobody), Poll::Ready(Ok(())))
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

/// Takes the whole answer. One that is reset before its end is an error, also where the vendor
/// finds nothing wrong: it may say so only after the end (RFC 9113, section 8.1).
async fn whole(answer: Response<RecvStream>) -> Result<Reply, UpstreamError> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamError::SwitchedProtocols);
    }
    let (head, mut body) = answer.into_parts();
    let mut taken = BytesMut::new();
    while let Some(some) = body.data().await {
        let some = some.map_err(not_whole)?;
        if taken.len().saturating_add(some.len()) > MAX_ANSWER {
            return Err(UpstreamError::AnswerTooLarge);
        }
        taken.extend_from_slice(&some);
        let room = body.flow_control().release_capacity(some.len());
        room.map_err(not_whole)?;
    }
    Ok(Reply::new(
        head.status,
        Passed::of(head.headers),
        taken.freeze(),
    ))
}

/// Whose fault it is that there is no whole answer: what `h2` itself finds wrong is the vendor's.
fn not_whole(error: h2::Error) -> UpstreamError {
    if error.is_library() {
        UpstreamError::BadAnswer(error.into())
    } else {
        UpstreamError::Broken(error.into())
    }
}

/// Ends when the vendor no longer answers, or the connection has ended.
async fn silence(mut pings: PingPong) {
    loop {
        sleep(PING).await;
        let answered = timeout(PONG, pings.ping(Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_pong))) {
            return;
        }
    }
}

//! A connection to the vendor in HTTP/2, which many exchanges share.
//!
//! On `h2` itself. hyper's client hands a request through a channel to one task, which gives it to
//! another for as long as it lasts: an eighth of the instructions of a request (`tests/bench/README.md`).
//! Here whoever asks begins a stream and waits for it, and one task moves the frames of all.
//!
//! No stream waits for its turn: `h2` would begin it also after its request was given up, or where
//! the vendor has said that it takes no more. A connection that is full is for nobody.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{
    Ping, PingPong, RecvStream,
    client::{Builder, ResponseFuture, SendRequest},
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

/// Between two times that a connection is asked whether it is still there.
const PING: Duration = Duration::from_secs(15);
/// How long it has to say so.
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
    state: Arc<State>,
}

/// What all who share a connection know of it.
#[derive(Default)]
struct State {
    /// It has ended, or an exchange over it came to no good end: nobody begins another.
    doubtful: AtomicBool,
    exchanges: AtomicUsize,
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
        let state = Arc::<State>::default();
        let pings = connection.ping_pong();
        // dropped with the task, however that ends
        let over = Over(Arc::clone(&state));
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to the vendor ended");
            }
            drop(over);
        });
        if let Some(pings) = pings {
            drop(tokio::spawn(async move {
                if silence(pings).await {
                    tracing::debug!(
                        "the vendor answers no HTTP/2 ping; the connection is given up"
                    );
                    driver.abort();
                }
            }));
        }
        Ok(Self {
            authority,
            streams,
            made: Instant::now(),
            state,
        })
    }

    /// Sends the request and takes the whole answer.
    pub(super) async fn exchange(&mut self, request: &UpstreamRequest) -> Result<Reply, Failure> {
        let head = self.absolute(request);
        let mut exchange = Exchange::begin(&self.state);
        let body = Some(request.body()).filter(|body| !body.is_empty());
        // a stream that did not begin has sent nothing
        let handed_back = |error: h2::Error| Failure::HandedBack(error.into());
        let ready = poll_fn(|task| self.streams.poll_ready(task)).await;
        ready.map_err(handed_back)?;
        let begun = self.streams.send_request(head, body.is_none());
        let (answer, mut sending) = begun.map_err(handed_back)?;
        if let Some(body) = body {
            // `h2` keeps it until the vendor has room; it is no longer than `listen.max_body`
            let sent = sending.send_data(body.clone(), true);
            sent.map_err(|error| Failure::Lost(not_whole(error)))?;
        }
        let reply = whole(answer).await.map_err(Failure::Lost)?;
        exchange.whole = true;
        Ok(reply)
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

    /// Whether exchanges may begin, now or when it has room.
    pub(super) fn is_sound(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.state.doubtful.load(Ordering::Relaxed)
            && matches!(self.streams.poll_ready(&mut nobody), Poll::Ready(Ok(())))
    }

    /// Whether one more exchange may begin now (RFC 9113, section 5.1.2).
    pub(super) fn has_room(&self) -> bool {
        self.state.exchanges.load(Ordering::Relaxed) < self.streams.current_max_send_streams()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

/// An exchange. One that fails, or is given up, casts doubt on its connection.
struct Exchange<'c> {
    state: &'c State,
    whole: bool,
}

impl<'c> Exchange<'c> {
    fn begin(state: &'c State) -> Self {
        state.exchanges.fetch_add(1, Ordering::Relaxed);
        Self {
            state,
            whole: false,
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.state.exchanges.fetch_sub(1, Ordering::Relaxed);
        if !self.whole {
            self.state.doubtful.store(true, Ordering::Relaxed);
        }
    }
}

/// Goes with the task that moves a connection's frames.
struct Over(Arc<State>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.doubtful.store(true, Ordering::Relaxed);
    }
}

/// Takes the whole answer. One that is reset before its end is an error, also where the vendor
/// finds nothing wrong: it may say so only after the end (RFC 9113, section 8.1).
async fn whole(mut answer: ResponseFuture) -> Result<Reply, UpstreamError> {
    let answer = poll_fn(|task| poll_head(&mut answer, task)).await?;
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

/// The head of the answer, after those that only say that one will come. 101 is among these for
/// `h2`, though HTTP/2 knows no such thing (RFC 9113, section 8.6).
fn poll_head(
    answer: &mut ResponseFuture,
    task: &mut Context<'_>,
) -> Poll<Result<Response<RecvStream>, UpstreamError>> {
    while let Poll::Ready(Some(interim)) = answer.poll_informational(task) {
        if interim.map_err(not_whole)?.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Poll::Ready(Err(UpstreamError::SwitchedProtocols));
        }
    }
    let head = ready!(Pin::new(answer).poll(task));
    Poll::Ready(head.map_err(not_whole))
}

/// Whose fault it is that there is no whole answer: what `h2` itself finds wrong is the vendor's.
fn not_whole(error: h2::Error) -> UpstreamError {
    if error.is_library() {
        UpstreamError::BadAnswer(error.into())
    } else {
        UpstreamError::Broken(error.into())
    }
}

/// Ends when the vendor no longer answers: true; or with the connection: false.
async fn silence(mut pings: PingPong) -> bool {
    loop {
        sleep(PING).await;
        match timeout(PONG, pings.ping(Ping::opaque())).await {
            Ok(Ok(_pong)) => {}
            Ok(Err(_ended)) => return false,
            Err(_elapsed) => return true,
        }
    }
}

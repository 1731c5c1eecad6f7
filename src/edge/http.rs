//! HTTP over one connection, in whichever version the peer speaks.
//!
//! For each HTTP/1.1 connection hyper keeps two buffers of 8 KiB and the state of a message. Here
//! it has them only while there are requests: before the first, and soon after the last, a
//! connection is a socket and a timer. Ten thousand that are idle take a fraction of the memory
//! (`tests/bench/README.md`). HTTP/2 connections are few, as each carries many requests.

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{
    memory::give_back_soon,
    timeouts::{Activity, Busy, ConnectionError, End, FAREWELL, Watchdog, WhenIdle, Work},
};
use crate::{
    gateway::{Body, Finish},
    model::Deadline,
};

/// All bytes of a request's head, beside the bound on its fields.
const MAX_HEAD: usize = 32 * 1024;
/// How many fields hyper reads without asking for memory.
const USUAL_HEADERS: usize = 100;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// A silent HTTP/2 peer is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// What a connection in HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read of the first bytes, so that a usual request needs no second read.
const FIRST: usize = 2 * 1024;

/// To who begins a head and doesn't end it in time (RFC 9110, section 15.5.9).
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// An answer that is being made.
pub(super) struct Answering {
    answer: Finish<Response<Body>>,
    /// `None`: made.
    busy: Option<Busy>,
}

impl Answering {
    pub(super) const fn new(answer: Finish<Response<Body>>, busy: Busy) -> Self {
        Self {
            answer,
            busy: Some(busy),
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.busy = None;
        Poll::Ready(Ok(answer))
    }
}

/// Makes the answers.
pub(super) trait Answers:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = Answering>
    + Unpin
{
}

impl<A> Answers for A where
    A: Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future = Answering,
        > + Unpin
{
}

/// Serves HTTP until either end has had enough.
pub(super) async fn serve<S, A>(
    socket: S,
    max_headers: usize,
    mut answers: A,
    mut watchdog: Watchdog,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answers,
{
    let mut io = PrefixedIo {
        prefix: Bytes::new(),
        speaks: None,
        socket,
        activity: Arc::clone(watchdog.activity()),
    };
    loop {
        let mut first = FirstBytes {
            io: &mut io,
            given_up: false,
        };
        watchdog
            .guard(Pin::new(&mut first), WhenIdle::Close)
            .await?;
        match io.version() {
            Some(Version::Http1) if !watchdog.is_draining() => {}
            Some(Version::Http2) if !watchdog.is_draining() => {
                io.speaks = Some(Version::Http2);
                io.activity.idle();
                let connection = http2().serve_connection(TokioIo::new(io), answers);
                let mut connection = Box::pin(connection);
                watchdog.guard(connection.as_mut(), WhenIdle::Close).await?;
                return Ok(());
            }
            Some(_) | None => return io.close().await,
        }
        io.speaks = Some(Version::Http1);
        let connection = http1(max_headers).serve_connection(TokioIo::new(io), answers);
        let mut connection = Box::new(connection);
        let end = watchdog
            .guard(Pin::new(&mut *connection), WhenIdle::Park)
            .await;
        if matches!(end, Ok(End::Closed)) {
            return Ok(());
        }
        let parts = connection.into_parts();
        (io, answers) = (parts.io.into_inner(), parts.service);
        if matches!(end, Err(ConnectionError::Silent)) && io.activity.waits_for_head() {
            io.give_up_head().await?;
            return Err(ConnectionError::Silent);
        }
        end?;
        if watchdog.is_draining() {
            return io.close().await;
        }
        // What has come and is no whole request comes again. A copy, as there are 8 KiB around it.
        io.prefix = Bytes::copy_from_slice(&parts.read_buf);
        give_back_soon();
    }
}

/// Time limits on heads are [`super::timeouts`]'s.
fn http1(max_headers: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(MAX_HEAD);
    // small head and small body: one buffer is cheaper than two slices
    builder.writev(false);
    if max_headers != USUAL_HEADERS {
        builder.max_headers(max_headers);
    }
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

impl<S, A> Work for http1::Connection<TokioIo<PrefixedIo<S>>, A>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answers,
{
    type Error = hyper::Error;

    /// At its end hyper sends what it has yet to send and shuts the socket, in this order; only
    /// one that is being parked is not shut, see [`PrefixedIo`].
    fn poll_work(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll(cx)
    }

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, A> Work for http2::Connection<TokioIo<PrefixedIo<S>>, A, TokioExecutor>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answers,
{
    type Error = hyper::Error;

    fn poll_work(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.poll(cx)
    }

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// A socket, and what was read from it before anybody knew what it speaks. It tells the
/// [`Activity`] when bytes come and whether they go, and isn't shut while it is being parked.
struct PrefixedIo<S> {
    /// What has come already: it is read first.
    prefix: Bytes,
    /// What it speaks, once it has spoken.
    speaks: Option<Version>,
    socket: S,
    activity: Arc<Activity>,
}

impl<S> PrefixedIo<S> {
    /// In HTTP/2 most frames are no part of a head: the peer answers our pings while it is idle.
    fn bytes_came(&self) {
        if self.speaks != Some(Version::Http2) {
            self.activity.bytes_came();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> PrefixedIo<S> {
    /// What the peer speaks, as soon as that can be told.
    fn version(&self) -> Option<Version> {
        if self.speaks == Some(Version::Http1) {
            (!self.prefix.is_empty()).then_some(Version::Http1)
        } else if self.prefix.starts_with(PREFACE) {
            Some(Version::Http2)
        } else if PREFACE.starts_with(&self.prefix) {
            None
        } else {
            Some(Version::Http1)
        }
    }

    /// Answers the part of a head that has come, as the rest has not in time.
    async fn give_up_head(mut self) -> Result<(), ConnectionError> {
        let told = Deadline::after(FAREWELL).run(self.socket.write_all(TOO_SLOW));
        let told = told.await.map_err(|_elapsed| ConnectionError::Silent)?;
        told.map_err(|error| ConnectionError::Served(error.into()))?;
        self.close().await
    }

    /// Ends it properly, with TLS's own end too.
    async fn close(mut self) -> Result<(), ConnectionError> {
        let closed = Deadline::after(FAREWELL).run(self.socket.shutdown()).await;
        let closed = closed.map_err(|_elapsed| ConnectionError::Silent)?;
        closed.map_err(|error| ConnectionError::Served(error.into()))
    }
}

/// Waits for the first bytes of a connection that is new, or was parked. Ends when they tell what
/// it speaks, or when the peer ends.
struct FirstBytes<'l, S> {
    io: &'l mut PrefixedIo<S>,
    given_up: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Work for FirstBytes<'_, S> {
    type Error = io::Error;

    fn poll_work(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.given_up && self.io.version().is_none() {
            // on the stack, as most of the time there is nothing to keep
            let mut space = [0; FIRST];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io.socket).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut prefix = BytesMut::from(&*self.io.prefix);
            prefix.extend_from_slice(buffer.filled());
            self.io.prefix = prefix.freeze();
            self.io.activity.bytes_came();
        }
        Poll::Ready(Ok(()))
    }

    fn finish(mut self: Pin<&mut Self>) {
        self.given_up = true;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PrefixedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let count = self.prefix.len().min(buffer.remaining());
            buffer.put_slice(&self.prefix.split_to(count));
            self.bytes_came();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PrefixedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.set_blocked(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.activity.set_blocked(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.activity.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_parking() {
            return self.poll_flush(cx);
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

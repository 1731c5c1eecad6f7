//! How long a connection may keep us waiting: for the first byte, for the end of a request's
//! head, between two requests, and to take an answer.
//!
//! hyper has a time-out for heads alone, which starts a timer for each request and counts idle
//! connections as slow heads; and its detection of the protocol waits for ever. So one timer a
//! connection watches all of it here. It is looked at when it fires, and set again only where a
//! head comes in pieces: a request that arrives whole costs two readings of the clock.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper_util::server::graceful::GracefulConnection;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    certificate::CertificateFault,
    drain::{Ear, Word},
    proxy::HeaderFault,
};

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) header: Duration,
    pub(super) idle: Duration,
}

/// What a connection is doing, told by its socket and its service, read by its watcher.
#[derive(Debug)]
pub(super) struct Pulse {
    origin: Instant,
    /// Requests being answered.
    busy: AtomicUsize,
    /// Milliseconds after `origin` at which the present wait began, times two; the lowest bit
    /// says whether a part of a head has come since.
    wait: AtomicU64,
}

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("it was silent for too long")]
    Silent,
    #[error("its client certificate can't be used: {0}")]
    Certificate(#[from] CertificateFault),
    #[error("it is not from a trusted proxy, and only these are served here")]
    NotFromProxy,
    #[error("it has no PROXY protocol header: {0}")]
    Proxy(#[from] HeaderFault),
    #[error(transparent)]
    Served(Box<dyn std::error::Error + Send + Sync>),
}

impl Pulse {
    /// Of a connection that has just come: its first head is due.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            busy: AtomicUsize::new(0),
            wait: AtomicU64::new(1),
        })
    }

    /// A request is being answered for as long as the guard lives.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Request(Arc::clone(self))
    }

    fn begin_wait(&self, head_begun: bool) {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.wait.store(
            elapsed.saturating_mul(2) | u64::from(head_begun),
            Ordering::Relaxed,
        );
    }

    fn bytes_came(&self) {
        let between_requests = self.wait.load(Ordering::Relaxed) & 1 == 0;
        if between_requests && self.busy.load(Ordering::Relaxed) == 0 {
            self.begin_wait(true);
        }
    }

    /// When the present wait is over; `None` while a request is being answered.
    fn due(&self, patience: Patience) -> Option<Instant> {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let wait = self.wait.load(Ordering::Relaxed);
        let limit = if wait & 1 == 1 {
            patience.header
        } else {
            patience.idle
        };
        let began = self.origin.checked_add(Duration::from_millis(wait >> 1))?;
        began.checked_add(limit)
    }
}

/// A request that is being answered.
pub(super) struct Request(Arc<Pulse>);

impl Drop for Request {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.begin_wait(false);
        }
    }
}

/// A socket that tells the pulse when bytes come.
pub(super) struct Felt<S> {
    pub(super) socket: S,
    pub(super) pulse: Arc<Pulse>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Felt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Felt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A connection that can be told to finish what it has and end. hyper's own trait is sealed.
pub(super) trait Graceful {
    fn finish(self: Pin<&mut Self>);
}

impl<C: GracefulConnection> Graceful for C {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// A connection that is given up when it keeps us waiting, and ended when all are.
pub(super) struct Watched<C> {
    connection: Pin<Box<C>>,
    ear: Ear,
    pulse: Arc<Pulse>,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
}

impl<C> Watched<C> {
    pub(super) fn new(connection: C, word: Word, pulse: Arc<Pulse>, patience: Patience) -> Self {
        let first = pulse.due(patience).unwrap_or(pulse.origin);
        Self {
            connection: Box::pin(connection),
            ear: Ear::new(word),
            pulse,
            patience,
            timer: Box::pin(sleep_until(first)),
        }
    }
}

impl<C, E> Future for Watched<C>
where
    C: Graceful + Future<Output = Result<(), E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.ear.poll_told(cx).is_ready() {
            self.connection.as_mut().finish();
        }
        if let Poll::Ready(served) = self.connection.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|error| ConnectionError::Served(error.into())));
        }
        loop {
            let due = self.pulse.due(self.patience);
            // a head in pieces is due before the idle connection was
            if let Some(due) = due
                && due < self.timer.deadline()
            {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            match due {
                Some(due) if due <= now => return Poll::Ready(Err(ConnectionError::Silent)),
                Some(due) => self.timer.as_mut().reset(due),
                None => {
                    let again = now.checked_add(self.patience.idle).unwrap_or(now);
                    self.timer.as_mut().reset(again);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::drain::Drain, *};

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(75),
    };

    /// A connection that does as it is written.
    struct Script(Pin<Box<dyn Future<Output = Result<(), io::Error>>>>);

    impl Future for Script {
        type Output = Result<(), io::Error>;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            self.0.as_mut().poll(cx)
        }
    }

    impl Graceful for Script {
        fn finish(mut self: Pin<&mut Self>) {
            self.0 = Box::pin(std::future::ready(Ok(())));
        }
    }

    fn watched(
        script: impl Future<Output = Result<(), io::Error>> + 'static,
        drain: &Drain,
        pulse: Arc<Pulse>,
    ) -> Watched<Script> {
        Watched::new(Script(Box::pin(script)), drain.word(), pulse, PATIENCE)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_all_are_told_to() {
        let drain = Drain::new();
        let connection = watched(std::future::pending(), &drain, Pulse::new());
        let (ended, ()) = tokio::join!(connection, drain.complete());
        assert!(ended.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_ends_after_the_header_time_out() {
        let began = Instant::now();
        let drain = Drain::new();
        let ended = watched(std::future::pending(), &drain, Pulse::new()).await;
        assert!(matches!(ended, Err(ConnectionError::Silent)));
        assert!((10..12).contains(&began.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_the_idle_time_out() {
        let (began, pulse) = (Instant::now(), Pulse::new());
        drop(pulse.request());
        let drain = Drain::new();
        let ended = watched(std::future::pending(), &drain, pulse).await;
        assert!(matches!(ended, Err(ConnectionError::Silent)));
        assert!((75..77).contains(&began.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_its_time_and_the_next_head_may_not() {
        let (began, pulse) = (Instant::now(), Pulse::new());
        let request = pulse.request();
        let told = Arc::clone(&pulse);
        let connection = async move {
            tokio::time::sleep(Duration::from_secs(200)).await;
            drop(request);
            tokio::time::sleep(Duration::from_secs(5)).await;
            told.bytes_came();
            std::future::pending().await
        };
        let drain = Drain::new();
        let ended = watched(connection, &drain, pulse).await;
        assert!(matches!(ended, Err(ConnectionError::Silent)));
        assert!(
            (215..218).contains(&began.elapsed().as_secs()),
            "{:?}",
            began.elapsed()
        );
    }
}

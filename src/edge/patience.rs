//! How long a connection may keep us waiting: for the first byte, for the end of a request's
//! head, between two requests, and to take an answer.
//!
//! hyper has a time-out for heads alone, which starts a timer for each request and counts idle
//! connections as slow heads; and its detection of the protocol waits for ever. So one timer a
//! connection watches all of it here. It is looked at when it fires, and set again only where a
//! head comes in pieces: a request that arrives whole costs two readings of the clock.
//!
//! Long before a connection that has no requests is given up it is put to rest: what goes over it
//! is finished, so that it holds little while it waits.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    certificate::CertificateFault,
    drain::{Ear, Word},
    proxy::HeaderFault,
};

/// After so long without a request a connection is put to rest, where that can be done.
const REST: Duration = Duration::from_secs(2);

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
    /// Whether the peer takes nothing at present of what is sent.
    blocked: AtomicBool,
    /// Whether it is put to rest.
    rests: AtomicBool,
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
    Served(Box<dyn Error + Send + Sync>),
}

impl Pulse {
    /// Of a connection that has just come: its first head is due.
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            busy: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            wait: AtomicU64::new(1),
        }
    }

    /// A request is being answered for as long as the guard lives.
    pub(super) fn request(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    fn begin_wait(&self, head_begun: bool) {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.wait.store(
            elapsed.saturating_mul(2) | u64::from(head_begun),
            Ordering::Relaxed,
        );
    }

    /// Some bytes of the peer's were read.
    pub(super) fn bytes_came(&self) {
        let between_requests = self.wait.load(Ordering::Relaxed) & 1 == 0;
        if between_requests && !self.is_busy() {
            self.begin_wait(true);
        }
    }

    /// When the present wait is over; `None` while a request is being answered.
    fn due(&self, patience: Patience) -> Option<Instant> {
        let (began, head_begun) = self.waits_since()?;
        began.checked_add(if head_begun {
            patience.header
        } else {
            patience.idle
        })
    }

    /// Whether bytes wait for the peer to take them.
    pub(super) fn bytes_wait(&self, wait: bool) {
        self.blocked.store(wait, Ordering::Relaxed);
    }

    /// Whether what goes over the connection is being finished to put it to rest.
    pub(super) fn rests(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    /// When a connection that waits for its next request is put to rest. Not while the last answer
    /// is on its way: it may be one after which the connection ends.
    fn rest(&self) -> Option<Instant> {
        let (began, head_begun) = self.waits_since()?;
        let rest = began.checked_add(REST)?;
        (!head_begun && !self.blocked.load(Ordering::Relaxed)).then_some(rest)
    }

    /// Since when a head is waited for, and whether a part of it has come.
    fn waits_since(&self) -> Option<(Instant, bool)> {
        if self.is_busy() {
            return None;
        }
        let wait = self.wait.load(Ordering::Relaxed);
        let began = self.origin.checked_add(Duration::from_millis(wait >> 1))?;
        Some((began, wait & 1 == 1))
    }
}

/// A request that is being answered.
pub(super) struct Busy(Arc<Pulse>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.begin_wait(false);
        }
    }
}

/// What is done over a connection.
pub(super) trait Work {
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// As [`Future::poll`].
    fn poll_work(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;

    /// Asks for its end: what was begun is done, and no more.
    fn finish(self: Pin<&mut Self>);
}

/// Whether more work can follow over the same connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It can: where nobody asks for anything, this work is finished early. Answers are made by
    /// the task that does the work.
    Again,
    /// This is all, and answers may be made by tasks of their own.
    Once,
}

/// How a work went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// By itself, or as all were told to end.
    Ended,
    /// It was finished as there was nothing to do; the socket is as it was.
    Rests,
}

/// Watches over a connection: gives it up when it keeps us waiting, and ends it when all are
/// ended. Each work over the connection goes on from where the last one left the clock.
pub(super) struct Watch {
    ear: Ear,
    told: bool,
    pulse: Arc<Pulse>,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    /// Of a connection that has just come.
    pub(super) fn new(word: Word, patience: Patience) -> Self {
        let pulse = Arc::new(Pulse::new());
        let first = pulse.due(patience).unwrap_or(pulse.origin);
        Self {
            ear: Ear::new(word),
            told: false,
            pulse,
            patience,
            timer: Box::pin(sleep_until(first)),
        }
    }

    pub(super) const fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Whether all were told to end.
    pub(super) const fn is_told(&self) -> bool {
        self.told
    }

    /// Watches over `work` until it is over.
    pub(super) async fn over<W: Work>(
        &mut self,
        mut work: Pin<&mut W>,
        served: Served,
    ) -> Result<Over, ConnectionError> {
        poll_fn(|cx| self.poll_over(cx, work.as_mut(), served)).await?;
        let rests = self.pulse.rests.swap(false, Ordering::Relaxed);
        Ok(if rests { Over::Rests } else { Over::Ended })
    }

    fn poll_over<W: Work>(
        &mut self,
        cx: &mut Context<'_>,
        mut work: Pin<&mut W>,
        served: Served,
    ) -> Poll<Result<(), ConnectionError>> {
        if self.ear.poll_told(cx).is_ready() {
            self.told = true;
            work.as_mut().finish();
        }
        loop {
            if let Poll::Ready(done) = work.as_mut().poll_work(cx) {
                let failed = |error: W::Error| ConnectionError::Served(error.into());
                return Poll::Ready(done.map_err(failed));
            }
            if served == Served::Again && self.pulse.is_busy() {
                // nothing is due before the answer is made, which this task does
                return Poll::Pending;
            }
            ready!(self.poll_due(cx, served == Served::Again && !self.pulse.rests()))?;
            self.pulse.rests.store(true, Ordering::Relaxed);
            work.as_mut().finish();
        }
    }

    /// Ready when it is time to rest, where it `may_rest`, or with an error when the connection
    /// was waited for too long.
    fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        may_rest: bool,
    ) -> Poll<Result<(), ConnectionError>> {
        loop {
            let given_up = self.pulse.due(self.patience);
            let rests = self.pulse.rest().filter(|_rest| may_rest);
            let next = rests.into_iter().chain(given_up).min();
            // a head in pieces is due before the idle connection was
            if let Some(next) = next
                && next < self.timer.deadline()
            {
                self.timer.as_mut().reset(next);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
            if passed(given_up) {
                return Poll::Ready(Err(ConnectionError::Silent));
            }
            if passed(rests) {
                return Poll::Ready(Ok(()));
            }
            let again = next.or_else(|| now.checked_add(self.patience.idle));
            let again = again.unwrap_or(now);
            self.timer.as_mut().reset(again);
        }
    }
}

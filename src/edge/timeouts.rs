//! How long a connection may keep us waiting: for the first byte, for the end of a request's
//! head, between two requests, and to take an answer.
//!
//! hyper has a time-out for heads alone, which starts a timer for each request and counts idle
//! connections as slow heads; and its detection of the protocol waits for ever. So one timer a
//! connection watches all of it here. It is looked at when it fires, and set again only where a
//! head comes in pieces: a request that arrives whole costs two readings of the clock.
//!
//! Long before a connection that has no requests is given up it is parked: what goes over it is
//! finished, so that it holds little while it waits.
//!
//! ```text
//!            first bytes              whole head             answer made
//! accepted ──────────────▶ head comes ─────────▶ answering ─────────────▶ idle ──▶ parked
//!    │ header time-out         │ header time-out                next bytes ◀┘ idle time-out
//!    ▼                         ▼                                                    │
//!  closed ◀─────────────────────────────────────────────────────────────────────────┘
//! ```

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
    drain::{DrainListener, DrainSignal},
    proxy::HeaderFault,
};

/// After so long without a request a connection is parked, where that can be done.
const PARK_AFTER: Duration = Duration::from_secs(2);
/// How long a connection may take to end properly.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// The limits of one listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    pub(super) header: Duration,
    pub(super) idle: Duration,
}

/// What a connection is doing, told by its socket and its service, read by its [`Watchdog`].
#[derive(Debug)]
pub(super) struct Activity {
    origin: Instant,
    /// Requests being answered.
    busy: AtomicUsize,
    /// Whether the peer takes nothing at present of what is sent.
    blocked: AtomicBool,
    /// Whether what goes over it is being finished to park it.
    parking: AtomicBool,
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

impl Activity {
    /// Of a connection that has just come: its first head is due.
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            busy: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            parking: AtomicBool::new(false),
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

    /// The next request is waited for from now on, for as long as an idle connection may last.
    pub(super) fn idle(&self) {
        self.begin_wait(false);
    }

    fn begin_wait(&self, head_begun: bool) {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX / 2);
        self.wait.store(
            elapsed.saturating_mul(2) | u64::from(head_begun),
            Ordering::Relaxed,
        );
    }

    /// Some bytes of the peer's were read that belong to a head.
    pub(super) fn bytes_came(&self) {
        let between_requests = self.wait.load(Ordering::Relaxed) & 1 == 0;
        if between_requests && !self.is_busy() {
            self.begin_wait(true);
        }
    }

    /// When the peer has kept us waiting for too long; `None` while a request is being answered.
    fn give_up_at(&self, timeouts: ConnectionTimeouts) -> Option<Instant> {
        let (began, head_begun) = self.waiting_since()?;
        began.checked_add(if head_begun {
            timeouts.header
        } else {
            timeouts.idle
        })
    }

    /// Says whether bytes wait for the peer to take them.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether what goes over the connection is being finished to park it: then its socket isn't
    /// to be shut.
    pub(super) fn is_parking(&self) -> bool {
        self.parking.load(Ordering::Relaxed)
    }

    /// When a connection that waits for its next request is parked. Not while the last answer is
    /// on its way: it may be one after which the connection ends.
    fn park_at(&self) -> Option<Instant> {
        let (began, head_begun) = self.waiting_since()?;
        let park_at = began.checked_add(PARK_AFTER)?;
        (!head_begun && !self.blocked.load(Ordering::Relaxed)).then_some(park_at)
    }

    /// Whether a part of a head has come and the peer has all that was sent.
    pub(super) fn waits_for_head(&self) -> bool {
        let head_begun = self.waiting_since().is_some_and(|(_began, begun)| begun);
        head_begun && !self.blocked.load(Ordering::Relaxed)
    }

    /// Since when a head is waited for, and whether a part of it has come.
    fn waiting_since(&self) -> Option<(Instant, bool)> {
        if self.is_busy() {
            return None;
        }
        let wait = self.wait.load(Ordering::Relaxed);
        let began = self.origin.checked_add(Duration::from_millis(wait >> 1))?;
        Some((began, wait & 1 == 1))
    }
}

/// A request that is being answered.
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle();
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

/// What becomes of a connection over which nobody asks for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenIdle {
    /// It is parked: this work is finished, and more can follow. Answers are made by the task that
    /// does the work.
    Park,
    /// It stays as it is until its time is up, and then it is closed properly, if the peer lets us.
    /// Answers may be made by tasks of their own.
    Close,
}

/// How a connection's work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or as it or all were told to end.
    Closed,
    /// There was nothing to do; the socket is open.
    Parked,
}

/// Watches over a connection: gives it up when it keeps us waiting, and ends it when all are
/// ended. Each work over the connection goes on from where the last one left the clock.
pub(super) struct Watchdog {
    drain: DrainListener,
    draining: bool,
    activity: Arc<Activity>,
    timeouts: ConnectionTimeouts,
    timer: Pin<Box<Sleep>>,
    /// It was told to end, and has until then.
    farewell: Option<Instant>,
}

/// What it is time for.
enum Due {
    GivingUp,
    Parking,
}

impl Watchdog {
    /// Of a connection that has just come.
    pub(super) fn new(drain: DrainSignal, timeouts: ConnectionTimeouts) -> Self {
        let activity = Arc::new(Activity::new());
        let first = activity.give_up_at(timeouts).unwrap_or(activity.origin);
        Self {
            drain: DrainListener::new(drain),
            draining: false,
            activity,
            timeouts,
            timer: Box::pin(sleep_until(first)),
            farewell: None,
        }
    }

    pub(super) const fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Whether all were told to end.
    pub(super) const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Watches over `work` until it has ended.
    pub(super) async fn guard<W: Work>(
        &mut self,
        mut work: Pin<&mut W>,
        when_idle: WhenIdle,
    ) -> Result<End, ConnectionError> {
        self.farewell = None;
        poll_fn(|cx| self.poll_guarded(cx, work.as_mut(), when_idle)).await?;
        let parked = self.activity.parking.swap(false, Ordering::Relaxed);
        Ok(if parked { End::Parked } else { End::Closed })
    }

    fn poll_guarded<W: Work>(
        &mut self,
        cx: &mut Context<'_>,
        mut work: Pin<&mut W>,
        when_idle: WhenIdle,
    ) -> Poll<Result<(), ConnectionError>> {
        if self.drain.poll_signal(cx).is_ready() {
            self.draining = true;
            work.as_mut().finish();
        }
        loop {
            if let Poll::Ready(done) = work.as_mut().poll_work(cx) {
                let failed = |error: W::Error| ConnectionError::Served(error.into());
                return Poll::Ready(done.map_err(failed));
            }
            if when_idle == WhenIdle::Park && self.activity.is_busy() {
                // nothing is due before the answer is made, which this task does
                return Poll::Pending;
            }
            let may_park = when_idle == WhenIdle::Park && !self.activity.is_parking();
            match ready!(self.poll_due(cx, may_park)) {
                Due::Parking => self.activity.parking.store(true, Ordering::Relaxed),
                Due::GivingUp if when_idle == WhenIdle::Close && self.farewell.is_none() => {
                    self.farewell = Instant::now().checked_add(FAREWELL);
                }
                Due::GivingUp => return Poll::Ready(Err(ConnectionError::Silent)),
            }
            work.as_mut().finish();
        }
    }

    /// Ready when it is time to park, where it `may_park`, or when the connection was waited for
    /// too long.
    fn poll_due(&mut self, cx: &mut Context<'_>, may_park: bool) -> Poll<Due> {
        loop {
            let give_up_at = self.activity.give_up_at(self.timeouts);
            let give_up_at = give_up_at.map(|time| self.farewell.unwrap_or(time));
            let park_at = self.activity.park_at().filter(|_time| may_park);
            let next = park_at.into_iter().chain(give_up_at).min();
            // a head in pieces is due before the idle connection was
            if let Some(next) = next
                && next < self.timer.deadline()
            {
                self.timer.as_mut().reset(next);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
            if passed(give_up_at) {
                return Poll::Ready(Due::GivingUp);
            }
            if passed(park_at) {
                return Poll::Ready(Due::Parking);
            }
            let again = next.or_else(|| now.checked_add(self.timeouts.idle));
            let again = again.unwrap_or(now);
            self.timer.as_mut().reset(again);
        }
    }
}

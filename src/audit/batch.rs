//! Records on their way into the log: what the requests of one runtime have written in one
//! turn of its event loop goes in together.
//!
//! A request appends its record's body to its runtime's queue; the first one wakes that
//! runtime's flusher, which runs after everything else that was ready. So the lock on the
//! chain, the append and the wake-ups are paid once a turn, and no other thread is woken.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Instant,
};

use tokio::sync::Notify;

use super::journal::Shared;

/// A queue that grew past this in a flood gives its memory back.
const KEEP: usize = 256 * 1024;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An output has it.
    Accepted,
    /// No output has it, or none had it in time.
    Failed,
}

/// Records that share their fate. Those who wait for one of them wait here.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// 0: not known yet.
    fate: AtomicU8,
    /// The number of its last record, once it has one.
    last: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl Batch {
    /// Settles its fate, once.
    pub(super) fn settle(&self, fate: Fate) {
        let code = match fate {
            Fate::Accepted => 1,
            Fate::Failed => 2,
        };
        let first = self
            .fate
            .compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            // whoever comes from here on sees the fate
            for waiting in mem::take(&mut *self.waiting()) {
                waiting.wake();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its fate, where it is settled.
    pub(super) fn fate(&self) -> Option<Fate> {
        match self.fate.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Fate::Accepted),
            _ => Some(Fate::Failed),
        }
    }

    /// Waits for its fate.
    pub(super) async fn settled(&self) -> Fate {
        let mut place = None;
        poll_fn(|cx| {
            let mut waiting = self.waiting();
            if let Some(fate) = self.fate() {
                return Poll::Ready(fate);
            }
            match place.and_then(|place: usize| waiting.get_mut(place)) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => {
                    place = Some(waiting.len());
                    waiting.push(cx.waker().clone());
                }
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn number(&self, last: u64) {
        self.last.store(last, Ordering::Release);
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }
}

/// The records of one runtime that are not in the log yet.
#[derive(Default)]
pub(super) struct Queue {
    pending: Mutex<Pending>,
    /// Wakes the flusher.
    wake: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Pending {
    /// The bodies, one after another.
    bodies: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Whose they are; `None` while there are none.
    batch: Option<Arc<Batch>>,
}

impl Pending {
    fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let body = self.bodies.get(start..*end);
            start = *end;
            body.unwrap_or_default()
        })
    }

    fn clear(&mut self) {
        self.bodies.clear();
        self.bodies.shrink_to(KEEP);
        self.ends.clear();
        self.batch = None;
    }
}

impl Queue {
    /// Adds the record whose body `write` appends.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Batch> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // what a write that panicked left behind is no part of the next record
        let start = pending.ends.last().copied().unwrap_or_default();
        pending.bodies.truncate(start);
        write(&mut pending.bodies);
        let end = pending.bodies.len();
        pending.ends.push(end);
        if pending.batch.is_none() {
            self.wake.notify_one();
        }
        Arc::clone(pending.batch.get_or_insert_default())
    }

    /// Puts what there is into the log. `spare` comes empty and leaves empty; it is kept for
    /// its memory.
    fn flush(&self, spare: &mut Pending, shared: &Shared) -> Option<Arc<Batch>> {
        {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut *pending, spare);
        }
        let batch = spare.batch.take();
        if let Some(batch) = &batch {
            shared.seal(spare.bodies(), batch);
        }
        spare.clear();
        batch
    }

    /// Puts what there is into the log, from wherever.
    pub(super) fn drain(&self, shared: &Shared) -> Option<Arc<Batch>> {
        self.flush(&mut Pending::default(), shared)
    }

    /// No more records will come.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Moves a runtime's records into the log. Dropping it moves the rest.
pub(super) struct Flusher {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    /// Batches whose fate is open, and until when.
    open: VecDeque<(Instant, Arc<Batch>)>,
}

impl Flusher {
    pub(super) const fn new(queue: Arc<Queue>, shared: Arc<Shared>) -> Self {
        Self {
            queue,
            shared,
            open: VecDeque::new(),
        }
    }

    /// Runs until the queue is closed and every batch settled.
    pub(super) async fn run(mut self) {
        let mut spare = Pending::default();
        loop {
            match self.next_deadline() {
                None if self.queue.closed.load(Ordering::Acquire) => return,
                None => self.queue.wake.notified().await,
                Some(deadline) => {
                    let woken = self.queue.wake.notified();
                    // only who waits for a slow output pays for a timer, one for all batches
                    match tokio::time::timeout_at(deadline.into(), woken).await {
                        Ok(()) => {}
                        Err(_elapsed) => self.expire(),
                    }
                }
            }
            if let Some(batch) = self.queue.flush(&mut spare, &self.shared)
                && batch.fate().is_none()
            {
                self.open.push_back((self.shared.deadline(), batch));
            }
        }
    }

    /// When the oldest open batch must be settled.
    fn next_deadline(&mut self) -> Option<Instant> {
        while self
            .open
            .front()
            .is_some_and(|(_, batch)| batch.fate().is_some())
        {
            self.open.pop_front();
        }
        self.open.front().map(|(deadline, _)| *deadline)
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((deadline, batch)) = self.open.front() {
            if *deadline > now {
                return;
            }
            self.shared.expire(batch);
            self.open.pop_front();
        }
    }
}

impl Drop for Flusher {
    /// The runtime ends, perhaps before the last records were moved: nothing is lost.
    fn drop(&mut self) {
        let last = self.queue.drain(&self.shared);
        for batch in self.open.drain(..).map(|(_, batch)| batch).chain(last) {
            // nobody is left to tell the time
            batch.settle(Fate::Failed);
        }
    }
}

//! Records on their way into the log: what the requests of one runtime have written in one
//! turn of its event loop goes in together.
//!
//! A request appends its record's body to its runtime's queue; the first one wakes that
//! runtime's flusher, which runs after everything else that was ready. So the lock on the
//! chain, the append and the wake-ups are paid once a turn, and no other thread is woken.
//!
//! Where turns have one record each, nothing is shared, and the request would wait for its own
//! flusher: then it puts the record in itself. The last turn with records tells how to begin.

use std::{
    cell::Cell,
    collections::VecDeque,
    future::poll_fn,
    iter, mem,
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

thread_local! {
    /// How many turns of its event loop this thread has done. The event loop has no other way to
    /// a queue; a wrong number costs appends and nothing else.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// To be called by an event loop that has nothing left to do, before it waits: its turn is over.
/// Where it isn't called, all records go by the flusher.
pub(crate) fn turn_is_over() {
    TURNS.set(TURNS.get().wrapping_add(1));
}

/// The records of one runtime that are not in the log yet.
///
/// Invariant: while there are some, or one's fate is open, it isn't calm. Only a flush that has
/// sealed what there was makes it so. So no record overtakes another.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the flusher.
    wake: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// The turn of the last record.
    turn: Option<u64>,
    /// The last turn that had records had one, settled at once: the next may have one too.
    calm: bool,
    /// The last record that went in without the flusher. Kept for its memory.
    lone: Arc<Batch>,
    /// Its fate is open, and the flusher doesn't know of it yet.
    is_open: bool,
    /// The flusher has ended.
    ended: bool,
}

#[derive(Default)]
struct Pending {
    /// The bodies, one after another.
    bodies: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Whose they are; `None` while there are none.
    batch: Option<Arc<Batch>>,
    /// The first of them was its turn's first.
    alone: bool,
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
    pub(super) fn push(&self, shared: &Shared, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Batch> {
        let state = &mut *self.state();
        let pending = &mut state.pending;
        // what a write that panicked left behind is no part of the next record
        let start = pending.ends.last().copied().unwrap_or_default();
        pending.bodies.truncate(start);
        write(&mut pending.bodies);
        let turn = Some(TURNS.get());
        let first = mem::replace(&mut state.turn, turn) != turn;
        if pending.batch.is_none() {
            if state.ended || (first && state.calm) {
                return self.put_in(state, shared);
            }
            pending.alone = first;
            self.wake.notify_one();
        }
        state.calm = false;
        pending.ends.push(pending.bodies.len());
        Arc::clone(pending.batch.get_or_insert_default())
    }

    /// Puts the one record that there is into the log, here and now.
    fn put_in(&self, state: &mut State, shared: &Shared) -> Arc<Batch> {
        match Arc::get_mut(&mut state.lone) {
            Some(unused) => *unused = Batch::default(),
            None => state.lone = Arc::default(),
        }
        shared.seal(iter::once(state.pending.bodies.as_slice()), &state.lone);
        state.pending.clear();
        state.is_open = state.lone.fate().is_none();
        if state.is_open {
            // its time is limited, and the flusher watches over that
            state.calm = false;
            self.wake.notify_one();
        }
        Arc::clone(&state.lone)
    }

    /// Puts what there is into the log, and says whose fate is open. `spare` comes empty and
    /// leaves empty; it is kept for its memory.
    fn flush(&self, spare: &mut Pending, shared: &Shared) -> Vec<Arc<Batch>> {
        let open = {
            let mut state = self.state();
            mem::swap(&mut state.pending, spare);
            mem::take(&mut state.is_open).then(|| Arc::clone(&state.lone))
        };
        let batch = spare.batch.take();
        if let Some(batch) = &batch {
            shared.seal(spare.bodies(), batch);
            let alone = spare.alone && spare.ends.len() == 1;
            self.state().calm = alone && batch.fate().is_some();
        }
        spare.clear();
        let open = open.into_iter().chain(batch);
        open.filter(|batch| batch.fate().is_none()).collect()
    }

    /// Puts what there is into the log, from wherever, and says whose fate is open.
    pub(super) fn drain(&self, shared: &Shared) -> Vec<Arc<Batch>> {
        self.flush(&mut Pending::default(), shared)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            for batch in self.queue.flush(&mut spare, &self.shared) {
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
        self.queue.state().ended = true;
        let last = self.queue.drain(&self.shared);
        for batch in self.open.drain(..).map(|(_, batch)| batch).chain(last) {
            // nobody is left to tell the time
            batch.settle(Fate::Failed);
        }
    }
}

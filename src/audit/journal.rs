//! The one order of records: numbers and chains them, gives them to the outputs, and keeps
//! them until one output has them.
//!
//! Everything here happens under one lock that is held for microseconds. An output that is
//! prompt (a regular file, `durability = "written"`) and has all records so far is written to
//! right here, by whoever has new ones. Any other output has a thread, which takes from here
//! all that its output doesn't have yet. That thread also does whatever may take its time for
//! a prompt output: opening, rotating, coming back after a failure.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    backlog::{Backlog, Sealed},
    batch::{Batch, Fate, Queue},
    chain::{Link, Sealer},
    collapse::Collapser,
    control::Control,
    counters::Counters,
    keys::Keys,
    ocsf::Form,
    policy::Policy,
    slot::{Slot, Wrote},
    target::Rules,
};
use crate::{config::Audit as Config, event::Stage};

/// So many bytes are kept for outputs that don't take them. Then `completed` records are lost
/// too, loudly; the others go without half of it.
const MOST: usize = 8 * 1024 * 1024;
/// A buffer that grew past this in a flood gives its memory back.
const SPARE: usize = 256 * 1024;
/// So many records from one checkpoint to the next.
const CHECKPOINT: u64 = 10_000;

/// What all of the audit log's parts share.
pub(super) struct Shared {
    pub(super) policy: Policy,
    pub(super) keys: Arc<Keys>,
    pub(super) form: Form,
    pub(super) sealer: Sealer,
    pub(super) collapser: Collapser,
    /// The chain's name.
    pub(super) chain: String,
    pub(super) counters: Counters,
    /// Wake the outputs' threads, in the order of the outputs.
    pub(super) doors: Vec<Condvar>,
    /// Every runtime's records.
    pub(super) queues: Mutex<Vec<Weak<Queue>>>,
    /// Turns true when no output is left that could ever come back.
    pub(super) hopeless: watch::Sender<bool>,
    journal: Mutex<Journal>,
    usable: AtomicBool,
    /// Bytes that are kept.
    kept: AtomicUsize,
}

/// The state under the lock.
pub(super) struct Journal {
    /// The last record's place.
    pub(super) tip: Link,
    pub(super) slots: Vec<Slot>,
    /// What the outputs go by.
    pub(super) rules: Rules,
    pub(super) closing: bool,
    pub(super) backlog: Backlog,
    /// Kept for its memory.
    lines: Vec<u8>,
    checkpoint: u64,
    /// Outputs lost (with the reason) and back, not in the log yet.
    news: Vec<(usize, Option<String>)>,
}

impl Shared {
    /// Goes on after `tip` in `chain`.
    pub(super) fn new(
        config: &Config,
        keys: Arc<Keys>,
        (chain, tip): (String, Link),
        slots: Vec<Slot>,
    ) -> Self {
        let chained = config.chain.then(|| Arc::clone(&keys));
        let names = config
            .outputs
            .iter()
            .map(|output| output.name().display().to_string());
        Self {
            counters: Counters::new(names.zip(slots.iter().map(Slot::is_live))),
            doors: slots.iter().map(|_| Condvar::new()).collect(),
            queues: Mutex::default(),
            hopeless: watch::Sender::new(false),
            usable: AtomicBool::new(slots.iter().any(Slot::is_live)),
            kept: AtomicUsize::new(0),
            journal: Mutex::new(Journal {
                tip,
                slots,
                rules: Rules::of(config),
                closing: false,
                backlog: Backlog::default(),
                lines: Vec::new(),
                checkpoint: 0,
                news: Vec::new(),
            }),
            form: Form::new(),
            sealer: Sealer::new(chained),
            collapser: Collapser::new(config.collapse),
            policy: Policy::new(config),
            keys,
            chain,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by another configuration from here on.
    pub(super) fn follow(&self, config: &Config) {
        self.policy.follow(config);
        self.collapser.follow(config.collapse);
        let rules = Rules::of(config);
        let mut journal = self.lock();
        journal.rules = rules;
        for slot in &mut journal.slots {
            slot.follow(rules);
        }
        drop(journal);
        // who waits until its file is old enough looks at the time again
        self.wake_all();
    }

    /// What the outputs go by.
    pub(super) fn rules(&self) -> Rules {
        self.lock().rules
    }

    /// Whether some output takes records.
    pub(super) fn usable(&self) -> bool {
        self.usable.load(Ordering::Acquire)
    }

    /// Whether a record of this stage may be written, or must be refused at once.
    pub(super) fn admits(&self, stage: Stage) -> bool {
        let kept = self.kept.load(Ordering::Relaxed);
        match stage {
            Stage::Admitted => kept < MOST / 2 && (self.usable() || self.policy.forgives()),
            Stage::Completed => kept < MOST,
            Stage::Refused => kept < MOST / 2,
        }
    }

    /// Until when a batch sealed now must be accepted.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.policy.timeout()).unwrap_or(now)
    }

    /// Puts records into the chain and to the outputs, and settles their fate as far as it is
    /// known by then.
    pub(super) fn seal<'b>(&self, bodies: impl Iterator<Item = &'b [u8]>, batch: &Arc<Batch>) {
        let mut journal = self.lock();
        journal.seal(bodies, batch, self);
        journal.settle(self);
    }

    /// Puts one control record in.
    pub(super) fn control(&self, control: &Control<'_>) -> Arc<Batch> {
        let (mut body, batch) = (Vec::new(), Arc::default());
        if !self.admits(Stage::Completed) {
            self.counters.lost(1);
            Batch::settle(&batch, Fate::Failed);
            return batch;
        }
        self.form.control(control, &mut body);
        self.seal(std::iter::once(body.as_slice()), &batch);
        batch
    }

    /// The time of `batch` is up: who doesn't have it yet takes too long.
    pub(super) fn expire(&self, batch: &Batch) {
        let mut journal = self.lock();
        if batch.fate().is_none() {
            let late = |slot: &Slot| slot.is_live() && slot.cursor.sequence < batch.last();
            let reason = format!("it took longer than {:?}", self.policy.timeout());
            journal.lose(late, &reason);
            journal.settle(self);
            batch.settle(Fate::Failed);
        }
    }

    fn wake(&self, index: usize) {
        if let Some(door) = self.doors.get(index) {
            door.notify_one();
        }
    }

    /// Wakes every output's thread.
    pub(super) fn wake_all(&self) {
        for door in &self.doors {
            door.notify_one();
        }
    }
}

impl Journal {
    fn seal<'b>(
        &mut self,
        bodies: impl Iterator<Item = &'b [u8]>,
        batch: &Arc<Batch>,
        shared: &Shared,
    ) {
        let before = self.tip;
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for body in bodies {
            self.tip = shared.sealer.record(&self.tip, body, &mut lines);
        }
        batch.number(self.tip.sequence);
        let (mut accepted, mut owed) = (false, false);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let wrote = slot.write_now(&lines, before, self.tip);
            let has = slot.cursor.sequence.max(before.sequence);
            let taken = has.saturating_sub(before.sequence);
            let missed = self.tip.sequence.saturating_sub(has);
            shared.counters.wrote(index, taken);
            match wrote {
                Wrote::All => accepted = true,
                Wrote::Later => {
                    owed = true;
                    shared.wake(index);
                }
                Wrote::Failed(reason) => {
                    shared.counters.missed(index, missed);
                    self.news.push((index, Some(reason)));
                    shared.wake(index);
                }
                Wrote::Lost => shared.counters.missed(index, missed),
            }
        }
        if accepted {
            batch.settle(Fate::Accepted);
        }
        if owed || !accepted {
            let sealed = Sealed {
                before,
                last: self.tip,
                lines: lines.as_slice().into(),
            };
            self.keep(sealed, accepted, batch);
        }
        lines.shrink_to(SPARE);
        self.lines = lines;
    }

    fn keep(&mut self, sealed: Sealed, accepted: bool, batch: &Arc<Batch>) {
        self.backlog.push(sealed, accepted, batch);
        if self.backlog.bytes() > MOST / 2
            && let Some(oldest) = self.backlog.oldest_accepted()
        {
            // another output has it: nobody waits for the slow one
            let slow = |slot: &Slot| slot.is_live() && slot.cursor.sequence < oldest;
            self.lose(slow, "it falls too far behind");
        }
    }

    /// Output `index` now has everything up to its cursor.
    pub(super) fn advance(&mut self, index: usize) {
        let Some(has) = self.slots.get(index).map(|slot| slot.cursor.sequence) else {
            return;
        };
        self.backlog.accept(has);
    }

    /// Gives up on the live outputs that `which` picks, whose threads are still at it.
    fn lose(&mut self, which: impl Fn(&Slot) -> bool, reason: &str) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if which(slot) {
                slot.stall();
                self.news.push((index, Some(reason.to_owned())));
            }
        }
    }

    /// Notes that output `index` was lost, or is back.
    pub(super) fn note(&mut self, index: usize, lost: Option<String>) {
        self.news.push((index, lost));
    }

    /// Draws the consequences of what changed: forgets what everybody has, fails what nobody
    /// will have, and tells of outputs lost and back.
    pub(super) fn settle(&mut self, shared: &Shared) {
        if self.tip.sequence.saturating_sub(self.checkpoint) >= CHECKPOINT {
            self.checkpoint = self.tip.sequence;
            self.write_control(&Control::Checkpoint, shared);
            tracing::info!(
                sequence = self.tip.sequence,
                hash = self.tip.hash(),
                "audit checkpoint"
            );
        }
        while !self.news.is_empty() {
            // telling one may make more
            for (index, lost) in std::mem::take(&mut self.news) {
                self.tell(index, lost.as_deref(), shared);
            }
        }
        let live = self.slots.iter().filter(|slot| slot.is_live());
        let had_by_all = live.map(|slot| slot.cursor.sequence).min();
        self.backlog.forget(had_by_all.unwrap_or(u64::MAX));
        self.judge(shared);
    }

    /// Fails what nobody takes, and says how it stands.
    fn judge(&mut self, shared: &Shared) {
        let usable = self.slots.iter().any(Slot::is_live);
        // who is told of a failure finds the log unusable
        shared.usable.store(usable, Ordering::Release);
        shared.kept.store(self.backlog.bytes(), Ordering::Relaxed);
        if !usable {
            self.backlog.fail();
            if self.slots.iter().all(Slot::is_gone) {
                shared.hopeless.send_replace(true);
            }
        }
    }

    /// Logs that an output was lost or is back, and writes it to those that are there.
    fn tell(&mut self, index: usize, lost: Option<&str>, shared: &Shared) {
        let Some(output) = shared.counters.name(index) else {
            return;
        };
        shared.counters.set_up(index, lost.is_none());
        match lost {
            Some(error) => {
                let gone = self.slots.get(index).is_some_and(Slot::is_gone);
                let next = if gone {
                    "it can't be opened again"
                } else {
                    "it is tried again until it takes records"
                };
                tracing::error!(output, error, next, "audit output lost");
                self.write_control(&Control::OutputLost { output, error }, shared);
            }
            None => {
                tracing::info!(output, "audit output is back");
                self.write_control(&Control::OutputBack { output }, shared);
            }
        }
    }

    fn write_control(&mut self, control: &Control<'_>, shared: &Shared) {
        let mut body = Vec::new();
        shared.form.control(control, &mut body);
        self.seal(std::iter::once(body.as_slice()), &Arc::default(), shared);
    }
}

/// How long a lost output is left alone, at first and at most.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(5));

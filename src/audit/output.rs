//! The thread of one output: writes what the output lacks, opens it again when it broke, and
//! rotates it. Most of the time, where the output is a plain file, it sleeps.

use std::{
    borrow::Cow,
    io,
    path::PathBuf,
    sync::{Arc, PoisonError},
    thread,
};

use tokio::sync::mpsc;

use super::{
    backlog::Sealed,
    chain::Link,
    collector,
    journal::Shared,
    rotated::tidy,
    tail::last_link,
    target::{Broken, Fault, Target},
};
use crate::config::Output;

/// Starts the thread of output `index`. It drops `running` when it ends.
pub(super) fn start(
    shared: Arc<Shared>,
    index: usize,
    output: Output,
    running: mpsc::Sender<()>,
) -> io::Result<()> {
    let name = format!("audit-{index}");
    let keep = move || {
        let _running = running;
        Keeper {
            shared,
            index,
            output,
            compressor: None,
        }
        .run();
    };
    thread::Builder::new().name(name).spawn(keep).map(drop)
}

struct Keeper {
    shared: Arc<Shared>,
    index: usize,
    output: Output,
    /// Told that a file was put aside, and how many of those are to stay.
    compressor: Option<std::sync::mpsc::Sender<usize>>,
}

/// Starts the thread that compresses what is put aside of `path`.
fn compressor(path: PathBuf) -> Option<std::sync::mpsc::Sender<usize>> {
    let (sender, told) = std::sync::mpsc::channel();
    let name = path.clone();
    let work = move || {
        for keep in told {
            tidy(&path, keep);
        }
    };
    let started = thread::Builder::new()
        .name("audit-gzip".to_owned())
        .spawn(work);
    if let Err(error) = &started {
        tracing::warn!(file = %name.display(), %error, "rotated audit files stay as they are: no thread can be started");
    }
    started.ok().map(|_thread| sender)
}

/// What an output lacks.
struct Job {
    target: Option<Target>,
    reopen: bool,
    /// It was lost, and this is a try to have it back.
    resumed: bool,
    /// The last record that it has.
    cursor: Link,
    /// The record before the first that it gets.
    before: Link,
    sealed: Vec<Arc<Sealed>>,
    /// The log is being closed: this is the last try.
    last: bool,
}

/// What became of it.
struct Done {
    target: Option<Target>,
    cursor: Link,
    result: Result<(), Fault>,
}

impl Keeper {
    fn run(mut self) {
        // an earlier process may have left some
        self.compress();
        while let Some(job) = self.next_job() {
            let (before, last) = (job.before.sequence, job.last);
            let done = self.perform(job);
            let written = done.cursor.sequence.saturating_sub(before);
            self.shared.counters.wrote(self.index, written);
            let failed = done.result.is_err();
            self.finish(done);
            if failed && last {
                return;
            }
        }
    }

    /// Waits for something to do; `None`: nothing ever again.
    fn next_job(&self) -> Option<Job> {
        let door = self.shared.doors.get(self.index)?;
        let most = match self.output {
            Output::Otlp(_) => collector::MOST,
            Output::File(_) | Output::Stderr | Output::Stdout => usize::MAX,
        };
        let mut journal = self.shared.lock();
        loop {
            let (tip, last) = (journal.tip, journal.closing);
            let slot = journal.slots.get_mut(self.index)?;
            let current = slot.is_live() && slot.cursor.sequence >= tip.sequence && !slot.reopen;
            let due_in = slot
                .target
                .as_ref()
                .and_then(Target::due_in)
                .filter(|_| current);
            let idle = current && (last || due_in.is_none_or(|wait| !wait.is_zero()));
            if slot.is_gone() || (idle && last) {
                let target = slot.target.take();
                drop(journal);
                self.close(target);
                return None;
            }
            let pause = slot.pause();
            if let Some(wait) = due_in.filter(|_| idle) {
                let waited = door.wait_timeout(journal, wait);
                journal = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if idle {
                journal = door.wait(journal).unwrap_or_else(PoisonError::into_inner);
            } else if !pause.is_zero() && !last {
                let waited = door.wait_timeout(journal, pause);
                journal = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                let (cursor, resumed) = (slot.cursor, !slot.is_live());
                let (target, reopen) = (slot.target.take(), std::mem::take(&mut slot.reopen));
                let sealed = journal.backlog.beyond(cursor, most);
                let before = sealed.first().map_or(tip, |first| first.before);
                // it may have the first of them in part
                let before = if before.sequence < cursor.sequence {
                    cursor
                } else {
                    before
                };
                return Some(Job {
                    target,
                    reopen,
                    resumed,
                    cursor,
                    before,
                    sealed,
                    last,
                });
            }
        }
    }

    /// Does the slow part, without the lock.
    fn perform(&mut self, mut job: Job) -> Done {
        let mut target = job.target.take();
        if job.reopen {
            target = target.filter(|target| !target.reopens());
        }
        let mut again = true;
        loop {
            let mut open = match target.map_or_else(|| self.open(), Ok) {
                Ok(open) => open,
                Err(error) => {
                    return Done {
                        target: None,
                        cursor: job.cursor,
                        result: Err(error.into()),
                    };
                }
            };
            let (cursor, result) = self.write(&mut open, &job);
            if again && matches!(result, Err(Fault::Deleted)) {
                (again, target) = (false, None);
                continue;
            }
            return Done {
                target: Some(open),
                cursor,
                result,
            };
        }
    }

    fn open(&self) -> io::Result<Target> {
        let rules = self.shared.rules();
        Target::open(&self.output, rules).map(|opened| opened.for_chain(&self.shared.chain))
    }

    fn write(&mut self, target: &mut Target, job: &Job) -> (Link, Result<(), Fault>) {
        let lines: Vec<_> = job
            .sealed
            .iter()
            .map(|sealed| sealed.after(job.cursor.sequence))
            .collect();
        let size = lines
            .iter()
            .map(|lines| lines.len())
            .fold(0, usize::saturating_add);
        if target.is_full(size) && target.rotate(job.cursor.sequence) {
            self.compress();
        }
        let missed = job.before.sequence.saturating_sub(job.cursor.sequence);
        let mut text = Vec::new();
        // who takes what is sent after a break may be another than before; in a file that goes on, a
        // header that says nothing new could be taken out unnoticed
        let resumed = job.resumed && !matches!(target, Target::File(_));
        if target.wants_header() || resumed || missed > 0 {
            let mut body = Vec::new();
            let shared = &self.shared;
            shared
                .form
                .header(&shared.chain, &self.name(), missed, &mut body);
            shared.sealer.header(&job.before, &body, &mut text);
        }
        text.extend(lines.into_iter().flatten());
        match target.append(&text) {
            Ok(()) => (
                job.sealed.last().map_or(job.before, |sealed| sealed.last),
                Ok(()),
            ),
            Err(Broken { whole, fault }) => {
                let there = text.get(..whole).and_then(last_link);
                (there.unwrap_or(job.cursor), Err(fault))
            }
        }
    }

    /// As its headers say it: a file's without its folder, so that a log may move.
    fn name(&self) -> Cow<'_, str> {
        let name = self.output.name().file_name();
        name.unwrap_or_default().to_string_lossy()
    }

    fn finish(&self, done: Done) {
        let mut journal = self.shared.lock();
        let rules = journal.rules;
        let Some(slot) = journal.slots.get_mut(self.index) else {
            return;
        };
        slot.target = done.target;
        slot.follow(rules);
        slot.cursor = done.cursor;
        match done.result {
            Ok(()) => {
                if slot.recover() {
                    journal.note(self.index, None);
                }
            }
            Err(fault) => {
                if slot.fail(&fault) {
                    journal.note(self.index, Some(fault.to_string()));
                }
            }
        }
        journal.advance(self.index);
        journal.settle(&self.shared);
    }

    /// Has what was put aside compressed, where that is wanted.
    fn compress(&mut self) {
        let (rules, Output::File(path)) = (self.shared.rules(), &self.output) else {
            return;
        };
        if !rules.rotate_compress {
            return;
        }
        if self.compressor.is_none() {
            self.compressor = compressor(path.clone());
        }
        if let Some(compressor) = &self.compressor
            && compressor.send(rules.rotate_keep).is_err()
        {
            tracing::warn!("the thread that compresses audit files has ended");
        }
    }

    /// What was handed to the kernel goes to the disk before the process ends.
    fn close(&self, target: Option<Target>) {
        if let Some(Err(error)) = target.map(|mut target| target.sync()) {
            let output = self.shared.counters.name(self.index);
            tracing::error!(output, %error, "audit output could not be brought to the disk at the end");
        }
    }
}

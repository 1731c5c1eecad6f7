//! The audit log: who asked for what, and how it ended, in records that can't be changed
//! unnoticed.
//!
//! It promises that a record that was accepted is kept (handed to the kernel, or on the disk,
//! as configured, by at least one output); that all outputs have the one order of records;
//! that what happened is not lost while no output works, as long as memory allows; and that
//! nothing waits for an output but who waits for its acceptance. It leaves to others to decide
//! what is worth a record and what to do when one isn't accepted.
//!
//! ```text
//! Event ─ ocsf ─▶ batch (a turn's, or one) ─▶ journal (order, chain) ─┬─▶ slot ─▶ file
//!                                                                     └─▶ output (thread) ─▶ file, stream, collector
//! ```

mod backlog;
mod batch;
mod chain;
mod classes;
mod collapse;
mod collector;
mod control;
mod counters;
mod errors;
mod file;
mod found;
mod journal;
mod keys;
mod ocsf;
mod output;
mod policy;
mod read;
mod rotated;
mod search;
mod slot;
mod stream;
mod tail;
mod target;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Instant,
};

use tokio::{runtime::Handle, sync::mpsc, time::sleep_until};

pub(crate) use batch::turn_is_over;
pub use control::Control;
pub use counters::{Count, Counters};
pub use errors::{NotAccepted, OpenError, Unwritten};
pub use keys::Keyring;
pub use read::{Input, Progress, ReadError};
pub use search::{Follow, Hit, Query, Record, records, search};
pub use verify::{Bad, Chain, Damage, Expected, NotExpected, Report, verify};

use self::{
    batch::{Fate, Flusher, Queue},
    chain::Link,
    collapse::Taken,
    found::Found,
    journal::Shared,
    keys::Keys,
};
use crate::{
    config::{Audit as Config, SecretSource},
    event::{Event, Stage},
};

/// The process's one audit log.
pub struct AuditLog {
    shared: Arc<Shared>,
    /// Ends when all outputs' threads have.
    running: mpsc::Receiver<()>,
}

/// A runtime's way into the audit log. Cloning it is a reference count.
#[derive(Clone)]
pub struct Audit {
    worker: Arc<Worker>,
}

struct Worker {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
}

impl AuditLog {
    /// Opens the outputs, goes on with the chain that they hold, and writes that the gateway
    /// has started. Reads files, so it is something for the start.
    ///
    /// # Errors
    /// [`OpenError`]; with `on_failure = "continue"` one working output isn't needed.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let secret = config.key.read().map_err(OpenError::Key)?;
        let keys = Arc::new(Keys::derive(&secret));
        let previous = config.previous_keys.iter().map(SecretSource::read);
        let previous = previous.collect::<Result<Vec<_>, _>>();
        let previous = previous.map_err(OpenError::PreviousKey)?;
        let known = Keyring::new(std::iter::once(secret).chain(previous));
        let found = Found::open(config, &known)?;
        let (chain, tip) = (found.chain, found.tip);
        let shared = Shared::new(config, keys, (chain, tip), found.slots);
        let (shared, (guard, running)) = (Arc::new(shared), mpsc::channel(1));
        for (index, output) in config.outputs.iter().cloned().enumerate() {
            let (shared, guard) = (Arc::clone(&shared), guard.clone());
            output::start(shared, index, output, guard).map_err(OpenError::Thread)?;
        }
        let log = Self { shared, running };
        let started = log.control(&Control::Start {
            chain: &log.shared.chain,
            continued: tip != Link::START,
            torn: found.torn.as_deref(),
        });
        started.await?;
        Ok(log)
    }

    /// A handle for the requests of the runtime that this is called on, where its flusher runs.
    #[must_use]
    pub fn worker(&self) -> Audit {
        let queue = Arc::<Queue>::default();
        let flusher = Flusher::new(Arc::clone(&queue), Arc::clone(&self.shared));
        let mut queues = self
            .shared
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        queues.push(Arc::downgrade(&queue));
        drop(queues);
        drop(tokio::spawn(flusher.run()));
        let shared = Arc::clone(&self.shared);
        Audit {
            worker: Arc::new(Worker { queue, shared }),
        }
    }

    /// Writes what happened to the gateway itself. It is in the log's order when this returns;
    /// the future says when it is accepted.
    pub fn control(
        &self,
        control: &Control<'_>,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        control_accepted(&self.shared, control)
    }

    /// Resolves when no output is left that could ever take a record again: a closed standard
    /// output as the only one. Then it is time to drain and to exit with 1.
    pub fn unrecoverable(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut hopeless = self.shared.hopeless.subscribe();
        async move {
            if hopeless.wait_for(|hopeless| *hopeless).await.is_err() {
                // the log was dropped: nothing will be lost any more
                std::future::pending::<()>().await;
            }
        }
    }

    /// Goes by another configuration from here on. Where records go, and what keys them, stays as
    /// it was opened.
    pub fn reload(&self, config: &Config) {
        self.shared.follow(config);
    }

    /// Opens the files anew, after somebody moved them away.
    pub fn reopen(&self) {
        for slot in &mut self.shared.lock().slots {
            slot.reopen = true;
        }
        self.shared.wake_all();
    }

    /// Writes what there is, that the gateway has stopped, and brings all to the disk. Takes
    /// up to twice `audit.timeout`.
    ///
    /// # Errors
    /// [`Unwritten`] where records are in no output.
    pub async fn close(mut self) -> Result<(), Unwritten> {
        let shared = Arc::clone(&self.shared);
        let queues =
            std::mem::take(&mut *shared.queues.lock().unwrap_or_else(PoisonError::into_inner));
        for queue in queues.iter().filter_map(std::sync::Weak::upgrade) {
            drop(queue.drain(&shared));
        }
        for held in shared.collapser.release_all() {
            let mut body = Vec::new();
            held.write(&shared.form, &mut body);
            shared.seal(std::iter::once(body.as_slice()), &Arc::default());
        }
        let stopped = self.control(&Control::Stop).await;
        shared.lock().closing = true;
        shared.wake_all();
        let ended = tokio::time::timeout(shared.policy.timeout(), self.running.recv()).await;
        let (tip, records) = {
            let journal = shared.lock();
            (journal.tip, journal.backlog.homeless())
        };
        let whole = stopped.is_ok() && ended.is_ok();
        tracing::info!(
            sequence = tip.sequence,
            hash = tip.hash(),
            whole,
            "audit log closed"
        );
        if records == 0 {
            return Ok(());
        }
        shared.counters.lost(records);
        Err(Unwritten { records })
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").finish_non_exhaustive()
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake_all();
    }
}

impl Audit {
    /// Writes the record of one request, now: this fixes its place among this runtime's
    /// records. The future resolves when an output has it; dropping it loses nothing. A
    /// request of no known route has no record.
    ///
    /// # Errors
    /// [`NotAccepted`] where no output has it in time, never with `on_failure = "continue"`.
    pub fn record(
        &self,
        event: &Event,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        let shared = &self.worker.shared;
        let stage = event.outcome.stage();
        let collapsed = stage == Stage::Refused && self.collapses(event);
        let forgiving = shared.policy.forgives();
        let batch = match event.operation {
            Some(_) if collapsed => None,
            Some(operation) if shared.admits(stage) => {
                let write = |out: &mut Vec<u8>| shared.form.event(event, operation, out);
                Some(self.worker.queue.push(shared, write))
            }
            Some(_) => {
                shared.counters.lost(1);
                None
            }
            None => None,
        };
        let none_due = collapsed || event.operation.is_none();
        async move {
            match batch {
                Some(batch) if batch.settled().await == Fate::Accepted => Ok(()),
                Some(_) | None if forgiving || none_due => Ok(()),
                Some(_) | None => Err(NotAccepted),
            }
        }
    }

    /// Whether a refusal shares another's record. That record is written when the second is over.
    fn collapses(&self, event: &Event) -> bool {
        let written_at = match self.worker.shared.collapser.take(event) {
            Taken::Alone => return false,
            Taken::Shared { written_at: None } => return true,
            Taken::Shared {
                written_at: Some(at),
            } => at,
        };
        let worker = Arc::clone(&self.worker);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep_until(written_at.into()).await;
                worker.release();
            })),
            // the runtime ends: closing the log writes it
            Err(_none) => {}
        }
        true
    }

    /// Writes what happened to the gateway itself, see [`AuditLog::control`].
    pub fn control(
        &self,
        control: &Control<'_>,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        control_accepted(&self.worker.shared, control)
    }

    /// An email in its canonical form, as the log shows it.
    #[must_use]
    pub fn email(&self, canonical: &str) -> Box<str> {
        let shared = &self.worker.shared;
        shared.keys.email(canonical, shared.policy.email())
    }

    /// A login token, as the log shows it: its keyed hash.
    #[must_use]
    pub fn token_hash(&self, token: &str) -> Box<str> {
        self.worker.shared.keys.login(token)
    }

    /// Whether some output takes records.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.worker.shared.usable()
    }

    /// For the metrics.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.worker.shared.counters
    }
}

impl Worker {
    /// Writes the records that refusals of a second that is over share.
    fn release(&self) {
        for held in self.shared.collapser.release(Instant::now()) {
            if self.shared.admits(Stage::Refused) {
                let write = |out: &mut Vec<u8>| held.write(&self.shared.form, out);
                drop(self.queue.push(&self.shared, write));
            } else {
                self.shared.counters.lost(1);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn control_accepted(
    shared: &Arc<Shared>,
    control: &Control<'_>,
) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
    let batch = shared.control(control);
    let shared = Arc::clone(shared);
    async move {
        let settled = tokio::time::timeout(shared.policy.timeout(), batch.settled());
        if settled.await.is_err() {
            shared.expire(&batch);
        }
        match batch.fate() {
            Some(Fate::Accepted) => Ok(()),
            _ if shared.policy.forgives() => Ok(()),
            Some(Fate::Failed) | None => Err(NotAccepted),
        }
    }
}

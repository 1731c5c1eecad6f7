//! One output as the journal sees it: what it has, whether it takes more, and when to try
//! again.

use std::time::{Duration, Instant};

use super::{
    chain::Link,
    journal::BACKOFF,
    tail::last_link,
    target::{Fault, Rules, Target},
};

/// Whether an output takes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It was closed at the other end and can't be opened again.
    Gone,
    /// It takes them.
    Live,
    /// It does not, for now.
    Lost,
}

/// An output's state.
pub(super) struct Slot {
    /// The last record that it has.
    pub(super) cursor: Link,
    /// `None` while its thread has it, or it isn't open.
    pub(super) target: Option<Target>,
    /// It is to be opened anew.
    pub(super) reopen: bool,
    health: Health,
    /// Not before this.
    retry_at: Option<Instant>,
    backoff: Duration,
}

/// What became of lines that an output was to take at once.
pub(super) enum Wrote {
    /// It has them.
    All,
    /// It broke just now, and why.
    Failed(String),
    /// Its thread will write them.
    Later,
    /// It takes nothing for now.
    Lost,
}

impl Slot {
    /// An open output that has everything up to `cursor`, or one that could not be opened.
    pub(super) const fn new(target: Option<Target>, cursor: Link) -> Self {
        Self {
            health: if target.is_some() {
                Health::Live
            } else {
                Health::Lost
            },
            cursor,
            target,
            reopen: false,
            retry_at: None,
            backoff: BACKOFF.0,
        }
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.health, Health::Live)
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.health, Health::Gone)
    }

    /// Goes by other rules from here on; what its thread has follows when it is back.
    pub(super) fn follow(&mut self, rules: Rules) {
        if let Some(target) = &mut self.target {
            target.follow(rules);
        }
    }

    /// Writes here and now if the output is prompt and has everything before these lines.
    pub(super) fn write_now(&mut self, lines: &[u8], before: Link, last: Link) -> Wrote {
        if !self.is_live() {
            return Wrote::Lost;
        }
        let current = self.cursor.sequence == before.sequence && !self.reopen;
        let target = self.target.as_mut().filter(|target| {
            current && target.is_prompt() && !target.wants_header() && !target.is_full(lines.len())
        });
        let Some(target) = target else {
            return Wrote::Later;
        };
        match target.append(lines) {
            Ok(()) => {
                self.cursor = last;
                Wrote::All
            }
            Err(broken) if matches!(broken.fault, Fault::Deleted) => {
                self.reopen = true;
                Wrote::Later
            }
            Err(broken) => {
                let whole = lines.get(..broken.whole).unwrap_or_default();
                self.cursor = last_link(whole).unwrap_or(self.cursor);
                self.fail(&broken.fault);
                Wrote::Failed(broken.fault.to_string())
            }
        }
    }

    /// It broke. True where that is news.
    pub(super) fn fail(&mut self, fault: &Fault) -> bool {
        let news = self.is_live();
        self.health = if matches!(fault, Fault::Closed) {
            Health::Gone
        } else {
            Health::Lost
        };
        // what is open may be what is broken
        self.reopen = true;
        let wait = match fault {
            Fault::NotTaken(failure) => failure.retry_after(),
            Fault::Closed | Fault::Deleted | Fault::Io(_) => None,
        };
        let wait = wait.map_or(self.backoff, |asked| asked.max(self.backoff));
        self.retry_at = Instant::now().checked_add(wait);
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF.1);
        news
    }

    /// Its thread doesn't come back from a write: no use to wait for it.
    pub(super) const fn stall(&mut self) {
        self.health = Health::Lost;
        self.retry_at = None;
    }

    /// It took what it was given. True where it was lost before.
    pub(super) fn recover(&mut self) -> bool {
        let news = self.health == Health::Lost;
        self.health = Health::Live;
        self.retry_at = None;
        self.backoff = BACKOFF.0;
        news
    }

    /// How long to leave it alone still.
    pub(super) fn pause(&self) -> Duration {
        self.retry_at.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }
}

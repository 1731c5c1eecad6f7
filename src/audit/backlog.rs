//! Sealed records that an output, or every output, still lacks.

use std::{collections::VecDeque, sync::Arc};

use super::{
    batch::{Batch, Fate},
    chain::Link,
};

/// Lines that went into the chain together.
pub(super) struct Sealed {
    /// The place before the first.
    pub(super) before: Link,
    /// The place of the last.
    pub(super) last: Link,
    pub(super) lines: Box<[u8]>,
}

impl Sealed {
    /// The lines that come after record `sequence`.
    pub(super) fn after(&self, sequence: u64) -> &[u8] {
        let skip = sequence.saturating_sub(self.before.sequence);
        let mut rest = &*self.lines;
        for _ in 0..skip {
            let newline = rest.iter().position(|byte| *byte == b'\n');
            let start = newline.map_or(rest.len(), |place| place.saturating_add(1));
            rest = rest.get(start..).unwrap_or_default();
        }
        rest
    }
}

/// What is kept, oldest first.
///
/// Invariant: its records follow one another up to the chain's last.
#[derive(Default)]
pub(super) struct Backlog {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Up to this record no batch is open.
    failed: u64,
}

struct Kept {
    sealed: Arc<Sealed>,
    accepted: bool,
    batch: Arc<Batch>,
}

impl Backlog {
    /// Keeps what some output lacks; `accepted`: another has it.
    pub(super) fn push(&mut self, sealed: Sealed, accepted: bool, batch: &Arc<Batch>) {
        self.bytes = self.bytes.saturating_add(sealed.lines.len());
        self.kept.push_back(Kept {
            sealed: Arc::new(sealed),
            accepted,
            batch: Arc::clone(batch),
        });
    }

    /// How much it is.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the output that has everything up to `cursor` lacks; about `most` bytes of it.
    pub(super) fn beyond(&self, cursor: Link, most: usize) -> Vec<Arc<Sealed>> {
        let has = |kept: &Kept| kept.sealed.last.sequence <= cursor.sequence;
        let lacking = self.kept.range(self.kept.partition_point(has)..);
        let mut bytes = 0_usize;
        let fits = |kept: &&Kept| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(kept.sealed.lines.len());
            first || bytes <= most
        };
        let lacking = lacking.take_while(fits);
        lacking.map(|kept| Arc::clone(&kept.sealed)).collect()
    }

    /// The number of the oldest batch's last record, where an output has it.
    pub(super) fn oldest_accepted(&self) -> Option<u64> {
        let oldest = self.kept.front().filter(|kept| kept.accepted)?;
        Some(oldest.sealed.last.sequence)
    }

    /// An output has everything up to record `sequence`.
    pub(super) fn accept(&mut self, sequence: u64) {
        for kept in &mut self.kept {
            if kept.sealed.last.sequence > sequence {
                return;
            }
            if !kept.accepted {
                kept.accepted = true;
                kept.batch.settle(Fate::Accepted);
            }
        }
    }

    /// No output takes anything: nobody needs to wait.
    pub(super) fn fail(&mut self) {
        let settled = |kept: &Kept| kept.sealed.last.sequence <= self.failed;
        let open = self.kept.range(self.kept.partition_point(settled)..);
        for kept in open {
            kept.batch.settle(Fate::Failed);
        }
        self.failed = self
            .kept
            .back()
            .map_or(self.failed, |kept| kept.sealed.last.sequence);
    }

    /// Forgets what was accepted and is not above `sequence`.
    pub(super) fn forget(&mut self, sequence: u64) {
        while let Some(oldest) = self.kept.front() {
            if !oldest.accepted || oldest.sealed.last.sequence > sequence {
                return;
            }
            self.bytes = self.bytes.saturating_sub(oldest.sealed.lines.len());
            self.kept.pop_front();
        }
    }

    /// How many records no output has.
    pub(super) fn homeless(&self) -> u64 {
        let records = |sealed: &Sealed| sealed.last.sequence.saturating_sub(sealed.before.sequence);
        let homeless = self.kept.iter().filter(|kept| !kept.accepted);
        homeless
            .map(|kept| records(&kept.sealed))
            .fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Link {
        Link {
            sequence,
            ..Link::START
        }
    }

    fn backlog() -> (Backlog, [Arc<Batch>; 3]) {
        let (mut backlog, batches) = (Backlog::default(), <[Arc<Batch>; 3]>::default());
        let sealed = [
            (10, 12, "eleven\ntwelve\n"),
            (12, 13, "thirteen\n"),
            (13, 14, "fourteen\n"),
        ];
        for ((before, last, lines), batch) in sealed.into_iter().zip(&batches) {
            let sealed = Sealed {
                before: at(before),
                last: at(last),
                lines: lines.as_bytes().into(),
            };
            backlog.push(sealed, false, batch);
        }
        (backlog, batches)
    }

    #[test]
    fn an_output_gets_what_comes_after_its_last_record() {
        let (backlog, _) = backlog();
        let lines = |sequence| -> String {
            let beyond = backlog.beyond(at(sequence), usize::MAX);
            let lines = beyond.iter().map(|sealed| sealed.after(sequence));
            lines.map(|lines| str::from_utf8(lines).unwrap()).collect()
        };
        assert_eq!(lines(10), "eleven\ntwelve\nthirteen\nfourteen\n");
        assert_eq!(lines(11), "twelve\nthirteen\nfourteen\n");
        assert_eq!(lines(13), "fourteen\n");
        assert_eq!(lines(14), "");
        let some = |most| backlog.beyond(at(10), most).len();
        assert_eq!((some(0), some(22), some(23), some(32)), (1, 1, 2, 3));
    }

    #[test]
    fn what_no_output_has_is_never_forgotten() {
        let (mut backlog, batches) = backlog();
        backlog.forget(u64::MAX);
        assert_eq!(backlog.homeless(), 4);
        backlog.accept(13);
        assert_eq!(batches[1].fate(), Some(Fate::Accepted));
        assert_eq!(batches[2].fate(), None);
        backlog.forget(12);
        assert_eq!((backlog.homeless(), backlog.bytes()), (1, 18));
        backlog.fail();
        assert_eq!(batches[2].fate(), Some(Fate::Failed));
        assert_eq!(batches[1].fate(), Some(Fate::Accepted));
        backlog.forget(u64::MAX);
        assert_eq!(backlog.homeless(), 1);
    }
}

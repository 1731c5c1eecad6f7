//! What can't be judged before more of the log is read.
//!
//! A line whose hash doesn't hold was inserted if the next good record continues the chain as if
//! it weren't there, and was changed if that one leaves it a place. A record that doesn't continue
//! has another removed before it, unless that one still comes: then this one was moved.

use super::damage::{Bad, Damage};
use crate::audit::{
    chain::{Line, Link, Remains, missed_of},
    read::{Input, Text},
};

/// A line that is ours, or was, and doesn't hold. The next record decides what it is.
pub(super) struct Doubt {
    bad: Bad,
    /// What it is if nothing shows that it was inserted; then something must stand there.
    pub(super) needed: bool,
    /// It may be the beginning of a record that was written whole later: a pipe broke.
    fragment: Option<Vec<u8>>,
}

impl Doubt {
    /// A whole line.
    pub(super) const fn line(bad: Bad, needed: bool) -> Self {
        Self {
            bad,
            needed,
            fragment: None,
        }
    }

    /// What may be left of a line.
    pub(super) fn remains(mut bad: Bad, text: &Text<'_>, remains: Remains) -> Self {
        if remains.begins && !remains.closed && !(remains.sealed && text.ended) {
            (bad.damage, bad.detail) = if text.bytes.ends_with(b"}}") && text.ended {
                let detail = "it has no hash: audit.chain was false";
                (Damage::Unchained, detail.to_owned())
            } else {
                let detail = "the record was never finished, or its end is cut off";
                (Damage::CutOff, detail.to_owned())
            };
        }
        Self {
            bad,
            needed: false,
            fragment: remains.begins.then(|| text.bytes.to_vec()),
        }
    }

    /// Whether it is an unfinished line at the end of this input.
    pub(super) fn is_torn(&self, input: &Input) -> bool {
        self.bad.damage == Damage::CutOff && self.bad.input.as_ref() == Some(input)
    }

    /// What it is where the record after it continues the chain; `None`: nothing bad.
    pub(super) fn before(self, record: &[u8]) -> Option<Bad> {
        if let Some(fragment) = &self.fragment
            && record.starts_with(fragment)
        {
            return None;
        }
        if self.needed {
            return Some(self.alone());
        }
        Some(Bad {
            damage: Damage::Inserted,
            detail: "it is no record of this chain, and none is missing".to_owned(),
            ..self.bad
        })
    }

    /// What it is where nothing after it says more.
    pub(super) fn alone(self) -> Bad {
        self.bad
    }
}

/// Something that should have come, and may still.
pub(super) struct Search {
    /// It stands after this.
    after: Link,
    what: What,
    bad: Bad,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// The header of the input that is being read.
    Header,
    Record,
}

impl Search {
    /// For the header of a file; `bad`: if it doesn't come.
    pub(super) const fn header(after: Link, bad: Bad) -> Self {
        Self {
            after,
            what: What::Header,
            bad,
        }
    }

    /// For a record; `bad`: if it doesn't come.
    pub(super) const fn record(after: Link, bad: Bad) -> Self {
        Self {
            after,
            what: What::Record,
            bad,
        }
    }

    /// Whether only what is being read is looked through.
    pub(super) fn ends_with_input(&self) -> bool {
        self.what == What::Header
    }

    /// Whether this is it, if its hash holds.
    pub(super) fn is_for(&self, line: &Line<'_>, text: &[u8]) -> bool {
        let place = line.before();
        match self.what {
            What::Header => line.header && place.sequence <= self.after.sequence,
            What::Record if line.header => {
                let missed = missed_of(text);
                missed > 0 && place.sequence.checked_sub(missed) == Some(self.after.sequence)
            }
            What::Record => place == self.after,
        }
    }

    /// It has come, here.
    pub(super) fn found(self, input: &Input, line: u64) -> Bad {
        let what = match self.what {
            What::Header => "the file's header",
            What::Record => "the record",
        };
        Bad {
            damage: Damage::Moved,
            detail: format!("{what} that belongs here stands in {input}, line {line}"),
            ..self.bad
        }
    }

    /// It has not come.
    pub(super) fn in_vain(self) -> Bad {
        self.bad
    }
}

/// The number in what may be left of a line.
pub(super) fn number_of(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(br#"{"metadata":{"sequence":"#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

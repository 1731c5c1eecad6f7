//! What can be wrong with a log, in words.

use std::{fmt, time::SystemTime};

use crate::audit::read::Input;

/// What was done to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its bytes are not those that were written.
    Changed,
    /// It, or what came after it, is cut off.
    CutOff,
    /// It was not written there.
    Inserted,
    /// It stands where another belongs, which comes later.
    Moved,
    /// What was before it is gone.
    Removed,
    /// It was written without a chain, so nothing shows whether it was changed.
    Unchained,
    /// It was written with a key that isn't known.
    WrongKey,
}

impl Damage {
    /// For scripts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::CutOff => "cut-off",
            Self::Inserted => "inserted",
            Self::Moved => "moved",
            Self::Removed => "removed",
            Self::Unchained => "unchained",
            Self::WrongKey => "wrong-key",
        }
    }
}

/// The first bad record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// What was done.
    pub damage: Damage,
    /// In which input; `None` where none was given.
    pub input: Option<Input>,
    /// In which of its lines, from 1; 0: none of them.
    pub line: u64,
    /// The record's number, where it says one.
    pub sequence: Option<u64>,
    /// When it was written, as it says.
    pub time: Option<SystemTime>,
    /// More of it, for people.
    pub detail: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(input) = &self.input {
            write!(f, "{input}")?;
            if self.line > 0 {
                write!(f, ", line {}", self.line)?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", self.damage.as_str(), self.detail)
    }
}

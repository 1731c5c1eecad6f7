//! Reads a log back and says where it is not as it was written.
//!
//! It promises that whoever doesn't have the key can't change, remove, insert or move a record
//! without its being found, and says which record it was and what was done to it. Two things
//! can't be seen from inside a log: that its end was cut off, unless a later file follows, and
//! that a file is missing before the first; for these there is `expected`, a record that is known
//! to have been written. A header that stands in the middle of a stream and says that nothing is
//! missed is no record, and nobody misses it.
//!
//! Lines of others are passed over. A line that was ours, or pretends to be, is not.

mod damage;
mod doubt;
#[cfg(test)]
mod tests;
mod verifier;

use std::time::{Duration, SystemTime};

pub use damage::{Bad, Damage};
use verifier::Verifier;

use super::{
    chain::{DIGITS, Link},
    keys::Keyring,
    read::{Input, Progress, ReadError, in_order},
};

/// A record that is known to have been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    sequence: u64,
    hash: [u8; DIGITS],
}

/// It isn't written `SEQUENCE:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write it like 1234:HASH, with the hash of 64 hexadecimal digits, as verify and the gateway's log show it"
)]
pub struct NotExpected;

impl std::str::FromStr for Expected {
    type Err = NotExpected;

    fn from_str(text: &str) -> Result<Self, NotExpected> {
        let (sequence, hash) = text.split_once(':').ok_or(NotExpected)?;
        let hash: [u8; DIGITS] = hash
            .to_ascii_lowercase()
            .into_bytes()
            .try_into()
            .map_err(|_other_length| NotExpected)?;
        if !hash.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotExpected);
        }
        let sequence = sequence.parse().map_err(|_no_number| NotExpected)?;
        Ok(Self { sequence, hash })
    }
}

impl Expected {
    const fn link(&self) -> Link {
        Link {
            sequence: self.sequence,
            hash: self.hash,
        }
    }

    /// It was not met in a log that is good otherwise.
    fn missing(&self, chains: &[Chain], last: Option<&Input>) -> Bad {
        let number = self.sequence;
        let has = |chain: &Chain| (chain.after..=chain.link.sequence).contains(&number);
        let (damage, detail) = if chains.iter().any(has) {
            let detail =
                format!("record {number} is another than expected: the log was written anew");
            (Damage::Changed, detail)
        } else if chains.iter().any(|chain| chain.link.sequence < number) || chains.is_empty() {
            let detail = format!("it ends before record {number}, which is expected");
            (Damage::CutOff, detail)
        } else {
            let detail = format!(
                "it begins after record {number}, which is expected: give the older files too"
            );
            (Damage::CutOff, detail)
        };
        Bad {
            damage,
            input: last.cloned(),
            line: 0,
            sequence: Some(number),
            time: None,
            detail,
        }
    }
}

/// One instance's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name; `None` where its beginning isn't here.
    pub name: Option<String>,
    /// After which record it begins here; 0: with its first.
    pub after: u64,
    /// How many records are here.
    pub records: u64,
    /// How many more this output never had, as its headers say.
    pub missed: u64,
    /// Which output it is of, as its first header here says.
    output: Option<String>,
    /// When the first and the last were written, in milliseconds since 1970.
    span: Option<(u64, u64)>,
    /// The place of the last.
    link: Link,
}

impl Chain {
    fn after(place: Link, name: Option<&str>) -> Self {
        Self {
            name: name.map(str::to_owned),
            after: place.sequence,
            records: 0,
            missed: 0,
            output: None,
            span: None,
            link: place,
        }
    }

    fn accept(&mut self, link: Link, written: Option<u64>) {
        self.link = link;
        self.records = self.records.saturating_add(1);
        if let Some(now) = written {
            self.span = Some((self.span.map_or(now, |(began, _)| began), now));
        }
    }

    #[cfg(test)]
    pub(super) const fn link(&self) -> Link {
        self.link
    }

    /// The last record's number; that of the one before where there is none.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.link.sequence
    }

    /// The last record's hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.link.hash()
    }

    /// When the first record was written.
    #[must_use]
    pub fn began(&self) -> Option<SystemTime> {
        time(self.span?.0)
    }

    /// When the last record was written.
    #[must_use]
    pub fn ended(&self) -> Option<SystemTime> {
        time(self.span?.1)
    }
}

fn time(milliseconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// What a log was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was read, in this order.
    pub inputs: Vec<Input>,
    /// The good records, up to the first bad one.
    pub chains: Vec<Chain>,
    /// Lines that are none of ours.
    pub foreign: u64,
    /// The first bad record.
    pub bad: Option<Bad>,
}

impl Report {
    /// How many good records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        let records = self.chains.iter().map(|chain| chain.records);
        records.fold(0, u64::saturating_add)
    }
}

/// Verifies a log, whose files may come in any order.
///
/// # Errors
/// [`ReadError`] where one of them can't be read.
pub fn verify(
    inputs: &[Input],
    keys: &Keyring,
    expected: Option<&Expected>,
    read: &Progress,
) -> Result<Report, ReadError> {
    let mut verifier = Verifier::new(keys, expected);
    let mut files = in_order(inputs, read)?;
    for file in &mut files {
        let mut lines = file.lines(read)?;
        verifier.begin(&file.input);
        while !verifier.is_decided() {
            let error = match lines.next() {
                Ok(Some(text)) => {
                    verifier.line(&text);
                    continue;
                }
                Ok(None) => break,
                Err(error) => error,
            };
            if !lines.compressed() {
                let input = file.input.clone();
                return Err(ReadError {
                    input,
                    cause: error,
                });
            }
            verifier.cut(&error);
        }
    }
    let inputs = files.into_iter().map(|file| file.input).collect();
    Ok(verifier.report(inputs))
}

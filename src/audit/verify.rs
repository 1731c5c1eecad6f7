//! Reads a log back and says where it is not as it was written.

use super::{
    chain::{Line, Link},
    keys::Keys,
};

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Its bytes are not those that were written.
    Changed,
    /// It stands where it doesn't belong: doubled, or moved.
    Moved,
    /// The log, or a file of it, begins without a header.
    NoHeader,
    /// What was before it is gone.
    Removed,
    /// It was written with a key that isn't known.
    WrongKey,
}

/// The first bad line, counted from 1 over all files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) line: usize,
    pub(super) damage: Damage,
}

/// What a good log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) records: u64,
    /// Records that this output never had, as its headers say.
    pub(super) missed: u64,
    pub(super) last: Link,
}

/// Verifies an output's `files`, oldest first. Foreign lines are passed over.
pub(super) fn verify_chain<'a>(
    files: impl IntoIterator<Item = &'a [u8]>,
    keys: &[&Keys],
) -> Result<Summary, Bad> {
    let mut summary = Summary {
        records: 0,
        missed: 0,
        last: Link::START,
    };
    let mut number = 0_usize;
    let mut begun = false;
    for file in files {
        let mut fresh = true;
        let mut previous: &[u8] = b"";
        for text in file.split(|byte| *byte == b'\n') {
            number = number.saturating_add(1);
            let Some(line) = Line::parse(text) else {
                continue;
            };
            let bad = |damage| Bad {
                line: number,
                damage,
            };
            if fresh && !line.header {
                return Err(bad(Damage::NoHeader));
            }
            if text == previous {
                // a header's place alone would allow it twice
                return Err(bad(Damage::Moved));
            }
            previous = text;
            check_seal(&line, keys).map_err(bad)?;
            let before = begun.then_some(summary.last);
            check_place(&line, text, before, &mut summary).map_err(bad)?;
            summary.last = line.link();
            (fresh, begun) = (false, true);
        }
    }
    Ok(summary)
}

fn check_seal(line: &Line<'_>, keys: &[&Keys]) -> Result<(), Damage> {
    let seal = line.seal.ok_or(Damage::Changed)?;
    let mut known = keys.iter().filter(|keys| keys.id == seal.key_id).peekable();
    if known.peek().is_none() {
        return Err(Damage::WrongKey);
    }
    known
        .any(|keys| seal.holds(keys))
        .then_some(())
        .ok_or(Damage::Changed)
}

fn check_place(
    line: &Line<'_>,
    text: &[u8],
    before: Option<Link>,
    summary: &mut Summary,
) -> Result<(), Damage> {
    let Some(before) = before else {
        return Ok(());
    };
    let prev = line.seal.map(|seal| seal.prev);
    if line.header {
        let missed = missed(text);
        summary.missed = summary.missed.saturating_add(missed);
        let expected = before.sequence.saturating_add(missed);
        return match line.sequence.cmp(&expected) {
            std::cmp::Ordering::Less => Err(Damage::Moved),
            std::cmp::Ordering::Equal if missed > 0 || prev == Some(before.hash) => Ok(()),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Err(Damage::Removed),
        };
    }
    if line.sequence <= before.sequence {
        return Err(Damage::Moved);
    }
    if line.sequence > before.sequence.saturating_add(1) || prev != Some(before.hash) {
        return Err(Damage::Removed);
    }
    summary.records = summary.records.saturating_add(1);
    Ok(())
}

/// What a header says is not in this output.
fn missed(text: &[u8]) -> u64 {
    let text = str::from_utf8(text).unwrap_or_default();
    let digits = text
        .split_once(r#","missed":"#)
        .map_or("", |(_, rest)| rest);
    let end = digits.find(|digit: char| !digit.is_ascii_digit());
    digits
        .get(..end.unwrap_or_default())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_default()
}

//! What makes the records a chain: each line ends in a keyed hash over its own bytes, and
//! among those bytes stands the hash of the line before.
//!
//! A line is `{"metadata":{"sequence":N,` + body + `,"key_id":"…","prev":"…"` +
//! `,"hash":"…"}}`. The hash (HMAC-SHA256, RFC 2104) is over every byte before `,"hash":`, as
//! written, so there is no canonical form to argue about. Without a chain the line ends after
//! the body.

use std::sync::Arc;

use super::keys::Keys;
use crate::json::{hex, number, raw};

/// Hexadecimal digits of a hash.
pub(super) const DIGITS: usize = 64;
/// What a line begins with.
const HEAD: &str = r#"{"metadata":{"sequence":"#;
/// What stands before the hash, and what comes after it.
const HASH: &str = r#","hash":""#;
const TAIL: &str = "\"}}";
/// What stands between a key's id and the hash of the line before.
const PREV: &str = r#"","prev":""#;
/// What a header's body holds and, since texts are escaped, no other body can.
const HEADER: &str = r#""unmapped":{"event":"header""#;

/// A place in the chain: a record's number, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its `metadata.sequence`; 0: before the first.
    pub(super) sequence: u64,
    /// Its hash, in hexadecimal.
    pub(super) hash: [u8; DIGITS],
}

impl Link {
    /// Before the first record.
    pub(super) const START: Self = Self {
        sequence: 0,
        hash: [b'0'; DIGITS],
    };

    /// The hash as text.
    pub(super) fn hash(&self) -> &str {
        str::from_utf8(&self.hash).unwrap_or_default()
    }
}

/// Makes lines of bodies.
pub(super) struct Sealer {
    keys: Option<Arc<Keys>>,
    /// Key id and the beginning of `prev`, the same for all lines.
    before_prev: String,
}

impl Sealer {
    /// With `keys`: a chain. Without: only numbers.
    pub(super) fn new(keys: Option<Arc<Keys>>) -> Self {
        let id = keys.as_ref().map_or("", |keys| &keys.id);
        Self {
            before_prev: format!(r#","key_id":"{id}","prev":""#),
            keys,
        }
    }

    /// Appends the record that follows `before`, and returns its place.
    pub(super) fn record(&self, before: &Link, body: &[u8], out: &mut Vec<u8>) -> Link {
        let sequence = before.sequence.saturating_add(1);
        Link {
            sequence,
            hash: self.line(sequence, before, body, out),
        }
    }

    /// Appends a header for what follows `before`. It is no link of the chain: it has the
    /// number of the record before it, and the next record doesn't name its hash.
    pub(super) fn header(&self, before: &Link, body: &[u8], out: &mut Vec<u8>) {
        self.line(before.sequence, before, body, out);
    }

    fn line(&self, sequence: u64, before: &Link, body: &[u8], out: &mut Vec<u8>) -> [u8; DIGITS] {
        let start = out.len();
        number(out, HEAD, sequence);
        out.push(b',');
        out.extend_from_slice(body);
        let Some(keys) = &self.keys else {
            raw(out, "}}\n");
            return Link::START.hash;
        };
        raw(out, &self.before_prev);
        out.extend_from_slice(&before.hash);
        out.push(b'"');
        let signed = out.get(start..).unwrap_or_default();
        let hash = digits(&keys.chain.hash([signed]));
        raw(out, HASH);
        out.extend_from_slice(&hash);
        raw(out, TAIL);
        out.push(b'\n');
        hash
    }
}

/// A hash in hexadecimal.
fn digits(hash: &[u8]) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
        pair.copy_from_slice(&hex(*byte));
    }
    digits
}

/// A line of ours, read back. Nothing is verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number.
    pub(super) sequence: u64,
    /// Whether it is a header.
    pub(super) header: bool,
    /// Its part of the chain; `None` where it was written without one.
    pub(super) seal: Option<Seal<'a>>,
}

/// The end of a chained line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal<'a> {
    /// The bytes that the hash is over.
    pub(super) signed: &'a [u8],
    /// Which key it was made with.
    pub(super) key_id: &'a str,
    /// The hash before it.
    pub(super) prev: [u8; DIGITS],
    /// Its own.
    pub(super) hash: [u8; DIGITS],
}

impl<'a> Line<'a> {
    /// Reads a line, without its newline; `None` where it is none of ours.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(HEAD.as_bytes())?;
        let end = rest.iter().position(|byte| *byte == b',')?;
        let sequence = str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
        line.strip_suffix(b"}}")?;
        let header = memchr::memmem::find(line, HEADER.as_bytes()).is_some();
        Some(Self {
            sequence,
            header,
            seal: Seal::parse(line),
        })
    }

    /// The place in the chain that it follows itself.
    pub(super) fn before(&self) -> Link {
        Link {
            sequence: self.sequence.saturating_sub(u64::from(!self.header)),
            hash: self.seal.map_or(Link::START.hash, |seal| seal.prev),
        }
    }

    /// The place in the chain that the next record follows.
    pub(super) fn link(&self) -> Link {
        let hash = match self.seal {
            Some(seal) if self.header => seal.prev,
            Some(seal) => seal.hash,
            None => Link::START.hash,
        };
        Link {
            sequence: self.sequence,
            hash,
        }
    }
}

impl<'a> Seal<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (rest, hash) = hash_before(line.strip_suffix(TAIL.as_bytes())?)?;
        let signed = rest.strip_suffix(HASH.as_bytes())?;
        let (rest, prev) = hash_before(signed.strip_suffix(b"\"")?)?;
        let rest = rest.strip_suffix(PREV.as_bytes())?;
        let from = rest
            .iter()
            .rposition(|byte| *byte == b'"')?
            .saturating_add(1);
        rest.get(..from)?.strip_suffix(br#","key_id":""#)?;
        Some(Self {
            signed,
            key_id: str::from_utf8(rest.get(from..)?).ok()?,
            prev,
            hash,
        })
    }

    /// Whether the line is as it was written with `keys`.
    pub(super) fn holds(&self, keys: &Keys) -> bool {
        digits(&keys.chain.hash([self.signed])) == self.hash
    }

    /// Whether only its key id is another than that of the `keys` that it was written with.
    pub(super) fn was_of(&self, keys: &Keys) -> bool {
        let after_id = PREV.len().saturating_add(DIGITS).saturating_add(1);
        let end = self.signed.len().saturating_sub(after_id);
        let start = end.saturating_sub(self.key_id.len());
        let (Some(before), Some(after)) = (self.signed.get(..start), self.signed.get(end..)) else {
            return false;
        };
        let signed = [before, keys.id.as_bytes(), after];
        digits(&keys.chain.hash(signed)) == self.hash
    }
}

/// What follows `before` in a line, up to `after`.
fn between<'a>(line: &'a [u8], before: &str, after: u8) -> Option<&'a str> {
    let start = memchr::memmem::find(line, before.as_bytes())?.saturating_add(before.len());
    let rest = line.get(start..)?;
    let end = memchr::memchr(after, rest)?;
    str::from_utf8(rest.get(..end)?).ok()
}

/// What may be left of a line of ours that can't be read as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remains {
    /// It begins as a line of ours does.
    pub(super) begins: bool,
    /// It has a part of the chain.
    pub(super) sealed: bool,
    /// It goes on after that.
    pub(super) closed: bool,
}

impl Remains {
    /// Looks at a line; `None`: it is none of ours.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let find = |part: &str| memchr::memmem::find(line, part.as_bytes());
        let has = |part: &str| find(part).is_some();
        let begins = line.starts_with(HEAD.as_bytes());
        let ends = || line.ends_with(TAIL.as_bytes()) && has(PREV) && has(HASH);
        (begins || ends()).then(|| Self {
            begins,
            sealed: has(PREV) || has(HASH),
            closed: find(HASH).is_some_and(|hash| {
                let rest = line.get(hash..).unwrap_or_default();
                memchr::memmem::find(rest, TAIL.as_bytes()).is_some()
            }),
        })
    }
}

/// The chain that a header names.
pub(super) fn chain_of(header: &[u8]) -> Option<&str> {
    between(header, r#""event":"header","chain":""#, b'"')
}

/// The output that a header is of; `None` in logs of before they said that.
pub(super) fn output_of(header: &[u8]) -> Option<&str> {
    between(header, r#","output":""#, b'"')
}

/// How many records a header says are not in its output.
pub(super) fn missed_of(header: &[u8]) -> u64 {
    let missed = between(header, r#","missed":"#, b',').and_then(|digits| digits.parse().ok());
    missed.unwrap_or_default()
}

/// When a line was written, in milliseconds since 1970.
pub(super) fn time_of(line: &[u8]) -> Option<u64> {
    between(line, r#","time":"#, b',')?.parse().ok()
}

/// OCSF's severity of a line; 0: unknown.
pub(super) fn severity_of(line: &[u8]) -> u64 {
    let severity = between(line, r#","severity_id":"#, b',').and_then(|digits| digits.parse().ok());
    severity.unwrap_or_default()
}

/// Splits the hash off the end.
fn hash_before(bytes: &[u8]) -> Option<(&[u8], [u8; DIGITS])> {
    let (rest, hash) = bytes.split_last_chunk::<DIGITS>()?;
    let hexadecimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    hash.iter().all(hexadecimal).then_some((rest, *hash))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    const BODY: &[u8] = br#""version":"1.8.0"},"unmapped":{"stage":"refused""#;

    fn keys() -> Arc<Keys> {
        Arc::new(Keys::derive(&SecretString::from("a key")))
    }

    #[test]
    fn a_line_read_back_is_the_line_written() {
        let (keys, mut out) = (keys(), Vec::new());
        let sealer = Sealer::new(Some(Arc::clone(&keys)));
        let first = sealer.record(&Link::START, BODY, &mut out);
        let second = sealer.record(&first, BODY, &mut out);
        let lines: Vec<_> = out.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        let (one, two) = (
            Line::parse(lines[0]).unwrap(),
            Line::parse(lines[1]).unwrap(),
        );
        assert_eq!((one.link(), two.link()), (first, second));
        assert_eq!(two.seal.unwrap().prev, first.hash);
        assert_eq!(two.seal.unwrap().key_id, keys.id);
        assert!(one.seal.unwrap().holds(&keys) && !one.header);
        serde_json::from_slice::<serde_json::Value>(lines[0]).unwrap();
    }

    #[test]
    fn a_header_is_no_link() {
        let (keys, mut out) = (keys(), Vec::new());
        let sealer = Sealer::new(Some(keys));
        let first = sealer.record(&Link::START, BODY, &mut Vec::new());
        sealer.header(&first, br#""a":1},"unmapped":{"event":"header""#, &mut out);
        let line = Line::parse(out.trim_ascii_end()).unwrap();
        assert!(line.header);
        assert_eq!(line.link(), first);
    }

    #[test]
    fn any_byte_changed_to_any_other_breaks_the_seal() {
        let (keys, mut out) = (keys(), Vec::new());
        Sealer::new(Some(Arc::clone(&keys))).record(&Link::START, BODY, &mut out);
        let line = out.trim_ascii_end();
        let mut changed = line.to_vec();
        for (place, original) in line.iter().enumerate() {
            for byte in (0..=u8::MAX).filter(|byte| byte != original) {
                changed[place] = byte;
                let seal = Line::parse(&changed).and_then(|line| line.seal);
                let holds = seal.is_some_and(|seal| seal.holds(&keys));
                assert!(!holds, "byte {place} as {byte}");
            }
            changed[place] = *original;
        }
    }

    #[test]
    fn without_a_chain_there_are_only_numbers() {
        let mut out = Vec::new();
        let link = Sealer::new(None).record(&Link::START, BODY, &mut out);
        let line = Line::parse(out.trim_ascii_end()).unwrap();
        assert_eq!((link.sequence, line.sequence, line.seal), (1, 1, None));
        serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    }

    #[test]
    fn a_header_names_its_chain() {
        let line = br#"{"unmapped":{"event":"header","chain":"abc","missed":7,"key_id":""}}"#;
        assert_eq!((chain_of(line), missed_of(line)), (Some("abc"), 7));
        assert_eq!(
            (chain_of(b"x\n"), missed_of(b"x"), time_of(b"x")),
            (None, 0, None)
        );
    }

    #[test]
    fn foreign_lines_are_not_ours() {
        for line in ["", "{}", "hello", r#"{"metadata":{"sequence":x,"a":1}}"#] {
            assert_eq!(Line::parse(line.as_bytes()), None, "{line}");
        }
    }
}

//! What an audit file ends in: its last good record, and perhaps a line that was never
//! finished because the machine or the process died while writing it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use super::{
    chain::{Line, Link},
    keys::Keyring,
};

/// How far back a good record is looked for.
const FARTHEST: u64 = 4 * 1024 * 1024;
/// The longest first line that is read for the chain's name.
const LONGEST_HEADER: u64 = 16 * 1024;

/// The end of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last line that is a record; empty: there is none.
    pub(super) line: Vec<u8>,
    /// The bytes of an unfinished last line.
    pub(super) torn: Vec<u8>,
}

impl Tail {
    /// Reads it.
    pub(super) fn read(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut take = 64 * 1024;
        loop {
            let start = length.saturating_sub(take);
            let bytes = read_from(file, start)?;
            let newline = bytes.iter().rposition(|byte| *byte == b'\n');
            let whole = newline.map_or(0, |place| place.saturating_add(1));
            let (lines, torn) = bytes.split_at_checked(whole).unwrap_or_default();
            let line = last_line(lines);
            // without a newline in sight there is no telling where the torn line begins
            let complete = start == 0 || (newline.is_some() && line.is_some());
            if newline.is_none() && start > 0 && take >= FARTHEST {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no line ends in its last 4 MiB: this is no audit log, name another file",
                ));
            }
            if complete || take >= FARTHEST {
                return Ok(Self {
                    line: line.unwrap_or_default().to_vec(),
                    torn: torn.to_vec(),
                });
            }
            take = take.saturating_mul(4);
        }
    }

    /// The place of the last record; `None`: there is none.
    pub(super) fn last(&self) -> Option<Link> {
        Line::parse(&self.line).map(|line| line.link())
    }

    /// Whether there is nothing after a header.
    pub(super) fn is_header(&self) -> bool {
        Line::parse(&self.line).is_some_and(|line| line.header)
    }

    /// Whether the last record is as it was written, as far as `keys` can tell: of another
    /// key's record they can't.
    pub(super) fn may_hold(&self, keys: &Keyring) -> bool {
        let Some(seal) = Line::parse(&self.line).and_then(|line| line.seal) else {
            return true;
        };
        let mut known = keys.with_id(seal.key_id).peekable();
        known.peek().is_none() || known.any(|keys| seal.holds(keys))
    }
}

/// The place of the last line of ours.
pub(super) fn last_link(lines: &[u8]) -> Option<Link> {
    let line = Line::parse(last_line(lines)?)?;
    Some(line.link())
}

fn last_line(lines: &[u8]) -> Option<&[u8]> {
    let mut newest_first = lines.rsplit(|byte| *byte == b'\n');
    newest_first.find(|line| Line::parse(line).is_some())
}

/// The first line, or as much of it as says whose it is.
pub(super) fn first_line(file: &File) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0))?;
    BufReader::new(reader.take(LONGEST_HEADER)).read_until(b'\n', &mut first)?;
    Ok(first)
}

fn read_from(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let mut reader = file;
    reader.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{super::chain::Sealer, *};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn records(count: u64) -> (Vec<u8>, Link) {
        let (mut out, mut link) = (Vec::new(), Link::START);
        for _ in 0..count {
            link = Sealer::new(None).record(&link, br#""a":1},"unmapped":{"b":2"#, &mut out);
        }
        (out, link)
    }

    #[test]
    fn an_empty_file_has_neither() {
        assert_eq!(Tail::read(&file(b"")).unwrap(), Tail::default());
    }

    #[test]
    fn the_last_record_is_found_behind_a_torn_line_and_foreign_lines() {
        let (mut bytes, link) = records(3);
        bytes.extend_from_slice(b"not ours\n\n{\"metadata\":{\"sequence\":4,");
        let tail = Tail::read(&file(&bytes)).unwrap();
        assert_eq!(tail.last(), Some(link));
        assert_eq!(tail.torn, b"{\"metadata\":{\"sequence\":4,");
    }

    #[test]
    fn a_long_torn_end_is_whole() {
        let (mut bytes, link) = records(2);
        let torn = vec![0; 200_000];
        bytes.extend_from_slice(&torn);
        let tail = Tail::read(&file(&bytes)).unwrap();
        assert_eq!((tail.last(), tail.torn), (Some(link), torn));
    }
}

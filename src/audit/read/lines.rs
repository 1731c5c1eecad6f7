//! The lines of one input, taken out of what a log driver has put around them.
//!
//! The kubelet writes `TIME stdout F LINE`, and `P` for a part of a line that goes on; Docker's
//! `json-file` writes `{"log":"LINE\n",…}`, and a part of a line without its newline.

use std::{
    borrow::Cow,
    io::{self, BufRead},
};

use serde::Deserialize;

use super::source::Source;

/// No line of ours is that long; of a longer one only so much is looked at.
const LONGEST: usize = 1024 * 1024;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Text<'a> {
    /// Its number in its input, from 1.
    pub(in super::super) number: u64,
    /// Without its newline.
    pub(in super::super) bytes: &'a [u8],
    /// Whether it has one.
    pub(in super::super) ended: bool,
    /// Whether a log driver put something around it.
    pub(in super::super) wrapped: bool,
}

/// Takes lines out of what is around them.
#[derive(Default)]
pub(in super::super) struct Unwrapper {
    /// Lines of which parts have come, of standard output and of standard error.
    parts: [Vec<u8>; 2],
    /// A line that was put together, or taken out of JSON.
    whole: Vec<u8>,
}

/// What came of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Unwrapped {
    /// It was bare: it is the line itself.
    Bare,
    /// It is a part of one that goes on.
    Part,
    /// There is a whole line, see [`Unwrapper::whole`].
    Whole,
}

/// A line, or a part of one, in what a log driver put around it.
struct Wrapped<'a> {
    stream: Stream,
    content: Cow<'a, [u8]>,
    complete: bool,
}

#[derive(Clone, Copy)]
enum Stream {
    Err,
    Out,
}

impl Unwrapper {
    /// Takes a line as it stands, without its newline.
    pub(in super::super) fn take(&mut self, line: &[u8]) -> Unwrapped {
        let wrapped = match line.first() {
            Some(b'{') => docker(line),
            Some(b'0'..=b'9') => kubelet(line),
            Some(_) | None => None,
        };
        let Some(wrapped) = wrapped else {
            return Unwrapped::Bare;
        };
        let [of_out, of_err] = &mut self.parts;
        let part = match wrapped.stream {
            Stream::Err => of_err,
            Stream::Out => of_out,
        };
        let (room, content) = (LONGEST.saturating_sub(part.len()), &wrapped.content);
        part.extend_from_slice(content.get(..room).unwrap_or(content));
        if !wrapped.complete {
            return Unwrapped::Part;
        }
        self.whole.clear();
        std::mem::swap(&mut self.whole, part);
        Unwrapped::Whole
    }

    /// The line that became whole last.
    pub(in super::super) fn whole(&self) -> &[u8] {
        &self.whole
    }
}

/// The lines of one input.
pub(in super::super) struct Lines {
    source: Source,
    number: u64,
    /// The line as it stands in the input.
    line: Vec<u8>,
    ended: bool,
    unwrapper: Unwrapper,
}

impl Lines {
    pub(super) fn of(source: Source) -> Self {
        Self {
            source,
            number: 0,
            line: Vec::new(),
            ended: false,
            unwrapper: Unwrapper::default(),
        }
    }

    /// Whether it is read out of gzip.
    pub(in super::super) const fn compressed(&self) -> bool {
        self.source.compressed
    }

    /// The next line; `None` at the end.
    pub(in super::super) fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        let mut unwrapped = Unwrapped::Part;
        while unwrapped == Unwrapped::Part {
            if !self.advance()? {
                return Ok(None);
            }
            unwrapped = self.unwrapper.take(&self.line);
        }
        let wrapped = unwrapped == Unwrapped::Whole;
        Ok(Some(Text {
            number: self.number,
            bytes: if wrapped {
                self.unwrapper.whole()
            } else {
                &self.line
            },
            ended: wrapped || self.ended,
            wrapped,
        }))
    }

    /// Reads one line of the input; false at its end.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.ended = false;
        let mut any = false;
        while !self.ended {
            let bytes = match self.source.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                break;
            }
            any = true;
            let newline = memchr::memchr(b'\n', bytes);
            let (line, rest) = bytes
                .split_at_checked(newline.unwrap_or(bytes.len()))
                .unwrap_or_default();
            let room = LONGEST.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(line.get(..room).unwrap_or(line));
            self.ended = !rest.is_empty();
            let used = line.len().saturating_add(usize::from(self.ended));
            self.source.reader.consume(used);
        }
        self.number = self.number.saturating_add(u64::from(any));
        Ok(any)
    }
}

/// `2026-11-23T12:00:00.123456789Z stdout F …`
fn kubelet(line: &[u8]) -> Option<Wrapped<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags, content) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if time.get(10) != Some(&b'T') {
        return None;
    }
    let stream = match stream {
        b"stdout" => Stream::Out,
        b"stderr" => Stream::Err,
        _ => return None,
    };
    let complete = match tags.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    Some(Wrapped {
        stream,
        content: content.into(),
        complete,
    })
}

/// `{"log":"…\n","stream":"stdout","time":"…"}`
fn docker(line: &[u8]) -> Option<Wrapped<'_>> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        log: Cow<'a, str>,
        #[serde(borrow)]
        stream: Cow<'a, str>,
    }
    line.strip_prefix(br#"{"log":"#)?;
    let entry: Entry<'_> = serde_json::from_slice(line).ok()?;
    let mut content = entry.log.into_owned().into_bytes();
    let complete = content.last() == Some(&b'\n');
    if complete {
        content.pop();
    }
    Some(Wrapped {
        stream: if entry.stream == "stderr" {
            Stream::Err
        } else {
            Stream::Out
        },
        content: content.into(),
        complete,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::{
        super::{Input, Progress},
        *,
    };

    fn lines(bytes: &[u8]) -> Vec<(u64, String, bool)> {
        let source = Source {
            reader: Box::new(Cursor::new(bytes.to_vec())),
            compressed: false,
        };
        let mut lines = Lines::of(source);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            all.push((line.number, text, line.ended));
        }
        all
    }

    fn line(number: u64, text: &str) -> (u64, String, bool) {
        (number, text.to_owned(), true)
    }

    #[test]
    fn bare_lines_come_as_they_are() {
        let mut expected = vec![line(1, "one"), line(2, ""), line(3, "three")];
        assert_eq!(lines(b"one\n\nthree\n"), expected);
        expected[2].2 = false;
        assert_eq!(lines(b"one\n\nthree"), expected);
    }

    #[test]
    fn the_kubelet_s_parts_are_put_together_for_each_stream() {
        let log = b"2026-11-23T12:00:00.1Z stdout P {\"a\"\n\
            2026-11-23T12:00:00.2Z stderr F a log line\n\
            2026-11-23T12:00:00.3Z stdout F :1}\n\
            2026 is no time\n";
        let expected = [
            line(2, "a log line"),
            line(3, "{\"a\":1}"),
            line(4, "2026 is no time"),
        ];
        assert_eq!(lines(log), expected);
    }

    #[test]
    fn docker_s_json_is_taken_off() {
        let log = br#"{"log":"{\"a\":\"\u00e9","stream":"stdout","time":"2026-11-23T12:00:00Z"}
{"log":"\\\"\"}\n","stream":"stdout","time":"2026-11-23T12:00:00Z"}
{"log":7}
"#;
        let expected = [line(2, "{\"a\":\"é\\\"\"}"), line(3, "{\"log\":7}")];
        assert_eq!(lines(log), expected);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_is_whole() {
        let mut log = vec![b'x'; 3 * LONGEST];
        log.extend_from_slice(b"\nnext\n");
        let read = lines(&log);
        assert_eq!((read[0].1.len(), &read[1]), (LONGEST, &line(2, "next")));
    }

    #[test]
    fn several_gzip_members_are_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.gz");
        let mut bytes = Vec::new();
        for part in ["one\ntw", "o\n"] {
            let mut member = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            member.write_all(part.as_bytes()).unwrap();
            member.finish().unwrap();
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = Progress::default();
        let source = Source::open(&Input::File(path), &read).unwrap();
        let mut lines = Lines::of(source);
        assert!(lines.compressed());
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"one");
        assert_eq!(lines.next().unwrap().unwrap().bytes, b"two");
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(read.bytes(), u64::try_from(bytes.len()).unwrap());
    }
}

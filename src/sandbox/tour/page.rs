//! How the tour looks: 80 columns, colour only where it is wanted.

use std::io::{self, Write};

use http::StatusCode;

use super::{
    client::{Answer, Call},
    records::{ROWS, Record},
};

/// Columns of a page.
const WIDTH: usize = 80;
/// Columns of what goes over the wire.
const WIRE: usize = WIDTH - 4;
/// The same of a long line, which goes on set in.
const INDENTED: usize = WIDTH - 8;
/// Columns of a record, where several stand beside each other.
const RECORD: usize = 24;

/// Headers of an answer that are worth a line.
const SHOWN: [&str; 7] = [
    "content-type",
    "retry-after",
    "ratelimit-policy",
    "ratelimit",
    "proxy-status",
    "frontegg-trace-id",
    "x-request-id",
];

/// Where the tour is written.
pub struct Page<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

/// A way to stress words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

impl Ink {
    /// The parameter of the terminal's "select graphic rendition" (ECMA-48, 8.3.117).
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Red => "1;31",
            Self::Yellow => "33",
        }
    }
}

impl<'a> Page<'a> {
    /// On `out`, in `colour` or not.
    pub fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", ink.code())
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{}", line.trim_end())
    }

    pub(super) fn gap(&mut self) -> io::Result<()> {
        self.line("")
    }

    pub(super) fn heading(&mut self, heading: &str) -> io::Result<()> {
        let rule = WIDTH.saturating_sub(heading.chars().count().saturating_add(4));
        self.gap()?;
        let line = format!("── {heading} {}", "─".repeat(rule));
        let line = self.ink(Ink::Bold, &line);
        self.line(&line)?;
        self.gap()
    }

    pub(super) fn prose(&mut self, text: &str) -> io::Result<()> {
        for line in wrap(text, WIDTH, &[' ']) {
            self.line(&line)?;
        }
        self.out.flush()
    }

    /// Lines as they are.
    pub(super) fn picture(&mut self, lines: &[String]) -> io::Result<()> {
        self.gap()?;
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// A fact with its name before it.
    pub(super) fn fact(&mut self, name: &str, value: &str) -> io::Result<()> {
        let name = self.ink(Ink::Dim, &format!("{name:<10}"));
        self.line(&format!("    {name} {value}"))
    }

    pub(super) fn request(&mut self, call: &Call) -> io::Result<()> {
        self.gap()?;
        let line = format!("{} {}", call.method, call.path);
        let line = self.ink(Ink::Bold, &line);
        self.whole(">", &line)?;
        for (name, value) in &call.headers {
            self.wire(">", &format!("{name}: {value}"))?;
        }
        self.body(">", &call.body)
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        self.gap()?;
        let status = self.status(answer.status);
        self.whole("<", &status)?;
        for name in SHOWN {
            for value in answer.headers.get_all(name) {
                let value = value.to_str().unwrap_or("(not text)");
                self.wire("<", &format!("{name}: {value}"))?;
            }
        }
        self.body("<", &String::from_utf8_lossy(&answer.body))
    }

    /// A status in the colour of its class.
    pub(super) fn status(&self, status: StatusCode) -> String {
        let ink = if status.is_success() {
            Ink::Green
        } else if status.is_client_error() {
            Ink::Yellow
        } else {
            Ink::Red
        };
        self.ink(ink, &status.to_string())
    }

    /// A line of what goes over the wire, whole: a path is not broken.
    fn whole(&mut self, way: &str, line: &str) -> io::Result<()> {
        let way = self.ink(Ink::Dim, way);
        self.line(&format!("  {way} {line}"))
    }

    /// A line of what goes over the wire; a long one goes on below, set in.
    fn wire(&mut self, way: &str, text: &str) -> io::Result<()> {
        let fits = text.chars().count() <= WIRE;
        let width = if fits { WIRE } else { INDENTED };
        let mut indent = "";
        for line in wrap(text, width, &[' ']) {
            self.whole(way, &format!("{indent}{line}"))?;
            indent = "    ";
        }
        Ok(())
    }

    /// A header that the stand-in received.
    pub(super) fn received(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.wire(">", &format!("{name}: {value}"))
    }

    /// A JSON body, broken after its members' commas where it is long.
    fn body(&mut self, way: &str, body: &str) -> io::Result<()> {
        for line in wrap(body, WIRE, &[',', ' ']) {
            self.wire(way, &line)?;
        }
        Ok(())
    }

    /// The records of one request: what they have in common, then each in a column.
    pub(super) fn records(&mut self, records: &[Record]) -> io::Result<()> {
        self.gap()?;
        self.line("  audit log")?;
        let rows = ROWS.map(|(label, cell)| {
            let cells: Vec<_> = records.iter().map(cell).collect();
            (label, cells)
        });
        let is_common =
            |cells: &[Option<String>]| cells.iter().all(|cell| cells.first() == Some(cell));
        for (label, cells) in &rows {
            if let (true, Some(Some(cell))) = (is_common(cells), cells.first()) {
                self.fact(label, cell)?;
            }
        }
        for (label, cells) in &rows {
            if !is_common(cells) {
                let cell =
                    |cell: &Option<String>| format!("{:<RECORD$}", cell.as_deref().unwrap_or("-"));
                let columns: String = cells.iter().map(cell).collect();
                self.fact(label, &columns)?;
            }
        }
        Ok(())
    }

    /// Whether an expectation holds.
    pub(super) fn check(&mut self, holds: bool, what: &str) -> io::Result<()> {
        let mark = if holds {
            self.ink(Ink::Green, "ok    ")
        } else {
            self.ink(Ink::Red, "FAILED")
        };
        let mut lines = wrap(what, WIDTH.saturating_sub(10), &[' ']).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {mark}  {first}"))?;
        for line in lines {
            self.line(&format!("          {line}"))?;
        }
        Ok(())
    }
}

/// Breaks a text after the first of `separators`, and a piece that is too wide by itself after
/// the next. A line is wider than `width` only where nothing separates it. Blanks at a line's
/// end go. No text: no line.
fn wrap(text: &str, width: usize, separators: &[char]) -> Vec<String> {
    let wide = |text: &str| text.trim_end().chars().count() > width;
    let Some((separator, finer)) = separators.split_first() else {
        return vec![text.to_owned()];
    };
    let mut lines: Vec<String> = Vec::new();
    for piece in text.split_inclusive(*separator) {
        match lines.last_mut() {
            Some(line) if !wide(&format!("{line}{piece}")) => line.push_str(piece),
            _ if wide(piece) => lines.extend(wrap(piece, width, finer)),
            _ => lines.push(piece.to_owned()),
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_fill_lines() {
        assert_eq!(wrap("one two three", 7, &[' ']), ["one two", "three"]);
        let json = r#"{"a":1,"b":"one two three"}"#;
        let broken = [r#"{"a":1,"#, r#""b":"one two"#, r#"three"}"#];
        assert_eq!(wrap(json, 12, &[',', ' ']), broken);
        assert!(wrap("", 7, &[' ']).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_only_a_long_word_is_too_wide(text in "[a-z,]{0,60}") {
            let lines = wrap(&text, 10, &[',']);
            prop_assert_eq!(lines.concat(), text);
            for line in lines {
                let words = line.split_inclusive(',').count();
                prop_assert!(line.chars().count() <= 10 || words == 1);
            }
        }
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let written = |colour| {
            let mut out = Vec::new();
            Page::new(&mut out, colour).check(true, "it holds").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(false), "  ok      it holds\n");
        assert!(written(true).contains("\x1b[32m"));
    }
}

//! Follows a file as it grows, over rotation and truncation.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Record;
use crate::audit::{
    read::{Input, Progress, Unwrapped, Unwrapper, in_order},
    rotated::rotated_after,
};

/// A file that is followed.
pub struct Follow {
    path: PathBuf,
    open: Open,
    unwrapper: Unwrapper,
    /// The last record's number.
    last: u64,
}

struct Open {
    file: File,
    inode: u64,
    position: u64,
    /// The beginning of a line whose end hasn't come.
    part: Vec<u8>,
}

impl Follow {
    /// Follows the file at `path` from so many bytes before its present end.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn open(path: PathBuf, back: u64) -> io::Result<Self> {
        let mut open = Open::new(&path)?;
        open.position = open.file.metadata()?.len().saturating_sub(back);
        Ok(Self {
            path,
            open,
            unwrapper: Unwrapper::default(),
            last: 0,
        })
    }

    /// Gives all records that have come since the last call to `tell`.
    ///
    /// # Errors
    /// Where the file, or one that it was rotated to, can't be read.
    pub fn poll(&mut self, tell: &mut impl FnMut(Record)) -> io::Result<()> {
        self.read_on(tell)?;
        let found = match self.path.metadata() {
            Ok(found) => found,
            // moved away, and not made anew yet
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if found.ino() != self.open.inode {
            let now = Open::new(&self.path)?;
            let mut before = std::mem::replace(&mut self.open, now);
            // what came between the last look and its being moved
            let bytes = before.read()?;
            self.take(&bytes, tell);
            self.catch_up(tell)?;
        } else if found.len() < self.open.position {
            // truncated: what is there now is new
            self.open.position = 0;
            self.open.part.clear();
        } else {
            return Ok(());
        }
        self.read_on(tell)
    }

    /// Reads what has come of the open file.
    fn read_on(&mut self, tell: &mut impl FnMut(Record)) -> io::Result<()> {
        let bytes = self.open.read()?;
        self.take(&bytes, tell);
        Ok(())
    }

    /// Reads files that were rotated away before they were seen.
    fn catch_up(&mut self, tell: &mut impl FnMut(Record)) -> io::Result<()> {
        let missed = rotated_after(&self.path, self.last)?;
        let inputs: Vec<_> = missed.into_iter().map(Input::File).collect();
        let progress = Progress::default();
        for mut file in in_order(&inputs, &progress).map_err(|error| error.cause)? {
            let mut lines = file.lines(&progress).map_err(|error| error.cause)?;
            while let Some(text) = lines.next()? {
                self.record(text.bytes, true, tell);
            }
        }
        Ok(())
    }

    fn take(&mut self, lines: &[u8], tell: &mut impl FnMut(Record)) {
        for line in lines.split(|byte| *byte == b'\n') {
            match self.unwrapper.take(line) {
                Unwrapped::Bare => self.record(line, false, tell),
                Unwrapped::Part => {}
                Unwrapped::Whole => {
                    let line = self.unwrapper.whole().to_vec();
                    self.record(&line, false, tell);
                }
            }
        }
    }

    /// `again`: it may have been told already. Else it hasn't, whatever its number: a file may hold
    /// several chains.
    fn record(&mut self, line: &[u8], again: bool, tell: &mut impl FnMut(Record)) {
        let Some(record) = Record::parse(line) else {
            return;
        };
        // with a header another chain may begin
        let header = record.event() == Some("header");
        if !again || header || record.sequence() > self.last {
            self.last = record.sequence();
            tell(record);
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            inode: file.metadata()?.ino(),
            file,
            position: 0,
            part: Vec::new(),
        })
    }

    /// The whole lines that have come.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = std::mem::take(&mut self.part);
        let count = self.file.read_to_end(&mut bytes)?;
        let count = u64::try_from(count).unwrap_or_default();
        self.position = self.position.saturating_add(count);
        let newline = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = newline.map_or(0, |place| place.saturating_add(1));
        self.part = bytes.split_off(whole);
        Ok(bytes)
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

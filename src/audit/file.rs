//! A regular file: appended to by one process only, rotated by size, and never left with
//! half a line.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    tail::{Tail, chain_name},
    target::{Broken, Fault, Opened, Rules, Target, whole_lines, write_counted},
};
use crate::config::Durability;

/// Readable and writable by its owner alone.
const MODE: u32 = 0o600;

/// An open audit file.
///
/// Invariant: it ends in a newline or is empty, unless cutting off half a line failed too.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// From which length on it is rotated.
    limit: u64,
    rules: Rules,
}

impl LogFile {
    /// Opens or makes the file, and moves an unfinished last line out of it.
    pub(super) fn open(path: &Path, rules: Rules) -> io::Result<Opened> {
        let file = open_locked(path, rules.durability)?;
        let mut tail = Tail::read(&file)?;
        let mut torn = None;
        if !tail.torn.is_empty() {
            torn = Some(set_aside(path, &file, &tail.torn)?);
        }
        let mut chain = chain_name(&file)?;
        let length = file.metadata()?.len();
        if tail.line.is_empty()
            && let Some(newest) = rotated(path)?.pop()
        {
            // the process died between renaming the old file and beginning this one
            let newest = File::open(newest.path)?;
            tail.line = Tail::read(&newest)?.line;
            chain = chain_name(&newest)?;
        }
        let file = Self {
            path: path.to_owned(),
            file,
            length,
            limit: rules.rotate_size.unwrap_or(u64::MAX),
            rules,
        };
        Ok(Opened {
            target: Target::File(file),
            tail,
            chain,
            torn,
        })
    }

    pub(super) const fn is_prompt(&self) -> bool {
        matches!(self.rules.durability, Durability::Written)
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.length == 0
    }

    pub(super) fn is_full(&self, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        !self.is_fresh() && self.length.saturating_add(more) > self.limit
    }

    /// Appends whole lines, or cuts back to the last whole one.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let (out, mut result) = write_counted(&self.file, lines);
        let mut whole = whole_lines(lines, out);
        if result.is_ok() && self.rules.durability == Durability::Synced {
            result = self.sync();
            if result.is_err() {
                whole = 0;
            }
        }
        let now = self.file.metadata().map_err(Broken::nothing)?;
        self.length = now.len();
        if let Err(error) = result {
            let cut = self.cut(out.saturating_sub(whole));
            let fault = cut.err().unwrap_or(error).into();
            return Err(Broken { whole, fault });
        }
        if now.nlink() == 0 {
            return Err(Broken::nothing(Fault::Deleted));
        }
        Ok(())
    }

    /// Takes the last `count` bytes off again.
    fn cut(&mut self, count: usize) -> io::Result<()> {
        let count = u64::try_from(count).unwrap_or_default();
        let length = self.length.saturating_sub(count);
        if count > 0 {
            self.file.set_len(length)?;
            self.length = length;
        }
        Ok(())
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Renames the file after the time and its last record, and begins a new one. Where that
    /// fails the records go on into the old file: a full folder must not stop them.
    pub(super) fn rotate(&mut self, sequence: u64) {
        match self.try_rotate(sequence) {
            Ok(()) => {}
            Err(error) => {
                let step = self.rules.rotate_size.unwrap_or(u64::MAX);
                self.limit = self.length.saturating_add(step);
                tracing::warn!(file = %self.path.display(), %error, "audit file could not be rotated and grows on");
            }
        }
    }

    fn try_rotate(&mut self, sequence: u64) -> io::Result<()> {
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let old = with_suffix(&self.path, &format!("{time}-{sequence}"));
        if old.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, &old)?;
        self.sync()?;
        self.file = open_locked(&self.path, self.rules.durability)?;
        self.length = self.file.metadata()?.len();
        self.limit = self.rules.rotate_size.unwrap_or(u64::MAX);
        if self.rules.rotate_keep > 0 {
            let mut all = rotated(&self.path)?;
            all.truncate(all.len().saturating_sub(self.rules.rotate_keep));
            for file in all {
                fs::remove_file(file.path)?;
            }
        }
        Ok(())
    }
}

/// A rotated file.
#[derive(Debug)]
struct Rotated {
    sequence: u64,
    path: PathBuf,
}

/// The rotated files of `path`, oldest first.
fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
    let (Some(name), Some(folder)) = (path.file_name(), folder(path)) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let suffix = path.file_name().and_then(|file| {
            let rest = file
                .as_encoded_bytes()
                .strip_prefix(name.as_encoded_bytes())?;
            str::from_utf8(rest.strip_prefix(b".")?).ok()
        });
        if let Some(sequence) = suffix.and_then(sequence_of) {
            found.push(Rotated { sequence, path });
        }
    }
    found.sort_by_key(|file| file.sequence);
    Ok(found)
}

/// The rotated files of `path` that end after record `sequence`, oldest first.
pub(super) fn rotated_after(path: &Path, sequence: u64) -> io::Result<Vec<PathBuf>> {
    let after = rotated(path)?
        .into_iter()
        .filter(|file| file.sequence > sequence);
    Ok(after.map(|file| file.path).collect())
}

/// The number in `20261123T120000Z-17`; `None` for any other form, which is not ours.
fn sequence_of(suffix: &str) -> Option<u64> {
    let (time, sequence) = suffix.split_once('-')?;
    let digit = |(place, byte): (usize, u8)| match place {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    (time.len() == 16 && time.bytes().enumerate().all(digit))
        .then(|| sequence.parse().ok())
        .flatten()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn folder(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

/// Opens for appending what no other process has open for that.
fn open_locked(path: &Path, durability: Durability) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        // a file system without locks can't tell us
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process writes this audit log: give each its own file",
            ));
        }
    }
    if durability == Durability::Synced
        && let Some(folder) = folder(path)
    {
        // the name must be on the disk too
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// Moves an unfinished last line into a file of its own, and says which.
fn set_aside(path: &Path, file: &File, torn: &[u8]) -> io::Result<String> {
    use std::io::Write;

    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let aside = with_suffix(path, &format!("{time}.torn"));
    let mut options = OpenOptions::new();
    let mut kept = options
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&aside)?;
    kept.write_all(torn)?;
    kept.sync_all()?;
    let length = u64::try_from(torn.len()).unwrap_or_default();
    file.set_len(file.metadata()?.len().saturating_sub(length))?;
    tracing::warn!(
        file = %path.display(), aside = %aside.display(), bytes = torn.len(),
        "the audit file's last line was unfinished and is set aside"
    );
    Ok(aside.display().to_string())
}

//! A regular file: appended to by one process only, rotated by size and age, and never left
//! with half a line.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use rustix::{
    fs::{AtFlags, CWD, RenameFlags, StatxFlags, fstatfs, renameat_with, statx},
    io::Errno,
};

use super::{
    chain::{Line, chain_of, time_of},
    read::{Input, Progress, in_order},
    rotated::{MODE, folder, name_for, prune, rotated, with_suffix},
    tail::{Tail, first_line},
    target::{Broken, Fault, Opened, Rules, Target, whole_lines, write_counted},
};
use crate::config::Durability;

/// An open audit file.
///
/// Invariant: it ends in a newline or is empty, unless cutting off half a line failed too.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// What it holds is of another chain than what comes next.
    of_another_chain: bool,
    /// From which length on it is rotated.
    limit: u64,
    /// When its first record was written.
    begun: SystemTime,
    /// Whether its name is known to be on the disk.
    named: bool,
    /// Whether an append may take as long as somebody else likes.
    may_hang: bool,
    rules: Rules,
}

/// File systems whose server, or program, answers when it does: `linux/magic.h` has their numbers.
const OF_OTHERS: [u32; 9] = [
    0x0000_517b, // SMB
    0x0000_6969, // NFS
    0x00c3_6400, // Ceph
    0x0102_1997, // 9P
    0x0bd0_0bd0, // Lustre
    0x5346_414f, // AFS
    0x6573_5546, // FUSE
    0xfe53_4d42, // SMB 2
    0xff53_4d42, // CIFS
];

impl LogFile {
    /// Opens or makes the file, and moves an unfinished last line out of it.
    pub(super) fn open(path: &Path, rules: Rules) -> io::Result<Opened> {
        let file = open_locked(path)?;
        let mut tail = Tail::read(&file)?;
        let mut torn = None;
        if !tail.torn.is_empty() {
            torn = Some(set_aside(path, &file, &tail.torn)?);
        }
        let first = first_line(&file)?;
        let mut chain = chain_of(&first).map(str::to_owned);
        let begun = begun(&first);
        let length = file.metadata()?.len();
        if tail.line.is_empty()
            && let Some(newest) = rotated(path)?.pop()
        {
            // the process died between renaming the old file and beginning this one
            (chain, tail.line) = whole_file(newest.path)?;
        }
        let file = Self {
            path: path.to_owned(),
            may_hang: is_of_others(fstatfs(&file)?.f_type),
            file,
            length,
            of_another_chain: false,
            limit: rules.rotate_size.unwrap_or(u64::MAX),
            begun,
            named: false,
            rules,
        };
        Ok(Opened {
            target: Target::File(file),
            tail,
            chain,
            torn,
        })
    }

    /// Goes by other rules from here on.
    pub(super) fn follow(&mut self, rules: Rules) {
        if rules.rotate_size != self.rules.rotate_size {
            self.limit = rules.rotate_size.unwrap_or(u64::MAX);
        }
        self.rules = rules;
    }

    /// Whether an append is no wait.
    pub(super) const fn is_prompt(&self) -> bool {
        matches!(self.rules.durability, Durability::Written) && !self.may_hang
    }

    /// What comes next is of another chain than what it holds.
    pub(super) const fn begin_chain(&mut self) {
        self.of_another_chain = true;
    }

    pub(super) const fn wants_header(&self) -> bool {
        self.is_fresh() || self.of_another_chain
    }

    const fn is_fresh(&self) -> bool {
        self.length == 0
    }

    pub(super) fn is_full(&self, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let full = self.length.saturating_add(more) > self.limit;
        !self.is_fresh() && (full || self.due_in().is_some_and(|wait| wait.is_zero()))
    }

    /// In which time it is old enough to be rotated; `None`: never.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let age = self.rules.rotate_age.filter(|_| !self.is_fresh())?;
        // a clock that was set back makes it younger, not due
        let now = self.begun.elapsed().unwrap_or_default();
        Some(age.saturating_sub(now))
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
        self.of_another_chain &= whole == 0;
        let now = State::of(&self.file).map_err(Broken::nothing)?;
        self.length = now.length;
        if let Err(error) = result {
            let cut = self.cut(out.saturating_sub(whole));
            let fault = cut.err().unwrap_or(error).into();
            return Err(Broken { whole, fault });
        }
        if !now.has_name {
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

    /// Brings what was written to the disk; where each record is to be there, the name too.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.rules.durability == Durability::Synced
            && !self.named
            && let Some(folder) = folder(&self.path)
        {
            File::open(folder)?.sync_all()?;
            self.named = true;
        }
        self.file.sync_data()
    }

    /// Whether its name still means this file, and not one that another process made.
    fn has_its_name(&self) -> io::Result<bool> {
        let (own, named) = (self.file.metadata()?, fs::metadata(&self.path)?);
        Ok((own.dev(), own.ino()) == (named.dev(), named.ino()))
    }

    /// Renames the file after the time and its last record, and begins a new one. Where that
    /// fails the records go on into the old file: a full folder must not stop them. True where
    /// it did not fail.
    pub(super) fn rotate(&mut self, sequence: u64) -> bool {
        let result = self.try_rotate(sequence);
        if let Err(error) = &result {
            let step = self.rules.rotate_size.unwrap_or(u64::MAX);
            self.limit = self.length.saturating_add(step);
            self.begun = SystemTime::now();
            tracing::warn!(file = %self.path.display(), %error, "audit file could not be rotated and grows on");
        }
        matches!(result, Ok(true))
    }

    fn try_rotate(&mut self, sequence: u64) -> io::Result<bool> {
        if Tail::read(&self.file)?.is_header() {
            // it grows old without a record: there is nothing to put aside
            self.begun = SystemTime::now();
            return Ok(false);
        }
        let old = name_for(&self.path, sequence);
        if old.try_exists()? || !self.has_its_name()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // now, or for as long as that takes another process could have its name
        self.sync()?;
        fs::rename(&self.path, &old)?;
        match open_locked(&self.path) {
            Ok(file) => (self.file, self.named) = (file, false),
            Err(error) => {
                // it goes on under the name by which it is looked for, unless that is another's now
                let back = renameat_with(CWD, &old, CWD, &self.path, RenameFlags::NOREPLACE);
                if let Err(taken) = back {
                    tracing::warn!(file = %old.display(), error = %taken, "the audit file goes on under this name");
                }
                return Err(error);
            }
        }
        self.length = self.file.metadata()?.len();
        self.limit = self.rules.rotate_size.unwrap_or(u64::MAX);
        self.begun = SystemTime::now();
        if !self.rules.rotate_compress {
            prune(&self.path, self.rules.rotate_keep);
        }
        Ok(true)
    }
}

/// What may have become of an open file.
struct State {
    length: u64,
    has_name: bool,
}

impl State {
    /// Asks for nothing else. Who asks for the times too, as `File::metadata` does, makes the next
    /// append note a new one in the inode (Linux from 6.13 on): a third of what an append takes.
    fn of(file: &File) -> io::Result<Self> {
        let asked = StatxFlags::SIZE | StatxFlags::NLINK;
        match statx(file, c"", AtFlags::EMPTY_PATH, asked) {
            Ok(found) => Ok(Self {
                length: found.stx_size,
                has_name: found.stx_nlink > 0,
            }),
            // a kernel, or a sandbox, without this call
            Err(Errno::NOSYS | Errno::PERM) => {
                let found = file.metadata()?;
                Ok(Self {
                    length: found.len(),
                    has_name: found.nlink() > 0,
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn is_of_others(file_system: impl TryInto<u32>) -> bool {
    file_system
        .try_into()
        .is_ok_and(|number| OF_OTHERS.contains(&number))
}

/// When a file's first line was written; a file without any begins now.
fn begun(first: &[u8]) -> SystemTime {
    let written = time_of(first).map(Duration::from_millis);
    let time = written.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    time.unwrap_or_else(SystemTime::now)
}

/// The chain and the last line of a file that may be compressed.
fn whole_file(path: PathBuf) -> io::Result<(Option<String>, Vec<u8>)> {
    let input = Input::File(path);
    let (mut chain, mut last) = (None, Vec::new());
    for mut file in in_order(&[input], &Progress::default()).map_err(|error| error.cause)? {
        let mut lines = file
            .lines(&Progress::default())
            .map_err(|error| error.cause)?;
        while let Some(text) = lines.next()? {
            if Line::parse(text.bytes).is_some() {
                chain = chain.or_else(|| chain_of(text.bytes).map(str::to_owned));
                text.bytes.clone_into(&mut last);
            }
        }
    }
    Ok((chain, last))
}

/// Opens for appending what no other process has open for that.
fn open_locked(path: &Path) -> io::Result<File> {
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
    Ok(file)
}

/// Moves an unfinished last line into a file of its own, and says which.
fn set_aside(path: &Path, file: &File, torn: &[u8]) -> io::Result<String> {
    use std::io::Write;

    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let aside = with_suffix(path, &format!(".{time}.torn"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_requests_appends_to_no_file_of_somebody_elses() {
        assert!(is_of_others(rustix::fs::NFS_SUPER_MAGIC));
        assert!(is_of_others(0x6573_5546_i64), "FUSE");
        assert!(is_of_others(0xfe53_4d42_u64), "SMB");
        for local in [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342] {
            assert!(!is_of_others(local), "{local:x}");
        }
    }
}

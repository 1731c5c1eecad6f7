//! Files that were put aside: their names, how many of them stay, and their compression.
//!
//! A compressed file takes its name only when it is whole and on the disk, and only then the other
//! goes; so whatever interrupts that, each record is there, and [`tidy`] leaves it there once. What
//! fails is told of and left for the next time: no file stands in another's way.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

/// Readable and writable by its owner alone.
pub(super) const MODE: u32 = 0o600;
/// What a compressed file's name ends with.
const GZIP: &str = ".gz";
/// What the name of one that isn't whole ends with; it begins with a dot, so that whoever names
/// all files of the log doesn't mean it.
const PART: &str = ".gz.part";

/// A file that was put aside.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) end: End,
    pub(super) path: PathBuf,
    compressed: bool,
}

/// What a file that was put aside is named after. The later in time comes later: a chain that
/// begins anew begins at 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    /// When that was: `20261123T120000Z`.
    time: String,
    /// The number of its last record.
    pub(super) sequence: u64,
}

/// The rotated files of `path`, oldest first.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
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
        let Some(suffix) = suffix else { continue };
        let plain = suffix.strip_suffix(GZIP);
        if let Some(end) = End::parse(plain.unwrap_or(suffix)) {
            let compressed = plain.is_some();
            found.push(Rotated {
                end,
                path,
                compressed,
            });
        }
    }
    found.sort_by(|one, other| one.end.cmp(&other.end));
    Ok(found)
}

/// The rotated files of `path` that end after record `sequence`, oldest first.
pub(super) fn rotated_after(path: &Path, sequence: u64) -> io::Result<Vec<PathBuf>> {
    let mut after = rotated(path)?;
    after.retain(|file| file.end.sequence > sequence);
    // one of them may be there twice for a moment
    after.dedup_by(|one, other| one.end == other.end);
    Ok(after.into_iter().map(|file| file.path).collect())
}

/// What a rotated file is called once it is compressed; `None`: it isn't one, or is already.
pub(super) fn compressed_form(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (_, suffix) = name.rsplit_once('.')?;
    End::parse(suffix).map(|_| with_suffix(path, GZIP))
}

/// What a file is called whose last record has this number, if it is put aside now.
pub(super) fn name_for(path: &Path, sequence: u64) -> PathBuf {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    with_suffix(path, &format!(".{time}-{sequence}"))
}

impl End {
    /// Of `20261123T120000Z-17`; `None` for any other form, which is not ours.
    fn parse(suffix: &str) -> Option<Self> {
        let (time, sequence) = suffix.split_once('-')?;
        let digit = |(place, byte): (usize, u8)| match place {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        let is_time = time.len() == 16 && time.bytes().enumerate().all(digit);
        Some(Self {
            sequence: sequence.parse().ok().filter(|_| is_time)?,
            time: time.to_owned(),
        })
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn folder(path: &Path) -> Option<&Path> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    })
}

/// Deletes all but the newest `keep` rotated files of `path` (0: none), which makes room, then
/// compresses those that aren't. May take long.
pub(super) fn tidy(path: &Path, keep: usize) {
    prune(path, keep);
    for file in listed(path) {
        if !file.compressed
            && let Err(error) = compress(&file.path)
        {
            tracing::warn!(file = %file.path.display(), %error, "a rotated audit file could not be compressed and stays as it is");
        }
    }
}

/// Deletes all but the newest `keep` rotated files of `path`; 0: none.
pub(super) fn prune(path: &Path, keep: usize) {
    if keep == 0 {
        return;
    }
    let all = listed(path);
    let mut ends: Vec<_> = all.iter().map(|file| &file.end).collect();
    // one of them may be there twice for a moment
    ends.dedup();
    let first_kept = ends
        .len()
        .checked_sub(keep)
        .and_then(|first| ends.get(first));
    for file in all.iter().take_while(|file| Some(&&file.end) < first_kept) {
        if let Err(error) = fs::remove_file(&file.path) {
            tracing::warn!(file = %file.path.display(), %error, "a rotated audit file that is too many could not be deleted");
        }
    }
}

fn listed(path: &Path) -> Vec<Rotated> {
    rotated(path).unwrap_or_else(|error| {
        tracing::warn!(file = %path.display(), %error, "the files that were put aside could not be listed");
        Vec::new()
    })
}

fn compress(path: &Path) -> io::Result<()> {
    let (part, whole) = (part_of(path)?, with_suffix(path, GZIP));
    let plain = File::open(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(MODE);
    let packed = options.open(&part)?;
    if let Err(TryLockError::WouldBlock) = packed.try_lock() {
        return Ok(()); // another process of this log does it, one that starts or ends
    }
    let result = if whole.try_exists()? {
        fs::remove_file(&part)
    } else {
        pack(&plain, packed).and_then(|()| fs::rename(&part, &whole))
    };
    if let Err(error) = result {
        // what it takes up may be what was missing
        return fs::remove_file(&part).and(Err(error));
    }
    if let Some(folder) = folder(path) {
        // the new name must be on the disk before the old one goes
        File::open(folder)?.sync_all()?;
    }
    fs::remove_file(path)
}

fn pack(plain: &File, packed: File) -> io::Result<()> {
    packed.set_len(0)?;
    let mut encoder = GzEncoder::new(packed, Compression::default());
    io::copy(&mut BufReader::new(plain), &mut encoder)?;
    let mut packed = encoder.finish()?;
    packed.flush()?;
    packed.sync_all()
}

fn part_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(PART);
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn compressing_leaves_each_file_once_whatever_interrupted_it_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("audit.log", "now");
        write("audit.log.20261123T120000Z-7", "seven");
        write("audit.log.20261123T120100Z-9", "nine");
        // killed while it wrote
        write(".audit.log.20261123T120000Z-7.gz.part", "half");
        // killed before the other went
        let packed = File::create(folder.path().join("audit.log.20261123T120100Z-9.gz")).unwrap();
        let mut encoder = GzEncoder::new(packed, Compression::fast());
        encoder.write_all(b"nine").unwrap();
        encoder.finish().unwrap();
        write("audit.log.old", "not ours");

        tidy(&path, 0);
        let expected = [
            "audit.log",
            "audit.log.20261123T120000Z-7.gz",
            "audit.log.20261123T120100Z-9.gz",
            "audit.log.old",
        ];
        assert_eq!(names(folder.path()), expected);
        let all = rotated(&path).unwrap();
        let text = |file: &Rotated| {
            let mut text = String::new();
            let packed = File::open(&file.path).unwrap();
            flate2::read::MultiGzDecoder::new(packed)
                .read_to_string(&mut text)
                .unwrap();
            (file.end.sequence, text)
        };
        let texts: Vec<_> = all.iter().map(text).collect();
        assert_eq!(texts, [(7, "seven".to_owned()), (9, "nine".to_owned())]);
    }

    #[test]
    fn as_many_stay_as_are_to_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for number in [9, 10, 11] {
            let name = with_suffix(&path, &format!(".20261123T120000Z-{number}"));
            fs::write(name, "x").unwrap();
        }
        prune(&path, 0);
        assert_eq!(names(folder.path()).len(), 3);
        tidy(&path, 2);
        let kept = [
            "audit.log.20261123T120000Z-10.gz",
            "audit.log.20261123T120000Z-11.gz",
        ];
        assert_eq!(names(folder.path()), kept);
    }

    #[test]
    fn the_newest_are_those_that_were_put_aside_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        // a chain that began anew, and a file that is there twice
        for name in [
            "20261123T120000Z-900",
            "20261123T130000Z-950",
            "20261123T140000Z-12",
            "20261123T150000Z-30",
            "20261123T150000Z-30.gz",
        ] {
            fs::write(with_suffix(&path, &format!(".{name}")), "x").unwrap();
        }
        prune(&path, 2);
        let kept = [
            "audit.log.20261123T140000Z-12",
            "audit.log.20261123T150000Z-30",
            "audit.log.20261123T150000Z-30.gz",
        ];
        assert_eq!(names(folder.path()), kept);
    }

    #[test]
    fn what_cannot_be_compressed_stays_and_stands_in_no_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let name = |end: &str| with_suffix(&path, &format!(".{end}"));
        // a folder can be opened, and not read
        fs::create_dir(name("20261123T120000Z-10")).unwrap();
        fs::write(name("20261123T130000Z-20"), "x").unwrap();
        fs::write(name("20261123T140000Z-30"), "x").unwrap();
        // another process compresses this one
        let part = part_of(&name("20261123T140000Z-30")).unwrap();
        let others = File::create(&part).unwrap();
        others.lock().unwrap();
        tidy(&path, 0);
        let expected = [
            ".audit.log.20261123T140000Z-30.gz.part",
            "audit.log.20261123T120000Z-10",
            "audit.log.20261123T130000Z-20.gz",
            "audit.log.20261123T140000Z-30",
        ];
        assert_eq!(names(folder.path()), expected);
    }
}

//! Files that were put aside: their names, how many of them stay, and their compression.
//!
//! A compressed file takes its name only when it is whole and on the disk, and only then the other
//! goes; so whatever interrupts that, each record is there, and [`tidy`] leaves it there once.

use std::{
    fs::{self, File, OpenOptions},
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
    /// The number of its last record.
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    compressed: bool,
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
        if let Some(sequence) = sequence_of(plain.unwrap_or(suffix)) {
            let compressed = plain.is_some();
            found.push(Rotated {
                sequence,
                path,
                compressed,
            });
        }
    }
    found.sort_by_key(|file| file.sequence);
    Ok(found)
}

/// The rotated files of `path` that end after record `sequence`, oldest first.
pub(super) fn rotated_after(path: &Path, sequence: u64) -> io::Result<Vec<PathBuf>> {
    let mut after = rotated(path)?;
    after.retain(|file| file.sequence > sequence);
    // one of them may be there twice for a moment
    after.dedup_by_key(|file| file.sequence);
    Ok(after.into_iter().map(|file| file.path).collect())
}

/// What a rotated file is called once it is compressed; `None`: it isn't one, or is already.
pub(super) fn compressed_form(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (_, suffix) = name.rsplit_once('.')?;
    sequence_of(suffix).map(|_| with_suffix(path, GZIP))
}

/// What a file is called whose last record has this number, if it is put aside now.
pub(super) fn name_for(path: &Path, sequence: u64) -> PathBuf {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    with_suffix(path, &format!(".{time}-{sequence}"))
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

/// Compresses all rotated files of `path` that aren't, and deletes all but the newest `keep`
/// (0: none). May take long.
pub(super) fn tidy(path: &Path, keep: usize) -> io::Result<()> {
    for file in rotated(path)? {
        if !file.compressed {
            compress(&file.path)?;
        }
    }
    prune(path, keep)
}

/// Deletes all but the newest `keep` rotated files of `path`; 0: none.
pub(super) fn prune(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let mut all = rotated(path)?;
    all.truncate(all.len().saturating_sub(keep));
    for file in all {
        fs::remove_file(file.path)?;
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let (part, whole) = (part_of(path)?, with_suffix(path, GZIP));
    if !whole.try_exists()? {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE);
        let mut encoder = GzEncoder::new(options.open(&part)?, Compression::default());
        io::copy(&mut BufReader::new(File::open(path)?), &mut encoder)?;
        let mut packed = encoder.finish()?;
        packed.flush()?;
        packed.sync_all()?;
        fs::rename(&part, &whole)?;
        if let Some(folder) = folder(path) {
            // the new name must be on the disk before the old one goes
            File::open(folder)?.sync_all()?;
        }
    }
    fs::remove_file(path)
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

        tidy(&path, 0).unwrap();
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
            (file.sequence, text)
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
        prune(&path, 0).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
        tidy(&path, 2).unwrap();
        let kept = [
            "audit.log.20261123T120000Z-10.gz",
            "audit.log.20261123T120000Z-11.gz",
        ];
        assert_eq!(names(folder.path()), kept);
    }
}

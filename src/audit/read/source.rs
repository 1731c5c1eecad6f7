//! Where lines are read from: files, compressed or not, and the standard input.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// What a gzip file begins with (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Something to read a log from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, which may be compressed.
    File(PathBuf),
    /// The standard input.
    Stdin,
}

impl Input {
    /// `-` is the standard input, anything else a file.
    #[must_use]
    pub fn of(argument: PathBuf) -> Self {
        if argument.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::File(argument)
        }
    }

    /// How many bytes there are to read, as far as that is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::File(path) => Some(path.metadata().ok()?.len()),
            Self::Stdin => None,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// A log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{input} can't be read: {cause}")]
pub struct ReadError {
    /// The file, or standard input.
    pub input: Input,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// How many bytes were read so far, for whoever shows the progress.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// So many.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An opened input.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) compressed: bool,
}

impl Source {
    pub(super) fn open(input: &Input, read: &Progress) -> io::Result<Self> {
        let plain: Box<dyn io::Read + Send> = match input {
            Input::File(path) => Box::new(File::open(path)?),
            Input::Stdin => Box::new(io::stdin()),
        };
        let counted = Counted {
            inner: plain,
            read: read.clone(),
        };
        let mut start = BufReader::with_capacity(CHUNK, counted);
        let compressed = start.fill_buf()?.starts_with(&GZIP);
        let reader: Box<dyn BufRead + Send> = if compressed {
            let unpacked = MultiGzDecoder::new(start);
            Box::new(BufReader::with_capacity(CHUNK, unpacked))
        } else {
            Box::new(start)
        };
        Ok(Self { reader, compressed })
    }
}

struct Counted {
    inner: Box<dyn io::Read + Send>,
    read: Progress,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = u64::try_from(count).unwrap_or_default();
        self.read.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(count)
    }
}

//! What an output writes to: a regular file of ours, or a stream.

use std::{io, path::Path, time::Duration};

use super::{collector::Collector, file::LogFile, stream::Stream, tail::Tail};
use crate::{
    config::{Audit as Config, Durability, Output},
    otlp::Failure,
};

/// What `[audit]` says about outputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) durability: Durability,
    /// A collector that takes longer has not accepted.
    pub(super) timeout: Duration,
    /// A file that would grow past this is rotated.
    pub(super) rotate_size: Option<u64>,
    /// One whose first record is older than this is rotated.
    pub(super) rotate_age: Option<Duration>,
    /// Rotated files are compressed.
    pub(super) rotate_compress: bool,
    /// Rotated files that stay; 0: all.
    pub(super) rotate_keep: usize,
}

impl Rules {
    pub(super) const fn of(config: &Config) -> Self {
        Self {
            durability: config.durability,
            timeout: config.timeout,
            rotate_size: config.rotate_size,
            rotate_age: config.rotate_age,
            rotate_compress: config.rotate_compress,
            rotate_keep: config.rotate_keep,
        }
    }
}

/// Something that is open for appending.
#[derive(Debug)]
pub(super) enum Target {
    /// A collector.
    Collector(Box<Collector>),
    /// A regular file at a path.
    File(LogFile),
    /// Anything else.
    Stream(Stream),
}

/// A target and what was found in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) target: Target,
    /// The file's end; empty for a stream.
    pub(super) tail: Tail,
    /// The file's chain.
    pub(super) chain: Option<String>,
    /// Where an unfinished last line was moved.
    pub(super) torn: Option<String>,
}

/// Why lines did not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The file is gone: its name was removed, so what is written there is lost.
    #[error("the file was deleted")]
    Deleted,
    /// The reader is gone for good.
    #[error("the reader closed it")]
    Closed,
    /// The collector doesn't take them.
    #[error(transparent)]
    NotTaken(#[from] Failure),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Lines that did not all get through.
#[derive(Debug)]
pub(super) struct Broken {
    /// How many bytes of whole lines are there to stay.
    pub(super) whole: usize,
    /// Why not more.
    pub(super) fault: Fault,
}

impl Broken {
    pub(super) fn nothing(fault: impl Into<Fault>) -> Self {
        Self {
            whole: 0,
            fault: fault.into(),
        }
    }
}

impl Opened {
    /// The target, for lines of this chain.
    pub(super) fn for_chain(mut self, chain: &str) -> Target {
        if let Target::File(file) = &mut self.target
            && self.chain.as_deref() != Some(chain)
        {
            file.begin_chain();
        }
        self.target
    }
}

impl Target {
    /// Opens an output. May take its time.
    pub(super) fn open(output: &Output, rules: Rules) -> io::Result<Opened> {
        let target = match output {
            Output::File(path) if is_special(path)? => Self::Stream(Stream::open(path)?),
            Output::File(path) => return LogFile::open(path, rules),
            Output::Otlp(settings) => {
                Self::Collector(Box::new(Collector::open(settings, rules.timeout)?))
            }
            Output::Stderr => Self::Stream(Stream::stderr()?),
            Output::Stdout => Self::Stream(Stream::stdout()?),
        };
        Ok(Opened {
            target,
            tail: Tail::default(),
            chain: None,
            torn: None,
        })
    }

    /// Goes by other rules from here on.
    pub(super) fn follow(&mut self, rules: Rules) {
        match self {
            Self::Collector(collector) => collector.follow(rules.timeout),
            Self::File(file) => file.follow(rules),
            Self::Stream(_) => {}
        }
    }

    /// Whether an append may happen on a thread that serves requests.
    pub(super) const fn is_prompt(&self) -> bool {
        match self {
            Self::Collector(_) => false,
            Self::File(file) => file.is_prompt(),
            Self::Stream(stream) => stream.is_regular(),
        }
    }

    /// Whether a header must come before the next line.
    pub(super) const fn wants_header(&self) -> bool {
        match self {
            Self::Collector(collector) => collector.is_fresh(),
            Self::File(file) => file.wants_header(),
            Self::Stream(stream) => stream.is_fresh(),
        }
    }

    /// Whether so many more bytes want a new file.
    pub(super) fn is_full(&self, more: usize) -> bool {
        match self {
            Self::File(file) => file.is_full(more),
            Self::Collector(_) | Self::Stream(_) => false,
        }
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Collector(collector) => collector.append(lines),
            Self::File(file) => file.append(lines),
            Self::Stream(stream) => stream.append(lines),
        }
    }

    /// In which time it is old enough for a new file; `None`: never.
    pub(super) fn due_in(&self) -> Option<Duration> {
        match self {
            Self::File(file) => file.due_in(),
            Self::Collector(_) | Self::Stream(_) => None,
        }
    }

    /// Begins a new file; the old one is named after `sequence`, its last record. False where
    /// that did not happen.
    pub(super) fn rotate(&mut self, sequence: u64) -> bool {
        match self {
            Self::File(file) => file.rotate(sequence),
            Self::Collector(_) | Self::Stream(_) => false,
        }
    }

    /// Whether opening it again may help: standard output is what it is.
    pub(super) const fn reopens(&self) -> bool {
        match self {
            // each attempt connects where it must
            Self::Collector(_) => false,
            Self::File(_) => true,
            Self::Stream(stream) => stream.is_named(),
        }
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Collector(_) | Self::Stream(_) => Ok(()),
        }
    }
}

/// Whether there is something at `path` that is neither a regular file nor nothing.
fn is_special(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) => Ok(!found.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes all of `lines` unless an error comes first; says how many bytes went out.
pub(super) fn write_counted(mut sink: impl io::Write, lines: &[u8]) -> (usize, io::Result<()>) {
    let mut out = 0_usize;
    while let Some(rest) = lines.get(out..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(0) => return (out, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => out = out.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (out, Err(error)),
        }
    }
    (out, Ok(()))
}

/// How many of the first `out` bytes are whole lines.
pub(super) fn whole_lines(lines: &[u8], out: usize) -> usize {
    let written = lines.get(..out).unwrap_or(lines);
    let newline = written.iter().rposition(|byte| *byte == b'\n');
    newline.map_or(0, |place| place.saturating_add(1))
}

//! `[audit]` as it is meant.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{collector::Collector, secret::SecretSource};

/// `[audit]`.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where records go; at least one, and one acceptance is enough.
    pub outputs: Vec<Output>,
    /// When a record counts as kept.
    pub durability: Durability,
    /// A sink that takes longer has not accepted.
    pub timeout: Duration,
    /// When no sink accepts.
    pub on_failure: OnFailure,
    /// How an email appears.
    pub email: EmailForm,
    /// Keys the email hashes and the chain.
    pub key: SecretSource,
    /// Those before it, under which older records were written.
    pub previous_keys: Vec<SecretSource>,
    /// Whether records are chained.
    pub chain: bool,
    /// A file that would grow past this is rotated; `None`: never.
    pub rotate_size: Option<u64>,
    /// A file whose first record is older than this is rotated; `None`: never.
    pub rotate_age: Option<Duration>,
    /// Rotated files are compressed.
    pub rotate_compress: bool,
    /// Rotated files that stay; 0: all.
    pub rotate_keep: usize,
    /// Equal refusals a second beyond which they share a record; `None`: each has its own.
    pub collapse: Option<NonZeroU32>,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A file, appended to, mode 0600.
    File(PathBuf),
    /// A collector, by OTLP.
    Otlp(Collector),
    /// The standard error.
    Stderr,
    /// The standard output.
    Stdout,
}

impl Output {
    /// For logs, metrics and messages.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Otlp(_) => Path::new("otlp"),
            Self::Stderr => Path::new("stderr"),
            Self::Stdout => Path::new("stdout"),
        }
    }
}

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On the disk.
    Synced,
    /// Handed to the kernel.
    Written,
}

/// When no sink accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Go on without a record.
    Continue,
    /// Let nothing through that can't be recorded.
    Deny,
}

/// How an email appears in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailForm {
    /// Its keyed hash.
    Hash,
    /// `a…@e….com`.
    Mask,
    /// As it is.
    Plain,
}

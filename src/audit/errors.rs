//! What can go wrong with the audit log.

use std::{io, path::PathBuf};

/// No output has the record, or none had it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audit output accepted the record in time")]
pub struct NotAccepted;

/// The audit log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its key can't be read.
    #[error("audit.key can't be read: {0}")]
    Key(#[source] io::Error),
    /// An earlier key can't be read.
    #[error("audit.previous_key_files can't be read: {0}")]
    PreviousKey(#[source] io::Error),
    /// None of the outputs can be opened; the last one's cause.
    #[error("{} can't be opened for the audit log: {cause}; name another audit.output, or see to its folder and permissions", output.display())]
    NoOutput {
        /// The output's name.
        output: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The first record was not accepted.
    #[error(
        "no audit output takes records: see that a file's disk has room, that a pipe is read, or that the collector answers"
    )]
    Refused(#[from] NotAccepted),
    /// A thread can't be started.
    #[error("a thread for the audit log can't be started: {0}")]
    Thread(#[source] io::Error),
}

/// Some records are in no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{records} audit records could not be written to any output")]
pub struct Unwritten {
    /// How many.
    pub records: u64,
}

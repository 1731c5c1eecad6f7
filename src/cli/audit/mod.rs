//! `mfa-gateway audit`: is the log whole, and what does it say?

mod rows;
mod search;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, config::SourceArgs};
use crate::{
    audit::{Input, Keyring},
    config::{SecretSource, audit_keys},
};

/// `mfa-gateway audit`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway audit verify --key-file audit.key /var/log/mfa-gateway/audit.jsonl*"
)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Find what the log says about somebody, or about a request
    Search(search::SearchArgs),
    /// Show the last records, and with -f those that come
    Tail(tail::TailArgs),
    /// Find the first record that was changed, removed, inserted or moved
    Verify(verify::VerifyArgs),
}

pub(super) fn run(arguments: &AuditArgs) -> Result<(), Failure> {
    match &arguments.command {
        AuditCommand::Search(arguments) => search::run(arguments),
        AuditCommand::Tail(arguments) => tail::run(arguments),
        AuditCommand::Verify(arguments) => verify::run(arguments),
    }
}

/// What is read.
#[derive(Args, Debug)]
struct FileArgs {
    /// The log's files in any order, also as CRI or Docker log them, also gzip; - is the standard
    /// input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl FileArgs {
    fn inputs(&self) -> Vec<Input> {
        self.files.iter().cloned().map(Input::of).collect()
    }
}

/// What a log was written with.
#[derive(Args, Debug)]
struct KeyArgs {
    /// A file that holds an audit.key, present or earlier; without any the configuration says
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
}

impl KeyArgs {
    fn keyring(&self) -> Result<Keyring, Failure> {
        let named = self.key_file.iter().cloned().map(SecretSource::File);
        let mut sources: Vec<_> = named.collect();
        if sources.is_empty() || self.sources.is_given() {
            let configured = audit_keys(&self.sources.sources()).map_err(Failure::Configuration)?;
            sources.extend(configured);
        }
        let mut keys = Vec::new();
        for source in &sources {
            keys.push(source.read().map_err(|error| {
                let name = match source {
                    SecretSource::File(path) => path.display().to_string(),
                    SecretSource::Inline(_) => "audit.key".to_owned(),
                };
                Failure::Usage(format!("{name} can't be read: {error}"))
            })?);
        }
        Ok(Keyring::new(keys))
    }
}

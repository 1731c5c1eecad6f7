//! `mfa-gateway config`: what is in effect, the defaults, the schema. Also the options by
//! which every command is told where the configuration is.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};

use crate::config::{Loaded, Sources, defaults, schema};

/// Where the configuration is written.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArgs {
    /// A configuration file (.toml, .yaml or .json); several are laid over each other.
    /// Without any: /etc/mfa-gateway/gateway.toml, if it is there
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Sets one key, above files and variables: --set listen.max_body=32KiB
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SourceArgs {
    /// These, and this process's environment.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), self.set.clone())
    }
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For scripts.
    Json,
    /// For people.
    #[default]
    Text,
}

/// `mfa-gateway config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What to show.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `mfa-gateway config` can show.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every key with its default, as a commented TOML file to start from
    #[command(after_help = "Example:\n  mfa-gateway config defaults > gateway.toml")]
    Defaults,
    /// Prints the JSON Schema of a configuration file
    #[command(after_help = "Example:\n  mfa-gateway config schema > gateway.schema.json")]
    Schema,
    /// Prints what is in effect, and where each key was set; secrets are redacted
    #[command(
        after_help = "Example:\n  mfa-gateway config show -c gateway.toml --set limits.mode=observe"
    )]
    Show {
        /// Where the configuration is.
        #[command(flatten)]
        sources: SourceArgs,
        /// text is TOML
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Writes the effective configuration.
///
/// # Errors
/// Where `out` can't be written to.
pub fn show(loaded: &Loaded, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Json => write_json(&loaded.show_json(), out),
        Format::Text => out.write_all(loaded.show_toml().as_bytes()),
    }
}

/// Writes the defaults as a commented TOML file.
///
/// # Errors
/// Where `out` can't be written to.
pub fn write_defaults(out: &mut impl Write) -> io::Result<()> {
    out.write_all(defaults().as_bytes())
}

/// Writes the JSON Schema.
///
/// # Errors
/// Where `out` can't be written to.
pub fn write_schema(out: &mut impl Write) -> io::Result<()> {
    write_json(&schema(), out)
}

pub(super) fn write_json(value: &serde_json::Value, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

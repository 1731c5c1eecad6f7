//! `mfa-gateway config`: what is in effect, the defaults, the schema. Also the options by
//! which every command is told where the configuration is.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, loaded, output::print};
use crate::config::{Loaded, Sources, defaults, schema};

/// Where the configuration is written.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SourceArgs {
    /// A configuration file (.toml, .yaml or .json); several are laid over each other.
    /// Without any: /etc/mfa-gateway/gateway.toml, if it is there
    #[arg(short, long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Sets one key, above files and variables: --set listen.max_body=32KiB
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SourceArgs {
    /// Whether a file or a key was named.
    pub(super) const fn is_given(&self) -> bool {
        !self.config.is_empty() || !self.set.is_empty()
    }

    /// These, and this process's environment.
    #[must_use]
    pub(super) fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), self.set.clone())
    }
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For scripts.
    Json,
    /// For people.
    #[default]
    Text,
}

/// `mfa-gateway config`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway config defaults > gateway.toml\n  mfa-gateway config show -c gateway.toml"
)]
pub(super) struct ConfigArgs {
    /// What to show.
    #[command(subcommand)]
    command: ConfigCommand,
}

/// What `mfa-gateway config` can show.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
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

/// Shows what was asked for.
pub(super) fn run(arguments: &ConfigArgs) -> Result<(), Failure> {
    match &arguments.command {
        ConfigCommand::Defaults => print(write_defaults),
        ConfigCommand::Schema => print(write_schema),
        ConfigCommand::Show { sources, format } => {
            let loaded = loaded(sources)?;
            print(|out| show(&loaded, *format, out))
        }
    }
}

/// Writes the effective configuration.
///
/// # Errors
/// Where `out` can't be written to.
fn show(loaded: &Loaded, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Json => write_json(&loaded.show_json(), out),
        Format::Text => out.write_all(loaded.show_toml().as_bytes()),
    }
}

/// Writes the defaults as a commented TOML file.
///
/// # Errors
/// Where `out` can't be written to.
fn write_defaults(out: &mut impl Write) -> io::Result<()> {
    out.write_all(defaults().as_bytes())
}

/// Writes the JSON Schema.
///
/// # Errors
/// Where `out` can't be written to.
fn write_schema(out: &mut impl Write) -> io::Result<()> {
    write_json(&schema(), out)
}

pub(super) fn write_json(value: &serde_json::Value, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::load;

    /// A configuration that is right wherever the tests run, with more set.
    pub(in crate::cli) fn loaded(set: &[&str]) -> (tempfile::TempDir, Loaded) {
        let folder = tempfile::TempDir::new().unwrap();
        let ca = folder.path().join("ca.pem");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(&ca, made.cert.pem()).unwrap();
        let ca = format!("frontegg.ca_file={}", ca.display());
        let all = [
            ca.as_str(),
            "frontegg.client_id=id",
            "frontegg.api_key=k",
            "audit.key=0123456789abcdef",
        ];
        let sources = Sources {
            set: all
                .iter()
                .chain(set)
                .map(|text| (*text).to_owned())
                .collect(),
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        (folder, loaded)
    }

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        config: ConfigArgs,
    }

    #[test]
    fn the_command_line_is_read() {
        let line = "x show -c a.toml -c b.yaml --set a=1 --format json";
        let ConfigCommand::Show { sources, format } = Line::try_parse_from(line.split(' '))
            .unwrap()
            .config
            .command
        else {
            panic!("another command");
        };
        assert_eq!((sources.config.len(), sources.set.len()), (2, 1));
        assert_eq!(format, Format::Json);
    }

    #[test]
    fn what_is_in_effect_is_shown_for_people_and_for_scripts() {
        let (_folder, loaded) = loaded(&["frontegg.region=us"]);
        let mut out = Vec::new();
        show(&loaded, Format::Text, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines()
                .any(|line| line.starts_with("region = \"us\"") && line.ends_with("# --set"))
        );
        let mut out = Vec::new();
        show(&loaded, Format::Json, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let keys = value["configuration"].as_array().unwrap();
        let region = keys
            .iter()
            .find(|key| key["key"] == "frontegg.region")
            .unwrap();
        assert_eq!(
            (&region["value"], &region["origin"]["layer"]),
            (&"us".into(), &"set".into())
        );
    }

    #[test]
    fn defaults_and_schema_are_written() {
        let (mut toml, mut json) = (Vec::new(), Vec::new());
        write_defaults(&mut toml).unwrap();
        write_schema(&mut json).unwrap();
        assert!(String::from_utf8(toml).unwrap().contains("\n[listen]\n"));
        assert!(
            serde_json::from_slice::<serde_json::Value>(&json).unwrap()["properties"]["listen"]
                .is_object()
        );
    }
}

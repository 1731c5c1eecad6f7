//! The commands, one file each. Results go to stdout, messages for people to stderr.
//!
//! Exit status: 0 done, 1 failed at run time, 2 usage or configuration.

mod audit;
mod check;
mod config;
mod connect;
mod limits;
mod output;
mod ready;
mod routes;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Loaded, Problems, load};
use config::SourceArgs;

/// A reverse proxy for Frontegg's MFA routes: it holds the environment's credential, limits
/// guesses of recovery codes per email, and keeps the audit log.
#[derive(Debug, Parser)]
#[command(
    name = "mfa-gateway",
    version,
    disable_help_subcommand = true,
    after_help = "Example:\n  mfa-gateway check -c gateway.toml --connect && mfa-gateway run -c gateway.toml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify the audit log, search it, follow it
    Audit(Box<audit::AuditArgs>),
    /// Report every problem of the configuration at once
    Check(check::CheckArgs),
    /// Show the effective configuration, the defaults, or the schema
    Config(config::ConfigArgs),
    /// Show what is left for an email, or forgive it
    Limits(limits::LimitsArgs),
    /// Exit 0 once the running gateway is ready
    Ready(ready::ReadyArgs),
    /// List the routes, and which of them this configuration lets through
    Routes(routes::RoutesArgs),
    /// Serve until told to stop
    Run(run::RunArgs),
    /// A whole world on this machine, without a vendor account
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It began, and something failed. Exit status 1.
    #[error("{0}")]
    AtRunTime(String),
    /// The configuration can't be used. Exit status 2.
    #[error("{0}")]
    Configuration(Problems),
    /// The same, of the command that serves by it. Exit status 2.
    #[error("{0}\n\nNothing was started; mfa-gateway check reports the same.")]
    NotStarted(Problems),
    /// What was wrong was said already. Exit status 2.
    #[error("")]
    Said,
    /// The command was given something it can't use. Exit status 2.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    fn at_run_time(error: impl std::fmt::Display) -> Self {
        Self::AtRunTime(error.to_string())
    }

    const fn exit_status(&self) -> u8 {
        match self {
            Self::AtRunTime(_) => 1,
            Self::Configuration(_) | Self::NotStarted(_) | Self::Said | Self::Usage(_) => 2,
        }
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Limits(arguments) => limits::run(&arguments),
        Command::Ready(arguments) => ready::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => sandbox::run(&arguments),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    let message = failure.to_string();
    if !message.is_empty() {
        output::tell(&format!("mfa-gateway: {message}"));
    }
    ExitCode::from(failure.exit_status())
}

/// Reads the configuration, or says all that is wrong with it.
fn loaded(sources: &SourceArgs) -> Result<Loaded, Failure> {
    load(&sources.sources()).map_err(Failure::Configuration)
}

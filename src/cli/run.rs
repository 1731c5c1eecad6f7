//! `run`: serve until told to stop.

use clap::Args;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tokio::runtime::Runtime;

use super::{Failure, config::SourceArgs};
use crate::{
    app::{self, App, Ended, Signals, Stopped},
    config::load,
    telemetry::log::Log,
};

/// `mfa-gateway run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway run -c /etc/mfa-gateway/gateway.toml --set limits.mode=observe"
)]
pub(super) struct RunArgs {
    #[command(flatten)]
    sources: SourceArgs,
}

/// Serves; returns when everything in flight was finished.
pub(super) fn run(arguments: &RunArgs) -> Result<(), Failure> {
    let sources = arguments.sources.sources();
    let loaded = load(&sources).map_err(Failure::NotStarted)?;
    let log = Log::start(&loaded.settings.telemetry, std::env::var("RUST_LOG").ok())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &loaded.warnings {
        tracing::warn!(key = warning.key, from = %warning.origin, mend = warning.mend, "{}", warning.what);
    }
    protect();
    raise_file_limit();
    let serving = event_loop()?;
    let stopped = serving.block_on(async {
        let signals = Signals::listen().map_err(Failure::at_run_time)?;
        let app = App::build(sources, loaded, Some(log))
            .await
            .map_err(Failure::at_run_time)?;
        Ok(app.run(signals).await)
    });
    match close(serving, stopped?)? {
        Ended::Drained | Ended::Hurried => Ok(()),
        Ended::WithoutAudit => Err(Failure::AtRunTime(
            "no audit output takes records any more, and none can come back".to_owned(),
        )),
    }
}

/// An event loop for this thread.
pub(super) fn event_loop() -> Result<Runtime, Failure> {
    app::event_loop().map_err(|error| Failure::AtRunTime(format!("no event loop: {error}")))
}

/// Ends the event loop that served, then closes the audit log on another one.
pub(super) fn close(serving: Runtime, stopped: Stopped) -> Result<Ended, Failure> {
    // What is in flight still leaves its records here. A name that is being looked up must not hold
    // up the end.
    serving.shutdown_background();
    Ok(event_loop()?.block_on(stopped.close()))
}

/// The credential is in memory: no core dump, no debugger of the same user.
fn protect() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
}

/// As many connections as the system allows, not as many as a shell usually does.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

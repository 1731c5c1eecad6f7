//! Logs to stderr: text on a terminal, JSON elsewhere.
//!
//! A thread of its own writes them, so that a slow terminal or a full pipe holds up no
//! request; when it can't follow, lines are dropped and counted rather than waited for.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt,
    layer::{Layered, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use crate::config::{LogFilter, LogFilterError, LogFormat, Telemetry};

/// Writes lines, of what the filter lets through.
type Format = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Keeps the log alive: what is still buffered is written when this is dropped.
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    format: reload::Handle<Format, Filtered>,
    writer: NonBlocking,
    /// Whether `RUST_LOG` says what is shown.
    overruled: bool,
    _guard: WorkerGuard,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter of the environment can't be read.
    #[error("RUST_LOG={filter:?} can't be read: {cause}; write it like info or mfa_gateway=debug")]
    Filter {
        /// As written.
        filter: String,
        /// Where it goes wrong.
        #[source]
        cause: LogFilterError,
    },
    /// Another subscriber is there already.
    #[error("there is a log already: {0}")]
    Second(#[from] tracing_subscriber::util::TryInitError),
    /// The form or the filter could not be exchanged.
    #[error("the log could not be changed: {0}")]
    Reload(#[from] reload::Error),
}

/// Lines that wait for a slow terminal or pipe; more are dropped. Room for all of them is taken at
/// the start: with the crate's own 128,000 it was a quarter of the idle gateway's memory.
const MOST_LINES: usize = 1_024;

impl Log {
    /// Starts the process's log; `environment` is `RUST_LOG` and wins over the configuration.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(telemetry: &Telemetry, environment: Option<String>) -> Result<Self, LogError> {
        let stronger = environment.filter(|text| !text.trim().is_empty());
        let stronger = stronger.map(parse).transpose()?;
        let filter = stronger.as_ref().unwrap_or(&telemetry.log);
        let (filter, filter_handle) = reload::Layer::new(filter.targets());
        let (writer, guard) = NonBlockingBuilder::default()
            .thread_name("log")
            .buffered_lines_limit(MOST_LINES)
            .finish(io::stderr());
        let format = layer(telemetry.log_format, writer.clone());
        let (format, format_handle) = reload::Layer::new(format);
        tracing_subscriber::registry()
            .with(filter)
            .with(format.with_filter(cap()))
            .try_init()?;
        Ok(Self {
            filter: filter_handle,
            format: format_handle,
            writer,
            overruled: stronger.is_some(),
            _guard: guard,
        })
    }

    /// Takes another form, and another filter where `RUST_LOG` doesn't stand above it.
    ///
    /// # Errors
    /// [`LogError`]; the old ones stay.
    pub fn reload(&self, telemetry: &Telemetry) -> Result<(), LogError> {
        if !self.overruled {
            self.filter.reload(telemetry.log.targets())?;
        }
        let format = layer(telemetry.log_format, self.writer.clone());
        self.format.reload(format)?;
        Ok(())
    }
}

fn parse(filter: String) -> Result<LogFilter, LogError> {
    let read = filter.parse();
    read.map_err(|cause| LogError::Filter { filter, cause })
}

/// SECURITY: below warnings other crates may print what they carry, and `RUST_LOG` must not be able
/// to make a log of secrets.
fn cap() -> Targets {
    Targets::new()
        .with_default(Level::WARN)
        .with_target("mfa_gateway", Level::TRACE)
}

fn layer(format: LogFormat, writer: NonBlocking) -> Format {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    if json {
        Box::new(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(writer),
        )
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Box::new(
            fmt::layer()
                .with_ansi(colour)
                .with_target(false)
                .with_writer(writer),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = parse("mfa_gateway=loud".to_owned()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("mfa_gateway=loud"), "{error}");
    }

    #[test]
    fn other_crates_never_tell_below_warnings() {
        let cap = cap();
        assert!(cap.would_enable("mfa_gateway::edge", &Level::TRACE));
        assert!(cap.would_enable("h2::proto", &Level::WARN));
        assert!(!cap.would_enable("h2::proto", &Level::INFO));
    }
}

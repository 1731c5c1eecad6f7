//! The life of the process: everything opened before anything is served, then serving, then
//! draining in the order that loses nothing.
//!
//! Starting: the audit log, the limiter, the credential's keeper, every socket; only then the
//! first connection is accepted. A start that fails has served nothing.
//!
//! Draining: not ready → `shutdown.delay` → no new connections → requests in flight end, within
//! `shutdown.timeout` → the event loops end, and with them what is in flight still → the audit log
//! is closed → exit.

mod announce;
mod keys;
mod listeners;
mod parts;
mod reload;
mod signals;
mod threads;
mod watched;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::sleep};

pub use parts::StartError;
pub use signals::{Signal, Signals};
pub use threads::event_loop;

use crate::{
    audit::Control,
    config::{Loaded, Shutdown, Sources},
    edge::{self, ConnectionRules, Drain, ListenError, Listener, Phase, Servers},
    model::Deadline,
    telemetry::log::Log,
};
use listeners::{InFlight, Listeners};
use parts::{Parts, Sinks};
use reload::Configuration;

/// A gateway that has opened everything and serves nothing yet.
#[derive(Debug)]
pub struct App {
    configuration: Configuration,
    parts: Parts,
    bound: Vec<(Listener, Arc<ConnectionRules>)>,
    in_flight: Vec<InFlight>,
    admin: Option<TcpListener>,
}

/// How a process that served came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in flight was finished.
    Drained,
    /// Told twice, or out of time: something in flight was cut off.
    Hurried,
    /// No sink takes audit records and none can come back.
    WithoutAudit,
}

/// A gateway that serves no more. What was cut off is on record once the event loop that it ran on
/// has ended too, so audit log and traces are still open.
#[derive(Debug)]
#[must_use = "the audit log is to be closed"]
pub struct Stopped {
    ended: Ended,
    sinks: Sinks,
    /// The last lines are written when this goes.
    _log: Option<Log>,
}

impl Stopped {
    /// Closes audit log and traces, and says how it came to that. To be called on another event loop
    /// where something was cut off, after the one that served was shut down.
    pub async fn close(self) -> Ended {
        self.sinks.close().await;
        self.ended
    }
}

impl App {
    /// Opens everything that `loaded` names. To be called on the runtime that will serve, an
    /// [`event_loop`].
    ///
    /// # Errors
    /// [`StartError`], with what can't be opened and why. Nothing was served.
    pub async fn build(
        sources: Sources,
        loaded: Loaded,
        log: Option<Log>,
    ) -> Result<Self, StartError> {
        let settings = &loaded.settings;
        // a file that changes in between is taken once too often, not never
        let taken = watched::before_reading(&loaded).await;
        let lasting = reload::lasting(settings)?;
        let listeners = Listeners::bind(&settings.listen)?;
        let admin = settings
            .admin
            .as_ref()
            .map(|admin| listen_admin(admin.address))
            .transpose()?;
        let parts = Parts::assemble(settings).await?;
        let configuration = Configuration {
            sources,
            loaded: watch::Sender::new(Arc::new(loaded)),
            log,
            identities: listeners.identities,
            taken,
            is_outdated: false,
            refusals: Vec::new(),
            lasting,
        };
        Ok(Self {
            configuration,
            parts,
            bound: listeners.bound,
            in_flight: listeners.in_flight,
            admin,
        })
    }

    /// Where callers reach it.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.bound
            .iter()
            .map(|(listener, _rules)| listener.address())
            .collect()
    }

    /// Where the admin listener is.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until a signal says otherwise, then drains.
    pub async fn run(self, mut signals: Signals) -> Stopped {
        let Self {
            mut configuration,
            mut parts,
            bound,
            in_flight,
            admin,
        } = self;
        let phase = watch::Sender::new(Phase::Starting);
        let mut administering = JoinSet::new();
        if let Some(listener) = admin {
            let config = configuration.loaded.subscribe();
            let state = parts.state(
                &configuration.loaded().settings,
                phase.subscribe(),
                config,
                signals.quit(),
            );
            tracing::info!(address = %show(&listener), "admin listening");
            administering.spawn(edge::serve_admin(listener, state));
        }
        let serving = Serving::open(&parts, bound, in_flight);
        phase.send_replace(Phase::Serving);

        let cause = configuration.follow(&mut parts, &mut signals).await;
        match cause {
            Cause::AuditLost => tracing::error!(
                "no audit output takes records any more, and none can come back: draining"
            ),
            Cause::Told => tracing::info!("told to stop: draining"),
        }
        phase.send_replace(Phase::Draining);
        if parts.audit.control(&Control::Drain).await.is_err() {
            tracing::warn!("the drain is not in the audit log yet");
        }
        let finished = serving
            .end(configuration.loaded().settings.shutdown, &mut signals)
            .await;
        administering.shutdown().await;
        Stopped {
            ended: match (cause, finished) {
                (Cause::AuditLost, _) => Ended::WithoutAudit,
                (Cause::Told, true) => Ended::Drained,
                (Cause::Told, false) => Ended::Hurried,
            },
            sinks: parts.end().await,
            _log: configuration.log,
        }
    }
}

/// The listeners, while they are served.
struct Serving {
    accepting: JoinSet<()>,
    drain: Drain,
    in_flight: Vec<InFlight>,
    /// Its threads end when this does, so it lives until nothing is in flight.
    servers: Arc<Servers>,
}

impl Serving {
    fn open(
        parts: &Parts,
        bound: Vec<(Listener, Arc<ConnectionRules>)>,
        in_flight: Vec<InFlight>,
    ) -> Self {
        let (drain, servers) = (Drain::new(), threads::start_serving(parts));
        let mut accepting = JoinSet::new();
        for (listener, rules) in bound {
            tracing::info!(address = listener.address(), "listening");
            accepting.spawn(edge::accept(
                listener,
                rules,
                Arc::clone(&servers),
                drain.clone(),
            ));
        }
        Self {
            accepting,
            drain,
            in_flight,
            servers,
        }
    }

    /// Ends serving; `false` where requests in flight were cut off.
    async fn end(mut self, shutdown: Shutdown, signals: &mut Signals) -> bool {
        let draining = async {
            sleep(shutdown.delay).await;
            self.accepting.shutdown().await;
            finish(&self.drain, &self.in_flight, shutdown.timeout).await
        };
        let finished = tokio::select! {
            finished = draining => {
                if !finished {
                    tracing::warn!("shutdown.timeout passed: requests in flight get no answer");
                }
                finished
            }
            () = signals.stop.told_again() => {
                tracing::warn!("told a second time: ending at once, requests in flight get no answer");
                false
            }
        };
        self.accepting.shutdown().await;
        drop(self.servers);
        finished
    }
}

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    AuditLost,
    Told,
}

fn show(listener: &TcpListener) -> String {
    listener
        .local_addr()
        .map_or_else(|error| error.to_string(), |address| address.to_string())
}

fn listen_admin(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = edge::tcp(address).map_err(|cause| ListenError {
        address: format!("{address} (admin)"),
        cause,
    })?;
    Ok(listener)
}

/// Waits until no connection has a request any more and no exchange is under way whose caller
/// left; `false` where `limit` passed first.
async fn finish(drain: &Drain, in_flight: &[InFlight], limit: Duration) -> bool {
    let end = Deadline::after(limit);
    let connections = end.run(drain.complete()).await.is_ok();
    let mut exchanges = true;
    for room in in_flight {
        let all = end.run(room.permits.acquire_many(room.most)).await;
        exchanges &= matches!(all, Ok(Ok(_permits)));
    }
    connections && exchanges
}

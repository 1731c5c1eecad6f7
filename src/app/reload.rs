//! What changes while the process runs: its configuration (`SIGHUP`), and the files that the
//! configuration names, which are read again when they change.

use std::{mem, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::watch, task::spawn_blocking, time::interval};

use super::{
    Cause, Signal, Signals, StartError,
    parts::Parts,
    watched::{Watched, before_reading, look},
};
use crate::{
    audit::Control,
    config::{self, Loaded, Problems, SecretSource, Settings, Sources},
    edge::Identity,
    refresh::LOOK,
    telemetry::log::Log,
};

/// The configuration in force, and where it came from.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) sources: Sources,
    /// The admin listener shows it.
    pub(super) loaded: watch::Sender<Arc<Loaded>>,
    pub(super) log: Option<Log>,
    pub(super) identities: Vec<Arc<Identity>>,
    /// It was to be replaced by another, which could not be taken.
    pub(super) is_outdated: bool,
    /// The files that it names, as they were when they were taken.
    pub(super) taken: Vec<Watched>,
    /// What can't be taken as it is now, and was told of.
    pub(super) refusals: Vec<Refusal>,
    /// The secrets that it names and that are not read again.
    pub(super) lasting: Vec<Lasting>,
}

/// A secret that stays as it was at the start: what was counted or written is there under it.
#[derive(Debug)]
pub(super) struct Lasting {
    /// Which key names it.
    key: &'static str,
    source: SecretSource,
    at_start: SecretString,
    /// Whether it was told that its file holds another one.
    told: bool,
}

/// The keys that were taken.
type Outcome = Result<Vec<String>, Refusal>;

/// Why something stays as it was before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Those that are wrong, or that can't change while the gateway runs.
    keys: Vec<String>,
    why: Why,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    Certificate(String),
    Failed(&'static str, String),
    Fixed,
    Invalid(&'static str, Problems),
}

const NOT_RELOADED: &str = "configuration not reloaded";
const UNUSABLE: &str = "a changed file can't be used; what it held before stays in use";

impl Configuration {
    /// The one that is in effect.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.borrow())
    }

    /// Follows signals and files until something says that serving is over. That is heard also
    /// while a file is read: on a disk that hangs it may take for ever.
    pub(super) async fn follow(&mut self, parts: &mut Parts, signals: &mut Signals) -> Cause {
        let hopeless = parts.audit.unrecoverable();
        tokio::pin!(hopeless);
        let mut clock = interval(LOOK);
        loop {
            let reload = tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => true,
                    Signal::Reopen => {
                        parts.audit.reopen();
                        continue;
                    }
                    Signal::Stop => return Cause::Told,
                },
                () = &mut hopeless => return Cause::AuditLost,
                _ = clock.tick() => false,
            };
            let read = async {
                if reload {
                    self.reload(parts).await;
                } else {
                    self.follow_files(parts).await;
                }
                self.follow_lasting().await;
            };
            tokio::select! {
                () = read => {}
                () = signals.stop.told() => return Cause::Told,
                () = &mut hopeless => return Cause::AuditLost,
            }
        }
    }

    /// Tells, once, of a secret whose file holds another one, since nothing comes of it yet.
    async fn follow_lasting(&mut self) {
        for secret in &mut self.lasting {
            let source = secret.source.clone();
            // one that can't be read is the next reload's trouble
            let Ok(Ok(now)) = spawn_blocking(move || source.read()).await else {
                continue;
            };
            let differs = now.expose_secret() != secret.at_start.expose_secret();
            if differs && !secret.told {
                tracing::warn!(
                    key = secret.key,
                    mend = "restart the gateway",
                    "this file holds another key than at the start: it takes effect at a restart"
                );
            }
            secret.told = differs;
        }
    }

    /// Reads the configuration again, and the files that it names; an invalid one, or one that
    /// can't be taken while the process runs, is reported by key and the old one stays.
    async fn reload(&mut self, parts: &mut Parts) {
        let mut reloaded = self.take(parts).await;
        self.is_outdated = reloaded.is_err();
        if reloaded.is_ok()
            && let Err(refusal) = self.renew_identities().await
        {
            // the next looks try them again
            self.taken.retain(|file| !file.is_identity());
            reloaded = Err(refusal);
        }
        // who asks is told in any case
        self.refusals.clear();
        match reloaded {
            Ok(changed) => self.conclude(parts, Some(changed), Vec::new()).await,
            Err(refusal) => self.conclude(parts, None, vec![refusal]).await,
        }
    }

    /// Takes the files that have changed since they were taken. What was written into the
    /// configuration itself meanwhile waits for its signal. Those that can't be taken are tried
    /// again at each look, since the cause may be gone by then, and told of once.
    async fn follow_files(&mut self, parts: &mut Parts) {
        let mut now = look(&self.loaded()).await;
        let changed = now.iter().filter(|file| !self.taken.contains(file));
        let (identities, files): (Vec<_>, Vec<_>) =
            changed.cloned().partition(Watched::is_identity);
        if identities.is_empty() && files.is_empty() {
            return;
        }
        let (mut taken, mut refusals) = (Vec::new(), Vec::new());
        for (outcome, files) in [
            (self.take_files(parts, keys(&files)).await, files),
            (self.take_identities(keys(&identities)).await, identities),
        ] {
            match outcome {
                Ok(keys) => taken.extend(keys),
                Err(refusal) => {
                    now.retain(|file| !files.contains(file));
                    refusals.push(refusal);
                }
            }
        }
        self.taken = now;
        let taken = Some(taken).filter(|taken| !taken.is_empty());
        self.conclude(parts, taken, refusals).await;
    }

    /// Counts, and tells of what was taken and of what is refused for another reason than before.
    async fn conclude(
        &mut self,
        parts: &Parts,
        taken: Option<Vec<String>>,
        refusals: Vec<Refusal>,
    ) {
        // a file that is taken doesn't make good that the configuration was not
        let success = refusals.is_empty() && !self.is_outdated;
        parts.metrics.config_reload_success.set(success.into());
        if let Some(changed) = taken {
            tracing::info!(?changed, "configuration reloaded");
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            record(parts, &Control::Reload { changed: &changed }).await;
        }
        let known = mem::replace(&mut self.refusals, refusals);
        for refusal in &self.refusals {
            if !known.contains(refusal) {
                refusal.log();
                let keys: Vec<&str> = refusal.keys.iter().map(String::as_str).collect();
                record(parts, &Control::ReloadRefused { keys: &keys }).await;
            }
        }
    }

    /// The keys whose files were taken: of those that changed, where it makes a difference. What
    /// is wrong with a file is found by reading the configuration, whichever file it is.
    async fn take_files(&mut self, parts: &mut Parts, mut changed: Vec<String>) -> Outcome {
        if changed.is_empty() {
            return Ok(changed);
        }
        let before = self.loaded();
        let loaded = self.read_again(&changed).await?;
        let replaced = config::changed_keys(&before, &loaded);
        // a pod's is written anew with each token that the kubelet renews, mostly as it was
        let is_ca = |key: &String| before.ca_files().iter().any(|(ca, _path)| ca == key);
        changed.retain(|key| !is_ca(key) || replaced.contains(key));
        if changed.is_empty() {
            return Ok(changed);
        }
        if let Err(error) = parts.reload(&loaded.settings, &replaced).await {
            return Err(Refusal::failed(UNUSABLE, changed, &error));
        }
        self.loaded.send_replace(loaded);
        Ok(changed)
    }

    async fn take_identities(&self, changed: Vec<String>) -> Outcome {
        if !changed.is_empty() {
            self.renew_identities().await?;
        }
        Ok(changed)
    }

    /// The configuration that is in force, with what its files say now.
    async fn read_again(&self, changed: &[String]) -> Result<Arc<Loaded>, Refusal> {
        let before = self.loaded();
        match spawn_blocking(move || before.read_again()).await {
            Ok(Ok(again)) => Ok(Arc::new(again)),
            Ok(Err(problems)) => Err(Refusal::invalid(UNUSABLE, problems)),
            Err(error) => Err(Refusal::failed(UNUSABLE, changed.to_vec(), &error)),
        }
    }

    /// The keys that changed.
    async fn take(&mut self, parts: &mut Parts) -> Outcome {
        let sources = self.sources.clone();
        let read = spawn_blocking(move || config::load(&sources)).await;
        let loaded = match read {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(problems)) => return Err(Refusal::invalid(NOT_RELOADED, problems)),
            Err(error) => return Err(Refusal::failed(NOT_RELOADED, Vec::new(), &error)),
        };
        let fixed = config::reload_blockers(&self.loaded(), &loaded);
        if !fixed.is_empty() {
            return Err(Refusal {
                keys: fixed,
                why: Why::Fixed,
            });
        }
        let changed = config::changed_keys(&self.loaded(), &loaded);
        let seen = before_reading(&loaded).await;
        if let Err(error) = parts.reload(&loaded.settings, &changed).await {
            return Err(Refusal::failed(NOT_RELOADED, changed, &error));
        }
        if let Some(log) = &self.log
            && let Err(error) = log.reload(&loaded.settings.telemetry)
        {
            tracing::error!(%error, "the log stays as it was");
        }
        self.loaded.send_replace(Arc::new(loaded));
        self.taken = seen;
        Ok(changed)
    }

    /// Reads the listeners' certificates again. An old one stays where that fails.
    async fn renew_identities(&self) -> Result<(), Refusal> {
        let mut renewed = Ok(());
        for identity in &self.identities {
            let identity = Arc::clone(identity);
            let error = match spawn_blocking(move || identity.renew()).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            renewed = Err(Refusal {
                keys: vec!["listen.tls".to_owned()],
                why: Why::Certificate(error),
            });
        }
        renewed
    }
}

impl Refusal {
    fn failed(so: &'static str, keys: Vec<String>, error: &dyn std::error::Error) -> Self {
        Self {
            keys,
            why: Why::Failed(so, error.to_string()),
        }
    }

    fn invalid(so: &'static str, problems: Problems) -> Self {
        Self {
            keys: problems.iter().map(|problem| problem.key.clone()).collect(),
            why: Why::Invalid(so, problems),
        }
    }

    fn log(&self) {
        match &self.why {
            Why::Certificate(error) => tracing::error!(error, "the old certificate stays in use"),
            Why::Failed(so, error) => tracing::error!(error, "{so}"),
            Why::Fixed => {
                tracing::error!(keys = ?self.keys, "{NOT_RELOADED}: these keys need a restart");
            }
            Why::Invalid(so, problems) => {
                for problem in problems {
                    tracing::error!(key = problem.key, from = %problem.origin, mend = problem.mend, "{so}: {}", problem.what);
                }
            }
        }
    }
}

fn keys(files: &[Watched]) -> Vec<String> {
    files.iter().map(|file| file.key.clone()).collect()
}

async fn record(parts: &Parts, control: &Control<'_>) {
    if parts.audit.control(control).await.is_err() {
        tracing::warn!("the reload is not in the audit log yet");
    }
}

/// The secrets that stay as they are now.
pub(super) fn lasting(settings: &Settings) -> Result<Vec<Lasting>, StartError> {
    let sources = [
        ("limits.key_file", settings.limits.key.as_ref()),
        ("audit.key_file", Some(&settings.audit.key)),
    ];
    let files = sources.into_iter().filter_map(|(key, source)| {
        let source = source.filter(|source| matches!(source, SecretSource::File(_)))?;
        Some((key, source.clone()))
    });
    let read = files.map(|(key, source)| {
        Ok(Lasting {
            at_start: source
                .read()
                .map_err(|cause| StartError::Secret { key, cause })?,
            key,
            source,
            told: false,
        })
    });
    read.collect()
}

//! What changes while the process runs: its configuration (`SIGHUP`), and the files that the
//! configuration names, which are read again when they change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, task::spawn_blocking, time::interval};

use super::{Cause, Signal, Signals, parts::Parts};
use crate::{
    audit::Control,
    config::{self, Loaded, SecretSource, Sources},
    edge::Identity,
    telemetry::log::Log,
};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);

/// The configuration in force, and where it came from.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) sources: Sources,
    pub(super) loaded: Loaded,
    pub(super) log: Option<Log>,
    pub(super) identities: Vec<Arc<Identity>>,
    /// The redacted form, for the admin listener.
    pub(super) shown: watch::Sender<Arc<str>>,
}

impl Configuration {
    /// Follows signals and files until something says that serving is over.
    pub(super) async fn follow(&mut self, parts: &mut Parts, signals: &mut Signals) -> Cause {
        let hopeless = parts.audit.unrecoverable();
        tokio::pin!(hopeless);
        let mut seen = self.look().await;
        let mut clock = interval(LOOK);
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => self.reload(parts).await,
                    Signal::Reopen => parts.audit.reopen(),
                    Signal::Stop => return Cause::Told,
                },
                () = &mut hopeless => return Cause::AuditLost,
                _ = clock.tick() => {
                    let now = self.look().await;
                    if now != seen {
                        seen = now;
                        tracing::info!("a file that the configuration names has changed");
                        self.renew_identities().await;
                        self.reload(parts).await;
                    }
                }
            }
        }
    }

    /// Reads the configuration again; an invalid one, or one that can't be taken while the
    /// process runs, is reported by key and the old one stays.
    async fn reload(&mut self, parts: &mut Parts) {
        let taken = self.take(parts).await;
        parts
            .metrics
            .config_reload_success
            .set(i64::from(taken.is_ok()));
        let recorded = match taken {
            Ok(changed) => {
                tracing::info!(?changed, "configuration reloaded");
                let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
                parts
                    .audit
                    .control(&Control::Reload { changed: &changed })
                    .await
            }
            Err(keys) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                parts
                    .audit
                    .control(&Control::ReloadRefused { keys: &keys })
                    .await
            }
        };
        if recorded.is_err() {
            tracing::warn!("the reload is not in the audit log yet");
        }
    }

    /// The keys that changed, or those that stand in the way.
    async fn take(&mut self, parts: &mut Parts) -> Result<Vec<String>, Vec<String>> {
        let sources = self.sources.clone();
        let read = spawn_blocking(move || config::load(&sources)).await;
        let loaded = match read {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(problems)) => {
                for problem in &problems {
                    tracing::error!(key = problem.key, from = %problem.origin, mend = problem.mend, "configuration not reloaded: {}", problem.what);
                }
                return Err(problems.iter().map(|problem| problem.key.clone()).collect());
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded");
                return Err(Vec::new());
            }
        };
        let fixed = config::reload_blockers(&self.loaded, &loaded);
        if !fixed.is_empty() {
            tracing::error!(keys = ?fixed, "configuration not reloaded: these keys need a restart");
            return Err(fixed);
        }
        let changed = config::changed_keys(&self.loaded, &loaded);
        let vendor_changed = changed.iter().any(|key| key.starts_with("frontegg."));
        if let Err(error) = parts.reload(&loaded.settings, vendor_changed).await {
            tracing::error!(%error, "configuration not reloaded");
            return Err(changed);
        }
        if let Some(log) = &self.log
            && let Err(error) = log.reload(&loaded.settings.telemetry)
        {
            tracing::error!(%error, "the log filter stays as it was");
        }
        self.shown
            .send_replace(Arc::from(loaded.show_json().to_string()));
        self.loaded = loaded;
        Ok(changed)
    }

    async fn renew_identities(&self) {
        for identity in &self.identities {
            let identity = Arc::clone(identity);
            match spawn_blocking(move || identity.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the old certificate stays in use"),
                Err(error) => tracing::error!(%error, "the old certificate stays in use"),
            }
        }
    }

    /// When each file that is read again was last changed. One that is renamed into place, as
    /// Kubernetes does, counts as changed. The credential's files are its keeper's business.
    async fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let settings = &self.loaded.settings;
        let secrets = settings.callers.iter().map(|caller| &caller.token);
        let mut files: Vec<PathBuf> = secrets
            .filter_map(|source| match source {
                SecretSource::File(path) => Some(path.clone()),
                SecretSource::Inline(_) => None,
            })
            .collect();
        for tls in settings
            .listen
            .iter()
            .filter_map(|listen| listen.tls.as_ref())
        {
            files.extend([tls.certificate_file.clone(), tls.private_key_file.clone()]);
        }
        let stamp = |path: PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.ino()))
        };
        let look = spawn_blocking(move || files.into_iter().map(stamp).collect());
        look.await.unwrap_or_default()
    }
}

//! What changes while the process runs: its configuration (`SIGHUP`), and the files that the
//! configuration names, which are read again when they change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::watch, task::spawn_blocking, time::interval};

use super::{Cause, Signal, Signals, StartError, parts::Parts};
use crate::{
    audit::Control,
    config::{self, KnownBy, Loaded, Problems, SecretSource, Settings, Sources},
    edge::Identity,
    telemetry::log::Log,
};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);

/// The configuration in force, and where it came from.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) sources: Sources,
    /// The admin listener shows it.
    pub(super) loaded: watch::Sender<Arc<Loaded>>,
    pub(super) log: Option<Log>,
    pub(super) identities: Vec<Arc<Identity>>,
    /// The files that it names, as they were when they were read.
    pub(super) seen: Vec<Watched>,
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

/// A file that is read again when it changes.
#[derive(Debug, PartialEq)]
pub(super) struct Watched {
    /// Which key names it.
    key: String,
    path: PathBuf,
    /// When it was last changed, and its number: one that is renamed into its server, as
    /// Kubernetes does, is another.
    stamp: Option<(SystemTime, u64)>,
}

impl Configuration {
    /// The one that is in effect.
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.borrow())
    }

    /// Follows signals and files until something says that serving is over.
    pub(super) async fn follow(&mut self, parts: &mut Parts, signals: &mut Signals) -> Cause {
        let hopeless = parts.audit.unrecoverable();
        tokio::pin!(hopeless);
        let mut clock = interval(LOOK);
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        self.reload(parts).await;
                        self.follow_lasting().await;
                    }
                    Signal::Reopen => parts.audit.reopen(),
                    Signal::Stop => return Cause::Told,
                },
                () = &mut hopeless => return Cause::AuditLost,
                _ = clock.tick() => {
                    self.follow_files(parts).await;
                    self.follow_lasting().await;
                }
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
        let taken = self.take(parts).await;
        if taken.is_ok() {
            self.renew_identities().await;
        }
        tell(parts, taken).await;
    }

    /// Reads the files that have changed since they were read. What was written into the
    /// configuration itself meanwhile waits for its signal.
    async fn follow_files(&mut self, parts: &mut Parts) {
        let now = look(&self.loaded()).await;
        if now == self.seen {
            return;
        }
        let changed = now.iter().filter(|file| !self.seen.contains(file));
        let changed: Vec<String> = changed.map(|file| file.key.clone()).collect();
        self.seen = now;
        let identities = self.renew_identities().await;
        let taken = match self.take_files(parts, changed).await {
            Ok(nothing) if nothing.is_empty() => return,
            Ok(changed) if !identities => Err(changed),
            taken => taken,
        };
        tell(parts, taken).await;
    }

    /// The keys whose files were taken, or that stand in the way.
    async fn take_files(
        &mut self,
        parts: &mut Parts,
        mut changed: Vec<String>,
    ) -> Result<Vec<String>, Vec<String>> {
        const UNUSABLE: &str = "a changed file can't be used; what it held before stays in use";
        let ca_files = self.loaded().ca_files();
        let is_ca = |key: &String| ca_files.iter().any(|(ca, _path)| ca == key);
        let mut loaded = self.loaded();
        let mut replaced = Vec::new();
        if changed.iter().any(is_ca) {
            let before = Arc::clone(&loaded);
            match spawn_blocking(move || before.read_again()).await {
                Ok(Ok(again)) => loaded = Arc::new(again),
                Ok(Err(problems)) => {
                    report(&problems, UNUSABLE);
                    return Err(changed);
                }
                Err(error) => {
                    tracing::error!(%error, "{UNUSABLE}");
                    return Err(changed);
                }
            }
            replaced = config::changed_keys(&self.loaded(), &loaded);
            // a pod's is written anew with each token that the kubelet renews, mostly as it was
            changed.retain(|key| !is_ca(key) || replaced.contains(key));
        }
        if changed.is_empty() {
            return Ok(changed);
        }
        if let Err(error) = parts.reload(&loaded.settings, &replaced).await {
            tracing::error!(%error, "{UNUSABLE}");
            return Err(changed);
        }
        self.loaded.send_replace(loaded);
        Ok(changed)
    }

    /// The keys that changed, or those that stand in the way.
    async fn take(&mut self, parts: &mut Parts) -> Result<Vec<String>, Vec<String>> {
        let sources = self.sources.clone();
        let read = spawn_blocking(move || config::load(&sources)).await;
        let loaded = match read {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(problems)) => {
                report(&problems, "configuration not reloaded");
                return Err(problems.iter().map(|problem| problem.key.clone()).collect());
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded");
                return Err(Vec::new());
            }
        };
        let fixed = config::reload_blockers(&self.loaded(), &loaded);
        if !fixed.is_empty() {
            tracing::error!(keys = ?fixed, "configuration not reloaded: these keys need a restart");
            return Err(fixed);
        }
        let changed = config::changed_keys(&self.loaded(), &loaded);
        let seen = look(&loaded).await;
        if let Err(error) = parts.reload(&loaded.settings, &changed).await {
            tracing::error!(%error, "configuration not reloaded");
            return Err(changed);
        }
        if let Some(log) = &self.log
            && let Err(error) = log.reload(&loaded.settings.telemetry)
        {
            tracing::error!(%error, "the log filter stays as it was");
        }
        self.loaded.send_replace(Arc::new(loaded));
        self.seen = seen;
        Ok(changed)
    }

    /// Reads the listeners' certificates again; `false` where an old one had to stay.
    async fn renew_identities(&self) -> bool {
        let mut all = true;
        for identity in &self.identities {
            let identity = Arc::clone(identity);
            let error = match spawn_blocking(move || identity.renew()).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!(error, "the old certificate stays in use");
            all = false;
        }
        all
    }
}

fn report(problems: &Problems, so: &str) {
    for problem in problems {
        tracing::error!(key = problem.key, from = %problem.origin, mend = problem.mend, "{so}: {}", problem.what);
    }
}

/// Counts and records what became of a reload.
async fn tell(parts: &Parts, taken: Result<Vec<String>, Vec<String>>) {
    parts
        .metrics
        .config_reload_success
        .set(i64::from(taken.is_ok()));
    let (Ok(keys) | Err(keys)) = &taken;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let control = match taken {
        Ok(_) => {
            tracing::info!(changed = ?keys, "configuration reloaded");
            Control::Reload { changed: &keys }
        }
        Err(_) => Control::ReloadRefused { keys: &keys },
    };
    if parts.audit.control(&control).await.is_err() {
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

/// Looks at each file that is read again. The credential's files are its keeper's business.
pub(super) async fn look(loaded: &Loaded) -> Vec<Watched> {
    let mut files = files(&loaded.settings);
    let ca_files = loaded.ca_files().into_iter();
    files.extend(ca_files.map(|(key, path)| (key.to_owned(), path)));
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.ino()))
    };
    let look = spawn_blocking(move || {
        let watched = files.into_iter().map(|(key, path)| Watched {
            stamp: stamp(&path),
            key,
            path,
        });
        watched.collect()
    });
    look.await.unwrap_or_default()
}

fn files(settings: &Settings) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut secret = |key: String, source: &SecretSource| {
        if let SecretSource::File(path) = source {
            files.push((key, path.clone()));
        }
    };
    let admin = settings.admin.as_ref();
    if let Some(key) = admin.and_then(|admin| admin.key.as_ref()) {
        secret("admin.key_file".to_owned(), key);
    }
    for (index, caller) in settings.callers.iter().enumerate() {
        match &caller.known_by {
            KnownBy::Token(token) => secret(format!("callers[{index}].token_file"), token),
            KnownBy::CertificateDns(_)
            | KnownBy::ServiceAccount(_)
            | KnownBy::SpiffeId(_)
            | KnownBy::Uid(_) => {}
        }
    }
    let frontegg = &settings.frontegg;
    if let Some(shared) = &frontegg.client_ip_secret {
        secret("frontegg.client_ip.shared_secret_file".to_owned(), shared);
        secret("frontegg.client_id_file".to_owned(), &frontegg.client_id);
    }
    for tls in settings
        .listen
        .iter()
        .filter_map(|listen| listen.tls.as_ref())
    {
        for (key, path) in [
            ("listen.tls.certificate_file", &tls.certificate_file),
            ("listen.tls.private_key_file", &tls.private_key_file),
        ] {
            files.push((key.to_owned(), path.clone()));
        }
        if let Some(path) = &tls.client_ca_file {
            files.push(("listen.tls.client_ca_file".to_owned(), path.clone()));
        }
    }
    files
}

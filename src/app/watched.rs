//! The files that the configuration names and that are read again when they change.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::SystemTime};

use tokio::task::spawn_blocking;

use crate::config::{KnownBy, Loaded, SecretSource, Settings};

/// A file that is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Which key names it.
    pub(super) key: String,
    path: PathBuf,
    /// When it was last changed, and its number: one that is renamed into its place, as
    /// Kubernetes does, is another.
    stamp: Option<(SystemTime, u64)>,
}

impl Watched {
    /// Whether a listener shows it.
    pub(super) fn is_identity(&self) -> bool {
        self.key.starts_with("listen.tls.")
    }
}

/// Those that are about to be taken. Files with a CA are not: they were read with the
/// configuration, before anybody looked at them, so the first look takes them once more.
pub(super) async fn before_reading(loaded: &Loaded) -> Vec<Watched> {
    let ca_files = loaded.ca_files();
    let mut files = look(loaded).await;
    files.retain(|file| !ca_files.iter().any(|(key, _path)| *key == file.key));
    files
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

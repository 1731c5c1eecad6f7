//! What differs between two configurations, for a reload.

use std::path::PathBuf;

use rustls::pki_types::TrustAnchor;

use super::{Loaded, Problems, entries::Entry, meaning, meant::Meant};

/// Whether a key is the one at `path`, or in the section there.
#[must_use]
pub fn is_within(key: &str, path: &str) -> bool {
    let rest = key.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What can't change while the gateway runs: sockets, stores, where records go, and the keys under
/// which what is there was written or counted.
pub(super) const FIXED: [&str; 13] = [
    "listen",
    "admin",
    "limits.store",
    "limits.redis",
    "limits.max_keys",
    "limits.key",
    "limits.key_file",
    "audit.output",
    "audit.key",
    "audit.key_file",
    "audit.previous_key_files",
    "audit.chain",
    "telemetry.otlp_endpoint",
];

/// What names the certificates that are trusted of whoever is called.
pub(super) const CA_FILES: [&str; 2] = ["frontegg.ca_file", "kubernetes.ca_file"];

impl Loaded {
    /// The files with certificates that are trusted of whoever is called, by key.
    #[must_use]
    pub fn ca_files(&self) -> Vec<(&'static str, PathBuf)> {
        let named = |key| match self.entries.at(key).map(|entry| &entry.meant) {
            Some(Meant::Text(path)) if !path.is_empty() => Some((key, PathBuf::from(path))),
            _none => None,
        };
        let used = trusted(self).into_iter().zip(CA_FILES);
        used.filter_map(|(roots, key)| roots.and_then(|_used| named(key)))
            .collect()
    }

    /// The same configuration, with the files that it names read again.
    ///
    /// # Errors
    /// What is wrong with them now.
    pub fn read_again(&self) -> Result<Self, Problems> {
        let entries = self.entries.clone();
        let (settings, warnings) = meaning::settings(&entries, Problems::default())?;
        Ok(Self {
            settings,
            warnings,
            entries,
        })
    }
}

/// By key of [`CA_FILES`], where it matters.
fn trusted(loaded: &Loaded) -> [Option<&[TrustAnchor<'static>]>; 2] {
    let settings = &loaded.settings;
    let cluster = settings.kubernetes.as_ref();
    [
        Some(settings.frontegg.roots.roots.as_slice()),
        cluster.map(|cluster| cluster.roots.roots.as_slice()),
    ]
}

/// The keys whose values differ, in the order of the reference; then those of CA files that hold
/// other certificates than before.
#[must_use]
pub fn changed_keys(old: &Loaded, new: &Loaded) -> Vec<String> {
    let differing = differing(old, new).map(|entry| entry.path.clone());
    let mut changed: Vec<String> = differing.collect();
    let both = trusted(old).into_iter().zip(trusted(new));
    for ((before, now), key) in both.zip(CA_FILES) {
        let replaced = before.is_some() && now.is_some() && before != now;
        if replaced && !changed.iter().any(|known| known == key) {
            changed.push(key.to_owned());
        }
    }
    changed
}

/// Of those, the ones that need a restart.
#[must_use]
pub fn reload_blockers(old: &Loaded, new: &Loaded) -> Vec<String> {
    let fixed = |entry: &&Entry| FIXED.iter().any(|path| is_within(entry.key.path, path));
    differing(old, new)
        .filter(fixed)
        .map(|entry| entry.path.clone())
        .collect()
}

fn differing<'a>(old: &'a Loaded, new: &'a Loaded) -> impl Iterator<Item = &'a Entry> {
    let gone = old
        .entries
        .iter()
        .filter(|entry| new.entries.at(&entry.path).is_none());
    let changed = new.entries.iter().filter(|entry| {
        let before = old.entries.at(&entry.path);
        !before.is_some_and(|before| before.meant.same(&entry.meant))
    });
    changed.chain(gone)
}

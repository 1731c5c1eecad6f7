//! What differs between two configurations, for a reload.

use super::{Loaded, entries::Entry};

/// What can't change while the gateway runs: sockets, stores, open files, and the keys under
/// which what is there was written.
const FIXED: [&str; 10] = [
    "listen",
    "admin",
    "limits.store",
    "limits.redis",
    "limits.max_keys",
    "limits.key",
    "limits.key_file",
    "audit",
    "telemetry.log_format",
    "telemetry.otlp_endpoint",
];

/// The keys whose values differ, in the order of the reference.
#[must_use]
pub fn changed_keys(old: &Loaded, new: &Loaded) -> Vec<String> {
    differing(old, new)
        .map(|entry| entry.path.clone())
        .collect()
}

/// Of those, the ones that need a restart.
#[must_use]
pub fn reload_blockers(old: &Loaded, new: &Loaded) -> Vec<String> {
    let fixed = |entry: &&Entry| {
        FIXED.iter().any(|fixed| {
            let rest = entry.key.path.strip_prefix(fixed);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
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

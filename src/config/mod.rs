//! The configuration: what may be written, where it came from, and what it means.
//!
//! 1. [`Sources`] are read, one layer each (`sources`, `file`).
//! 2. Each layer is checked against the table of all keys (`keys`, `kind`), and figment
//!    lays them over each other (`entries`): the written form.
//! 3. `meaning` makes [`Settings`] of it: the meant form. If they exist, they are right.
//!
//! Every mistake is found in one go and told with its key, its place and the mend. No
//! text made here repeats a secret, or a value that may be one.

mod audit;
mod caller;
mod changes;
mod check;
mod collector;
mod egress;
mod entries;
mod file;
mod keys;
mod kind;
mod log_filter;
mod meaning;
mod meant;
mod nearest;
mod pattern;
mod problem;
mod proxies;
mod quotas;
mod schema;
mod secret;
mod settings;
mod show;
mod sources;
mod store;
mod tokens;
mod units;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use audit::{Audit, Durability, EmailForm, OnFailure, Output};
pub use caller::{Caller, KnownBy};
pub use changes::{changed_keys, is_within, reload_blockers};
pub use collector::Collector;
pub(crate) use egress::{PROXY_VARIABLES, http_proxy, is_past_proxy};
#[cfg(test)]
pub(crate) use keys::is_known;
pub use keys::{KEYS, Key, Repeats, SECTIONS, Section};
pub use kind::Kind;
pub use log_filter::{LogFilter, LogFilterError};
pub use meaning::Verdict;
pub use pattern::Pattern;
pub use problem::{Origin, Problem, Problems};
pub use proxies::TrustedProxies;
pub use schema::schema;
pub use secret::SecretSource;
pub use settings::{
    Admin, Bind, Egress, Frontegg, Headers, Limits, Listen, ListenTls, LogFormat, Mode, Policy,
    Routes, Settings, Shutdown, Subject, SubjectFrom, Telemetry,
};
pub use show::defaults;
pub use sources::{DEFAULT_FILE, Sources};
pub use store::{HostPort, OnStoreFailure, Servers, SharedStore, Store};
pub use tokens::{ActingWith, KeySource, Kubernetes, UserToken};
pub use units::parse_duration;

use entries::Entries;

/// A configuration that was read and is right.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    /// What is probably a mistake, but not surely.
    pub warnings: Vec<Problem>,
    /// What was written, key by key.
    entries: Entries,
}

/// Reads the configuration, with everything that it refers to.
///
/// # Errors
/// Every problem that it has.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let entries = Entries::read(sources, &mut problems);
    let (settings, warnings) = meaning::settings(&entries, problems)?;
    Ok(Loaded {
        settings,
        warnings,
        entries,
    })
}

/// Where the admin listener is. What is wrong outside `[admin]` is not asked, nor are the secrets'
/// files, which another user may not read. `None`: it is switched off.
///
/// # Errors
/// What is wrong with the sources themselves, with the keys of `[admin]` and with `admin.address`.
pub fn admin_address(sources: &Sources) -> Result<Option<SocketAddr>, Problems> {
    let (entries, problems) = section(sources, "admin");
    meaning::admin_address(&entries, problems)
}

/// The keys of the audit log, the present one first. What is wrong outside `[audit]` is not asked:
/// whoever reads a log may have nothing else of the configuration.
///
/// # Errors
/// What is wrong with the sources themselves, with the keys of `[audit]`, and with `audit.key` and
/// `audit.previous_key_files`.
pub fn audit_keys(sources: &Sources) -> Result<Vec<SecretSource>, Problems> {
    let (entries, problems) = section(sources, "audit");
    meaning::audit_keys(&entries, problems)
}

/// The admin listener with its key. What is wrong outside `[admin]` is not asked. `None`: it is
/// switched off.
///
/// # Errors
/// What is wrong with the sources themselves and with `[admin]`, its key's file included.
pub fn admin(sources: &Sources) -> Result<Option<Admin>, Problems> {
    let (entries, problems) = section(sources, "admin");
    meaning::admin(&entries, problems)
}

/// All that is written, but of its mistakes only those that matter to one section.
fn section(sources: &Sources, name: &str) -> (Entries, Problems) {
    let mut problems = Problems::default();
    let entries = Entries::read(sources, &mut problems);
    problems.keep_for(name);
    (entries, problems)
}

/// For fuzzing: reads any bytes as a configuration file's TOML. Touches no other file.
#[cfg(any(test, fuzzing))]
pub(crate) fn raw_toml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let mut problems = Problems::default();
        let layer = sources::Layer::of_toml(text);
        let _entries = Entries::of_layers(layer.as_slice(), &mut problems);
        for problem in &problems {
            assert!(!problem.what.is_empty() && !problem.mend.is_empty());
        }
    }
}

//! What `limits.store` and `[limits.redis]` mean.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use rustls::RootCertStore;

use super::secret::SecretSource;

/// Where attempts are counted.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this process.
    Memory,
    /// In one store for all replicas.
    Shared(SharedStore),
}

/// `[limits.redis]`.
#[derive(Clone, Debug)]
pub struct SharedStore {
    /// How its servers are found.
    pub servers: Servers,
    /// Whether connections are TLS.
    pub tls: bool,
    /// Its database by number; clusters have only 0.
    pub database: u32,
    /// Its user.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<SecretSource>,
    /// Whose certificates are trusted.
    pub roots: Arc<RootCertStore>,
    /// The file that they come from, where it isn't the system.
    pub ca_file: Option<PathBuf>,
    /// What its keys start with.
    pub prefix: Box<str>,
    /// The longest that a decision may take.
    pub timeout: Duration,
    /// What happens to requests while it is away.
    pub on_failure: OnStoreFailure,
}

/// How the servers of a shared store are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// These are some nodes of a cluster.
    Cluster(Vec<HostPort>),
    /// It is this one.
    One(HostPort),
    /// These know which server is the master called so.
    Sentinels {
        /// At least one.
        sentinels: Vec<HostPort>,
        /// The name.
        master: String,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What happens to requests that are limited while the shared store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// They go through.
    Allow,
    /// They are refused.
    Deny,
    /// Each replica counts for itself.
    Local,
}

//! What the configuration means. If a [`Settings`] exists, it is right: every address
//! parsed, every secret read, every cross-check done. Each part goes to the one who
//! needs it; nobody gets the whole.

use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri, uri::Authority};
use rustls::RootCertStore;

use super::{
    audit::Audit,
    caller::Caller,
    collector::Collector,
    log_filter::LogFilter,
    pattern::Pattern,
    proxies::TrustedProxies,
    secret::SecretSource,
    store::Store,
    tokens::{Kubernetes, UserToken},
};
use crate::{
    model::{Quota, Region, TenantId, UserId},
    route::Operation,
};

/// The whole configuration, as meant.
#[derive(Debug)]
pub struct Settings {
    /// Where callers reach us; at least one.
    pub listen: Vec<Listen>,
    /// The admin listener; `None` switches it off.
    pub admin: Option<Admin>,
    /// The vendor.
    pub frontegg: Frontegg,
    /// What is let through.
    pub routes: Routes,
    /// Which of the caller's headers go on.
    pub headers: Headers,
    /// On whose behalf.
    pub subject: Subject,
    /// Who may call; empty: anyone who reaches a loopback or unix listener.
    pub callers: Vec<Caller>,
    /// Where a caller is known by its service account.
    pub kubernetes: Option<Kubernetes>,
    /// How often.
    pub limits: Limits,
    /// The record of it all.
    pub audit: Audit,
    /// Logs, and where a collector is.
    pub telemetry: Telemetry,
    /// How to stop.
    pub shutdown: Shutdown,
}

/// One `[listen]` block.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Its addresses; at least one.
    pub addresses: Vec<Bind>,
    /// Served without and with this prefix; empty or `/…` without a slash at the end.
    pub base_path: String,
    /// Names accepted in `Host`: lower case, without port or a dot at the end, IPv6 in
    /// brackets. Empty: loopback addresses take loopback names, all others any.
    pub allowed_hosts: Vec<String>,
    /// Values accepted in `Origin`, lower case.
    pub allowed_origins: Vec<HeaderValue>,
    /// Whose word on the user's address is trusted.
    pub trusted_proxies: TrustedProxies,
    /// Each connection starts with a PROXY protocol header, from one of those.
    pub proxy_protocol: bool,
    /// Connections at once.
    pub max_connections: NonZeroUsize,
    /// Requests at once.
    pub max_in_flight: NonZeroUsize,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Fields of a request's head.
    pub max_headers: usize,
    /// From the first byte (or the connection) to the end of a request's head.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Permission bits of a unix socket.
    pub unix_mode: u32,
    /// The group that a unix socket belongs to; `None`: this process's own.
    pub unix_group: Option<u32>,
    /// TLS on the TCP addresses; `None`: plain HTTP.
    pub tls: Option<ListenTls>,
}

/// `[listen.tls]`.
#[derive(Clone, Debug)]
pub struct ListenTls {
    /// The chain, leaf first, PEM.
    pub certificate_file: PathBuf,
    /// Its key, PEM.
    pub private_key_file: PathBuf,
    /// Whose client certificates are trusted; `None`: none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address. `optional`: it is the default's `::1`, which not every machine has.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Go on without it where the address family is missing.
        optional: bool,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl Bind {
    /// Whether only this machine reaches it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Its address.
    pub address: SocketAddr,
    /// Opens the guarded endpoints to who isn't on loopback.
    pub key: Option<SecretSource>,
    /// Whether `POST /quitquitquit` works.
    pub quit: bool,
}

/// `[frontegg]`.
#[derive(Clone, Debug)]
pub struct Frontegg {
    /// Whose hosts, for the audit log.
    pub region: Region,
    /// Where identity calls go; always by https.
    pub identity: Authority,
    /// The whole URL of the environment authentication; always https.
    pub auth: Uri,
    /// The environment's client id.
    pub client_id: SecretSource,
    /// Its secret.
    pub api_key: SecretSource,
    /// Sent as `frontegg-environment-id`.
    pub environment_id: Option<HeaderValue>,
    /// Sent as `frontegg-application-id`.
    pub application_id: Option<HeaderValue>,
    /// Sent as `frontegg-vendor-host`.
    pub vendor_host: Option<HeaderValue>,
    /// Whose certificates are trusted.
    pub roots: Arc<RootCertStore>,
    /// Time to connect, name and TLS included.
    pub connect_timeout: Duration,
    /// Time for a whole exchange.
    pub request_timeout: Duration,
    /// Offer HTTP/2 to the vendor.
    pub http2: bool,
    /// How to get out.
    pub proxy: Egress,
    /// Makes the vendor trust the user's address; `None`: it isn't told.
    pub client_ip_secret: Option<SecretSource>,
}

/// The way to the vendor.
#[derive(Clone, PartialEq, Eq)]
pub enum Egress {
    /// None, whatever the environment says.
    Direct,
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// Through this proxy, always.
    Proxy(Uri),
}

// SECURITY: a proxy's URL may hold a password.
impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("Direct"),
            Self::Environment => f.write_str("Environment"),
            Self::Proxy(url) => write!(f, "Proxy({:?})", url.host()),
        }
    }
}

/// `[routes]`.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The operations that are let through, `deny` already taken off.
    pub allowed: Vec<Operation>,
    /// Further body fields that `recover` may carry.
    pub recover_extra_fields: Vec<String>,
}

/// `[headers]`.
#[derive(Clone, Debug)]
pub struct Headers {
    /// Go on beside the standing list.
    pub forward: Vec<HeaderName>,
    /// Cookies that go on.
    pub cookies: Vec<Pattern>,
}

/// `[subject]`.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Who says on whose behalf.
    pub from: SubjectFrom,
    /// Guard: another tenant is refused.
    pub tenant: Option<TenantId>,
}

/// Who says on whose behalf a request is.
#[derive(Clone, Debug)]
pub enum SubjectFrom {
    /// Always the same.
    Fixed {
        /// The tenant, which is also the guard.
        tenant: Option<TenantId>,
        /// The user.
        user: Option<UserId>,
    },
    /// The caller says so, and is trusted to.
    Headers {
        /// Names the tenant.
        tenant: HeaderName,
        /// Names the user.
        user: HeaderName,
    },
    /// The user's verified token says so, and nobody else can.
    UserToken(Box<UserToken>),
}

/// `[limits]`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Where attempts are counted.
    pub store: Store,
    /// Entries of the memory store.
    pub max_keys: NonZeroUsize,
    /// Keys the hashes under which emails are counted; `None`: made at start.
    pub key: Option<SecretSource>,
    /// Plus-tags are no part of an email's identity.
    pub fold_subaddress: bool,
    /// Recovery attempts by email.
    pub email: Policy,
    /// Recovery attempts by email and the user's address.
    pub email_client: Policy,
    /// Recovery attempts by the user's address.
    pub client: Policy,
    /// Guesses of a one-time code.
    pub code: Policy,
    /// Codes that are sent.
    pub send: Policy,
    /// The vendor's own limits on our address.
    pub upstream: Vec<(Operation, Policy)>,
    /// Operations that more than one caller may use, so that their `upstream` has to be shared.
    pub contested: Vec<Operation>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// All of them hold; empty: the policy is off.
    pub quotas: Vec<Quota>,
    /// What to do when one is used up.
    pub mode: Mode,
}

/// What a limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    Enforce,
    /// Count, log and audit what would be refused; refuse nothing.
    Observe,
}

/// `[telemetry]`.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which lines there are; `RUST_LOG` wins.
    pub log: LogFilter,
    /// Takes traces, and audit records beside the outputs of [`Audit`].
    pub collector: Option<Collector>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// `[shutdown]`.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// Serving goes on, not ready, for this long.
    pub delay: Duration,
    /// Then requests in flight have this long.
    pub timeout: Duration,
}

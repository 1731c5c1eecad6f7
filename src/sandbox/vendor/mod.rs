//! The server of the stand-in, and the handle on it.
//!
//! A request is read and written down (`exchange`), spoilt if a test asked for that
//! (`fault`), and handled (`dispatch`): `auth` and `session` are what lies around the MFA
//! API, `login`, `user` and `policy` its three parts, `factor` the steps that two of
//! them share. Handlers are plain functions over a world that is locked for the call.

mod answer;
mod auth;
mod call;
mod codes;
mod connection;
mod dispatch;
mod endpoint;
mod exchange;
mod factor;
mod fault;
mod journal;
mod limits;
mod login;
mod policy;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod tokens;
mod user;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};

use self::{
    codes::Codes, connection::Acceptors, fault::Faults, journal::Journal, limits::Limits,
    shared::Shared,
};
pub use self::{
    codes::{Channel, SentCode},
    endpoint::Endpoint,
    fault::{BadCertificate, Fault, GZIPPED, Misbehaviour, ODD_HEADERS},
    journal::Received,
};
use super::{
    certs::{Authority, CertificateError},
    clock::Clock,
    locked::Locked,
    tokens::Signer,
    world::{User, World, seed, totp},
};

/// What the environment authenticates with. Made up, so nothing hides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The environment's client ID.
    pub client_id: String,
    /// The environment's API key.
    pub secret: String,
}

/// How a stand-in is to be.
pub struct VendorOptions {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who signs its certificate; `None`: a new authority.
    pub authority: Option<Authority>,
    /// The credential that it takes.
    pub credentials: Credentials,
    /// The secret with which a gateway is believed the user's address.
    pub client_ip_secret: String,
    /// Whether it offers HTTP/2 by ALPN.
    pub http2: bool,
    /// Whether the vendor's own limits hold: ten a minute by address.
    pub rate_limits: bool,
    /// For how long the environment's tokens are good, in whole seconds.
    pub token_lifetime: Duration,
    /// Who is there.
    pub world: World,
}

impl Default for VendorOptions {
    /// Port of the system's choice on loopback, the seeded world, everything as with the vendor.
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            authority: None,
            credentials: Credentials {
                client_id: seed::CLIENT_ID.to_owned(),
                secret: seed::SECRET.to_owned(),
            },
            client_ip_secret: seed::CLIENT_IP_SECRET.to_owned(),
            http2: true,
            rate_limits: true,
            token_lifetime: Duration::from_secs(86_400),
            world: World::seeded(),
        }
    }
}

/// The stand-in could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("the sandbox's vendor can't listen on {address}")]
    Listen {
        /// The address that is taken, or not this machine's.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The TLS library refused what it was given.
    #[error("the sandbox's vendor can't do TLS")]
    Tls(#[source] Box<rustls::Error>),
}

impl From<rustls::Error> for StartError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(Box::new(error))
    }
}

/// A running stand-in. Ends when it is dropped.
pub struct Vendor {
    shared: Arc<Shared>,
    authority: Authority,
    task: JoinHandle<()>,
}

impl Vendor {
    /// Starts a stand-in on the caller's runtime.
    ///
    /// # Errors
    /// Where it can't listen or make certificates.
    pub async fn start(options: VendorOptions) -> Result<Self, StartError> {
        let address = options.address;
        let authority = match options.authority {
            Some(authority) => authority,
            None => Authority::new("mfa-gateway sandbox CA")?,
        };
        let acceptors = Acceptors::new(&authority, options.http2)?;
        let cannot_listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let shared = Arc::new(Shared {
            acceptors,
            address,
            client_ip_secret: options.client_ip_secret,
            clock: Clock::default(),
            codes: Codes::new(),
            credentials: Locked::new(options.credentials),
            faults: Faults::default(),
            journal: Journal::new(),
            limits: Limits::new(options.rate_limits),
            open: AtomicUsize::new(0),
            signer: Signer::new(),
            sweep: watch::Sender::new(()),
            token_lifetime: Locked::new(options.token_lifetime),
            tokens_issued: AtomicU64::new(0),
            world: Locked::new(options.world),
        });
        Ok(Self {
            task: tokio::spawn(connection::accept(listener, Arc::clone(&shared))),
            shared,
            authority,
        })
    }

    /// Stops, and breaks off what is under way.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // an aborted task ends with an error that says so
        (&mut self.task).await.unwrap_or_default();
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The same as an origin, `https://127.0.0.1:…`; also the issuer of users' tokens.
    #[must_use]
    pub fn origin(&self) -> String {
        self.shared.origin()
    }

    /// The URL of the token exchange.
    #[must_use]
    pub fn auth_url(&self) -> String {
        format!("{}/auth/vendor/", self.origin())
    }

    /// Who signed its certificate.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The credential that it takes now.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.shared
            .credentials
            .with(|credentials| credentials.clone())
    }

    /// Looks at the world or changes it.
    pub fn with_world<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        self.shared.world.with(act)
    }

    /// The user with this id, as they are now.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<User> {
        self.with_world(|world| world.user(id).cloned())
    }
}

/// Time, and what hangs on it.
impl Vendor {
    /// Its clock, in seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    /// Moves its clock ahead: tokens expire, limits end.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// The code that an authenticator app with this base32 secret shows now.
    #[must_use]
    pub fn totp(&self, secret: &str) -> Option<String> {
        totp::code(secret, self.now())
    }

    /// Switches the vendor's own limits on or off.
    pub fn limit(&self, on: bool) {
        self.shared.limits.switch(on);
    }
}

/// What came and what was sent.
impl Vendor {
    /// All requests so far, oldest first (the last 10,000).
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.journal.read()
    }

    /// How many requests there were for this.
    #[must_use]
    pub fn count(&self, endpoint: impl Into<Endpoint>) -> u64 {
        self.shared.journal.count(endpoint.into())
    }

    /// Forgets all requests and counts.
    pub fn forget(&self) {
        self.shared.journal.clear();
    }

    /// Waits until `condition` holds, which is asked again after each request
    /// and whenever a connection opens or closes.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool + Send) {
        let mut changed = self.shared.journal.watch();
        while !condition(self) {
            // never an error: the journal lives as long as `self`
            changed.changed().await.unwrap_or_default();
        }
    }

    /// The codes sent so far, oldest first (the last 1,000).
    #[must_use]
    pub fn codes(&self) -> Vec<SentCode> {
        self.shared.codes.read()
    }

    /// The last code sent to this number or address.
    #[must_use]
    pub fn last_code_to(&self, to: &str) -> Option<String> {
        self.shared.codes.last_to(to)
    }

    /// Every code that is sent from now on.
    #[must_use]
    pub fn subscribe_codes(&self) -> broadcast::Receiver<SentCode> {
        self.shared.codes.subscribe()
    }
}

/// Misbehaviour.
impl Vendor {
    /// Misbehaves from now on. Of several faults for one place the first happens until
    /// it is used up.
    pub fn misbehave(&self, misbehaviour: impl Into<Misbehaviour>) {
        self.shared.faults.add(misbehaviour.into());
    }

    /// Behaves from now on.
    pub fn behave(&self) {
        self.shared.faults.clear();
    }

    /// How many connections are open, TLS done.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Closes the connections on which no request is being answered, as a server does
    /// that has waited long enough.
    pub fn close_idle_connections(&self) {
        self.shared.sweep.send_replace(());
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

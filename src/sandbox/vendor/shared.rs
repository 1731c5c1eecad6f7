//! What all connections of one stand-in share.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, AtomicUsize},
    time::Duration,
};

use http::HeaderMap;
use tokio::sync::watch;

use super::{
    Credentials, codes::Codes, connection::Acceptors, fault::Faults, journal::Journal,
    limits::Limits,
};
use crate::sandbox::{
    clock::Clock,
    locked::Locked,
    tokens::{Signer, UserClaims},
    world::{User, World},
};

/// For how many seconds a user's token is good.
pub(super) const USER_TOKEN_LIFETIME: u64 = 86_400;

pub(super) struct Shared {
    pub(super) acceptors: Acceptors,
    pub(super) address: SocketAddr,
    pub(super) client_ip_secret: String,
    pub(super) clock: Clock,
    pub(super) codes: Codes,
    pub(super) credentials: Locked<Credentials>,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) limits: Limits,
    /// Connections that are open now.
    pub(super) open: AtomicUsize,
    pub(super) signer: Signer,
    /// Told each time that idle connections are to be closed.
    pub(super) sweep: watch::Sender<()>,
    pub(super) token_lifetime: Locked<Duration>,
    pub(super) tokens_issued: AtomicU64,
    pub(super) world: Locked<World>,
}

impl Shared {
    /// Where the stand-in is reached.
    pub(super) fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(super) fn client_id(&self) -> String {
        self.credentials
            .with(|credentials| credentials.client_id.clone())
    }

    /// What a token for this user says when they have logged in to this tenant.
    pub(super) fn claims(&self, user: &User, tenant: &str, session: &str) -> UserClaims {
        let now = self.clock.now();
        UserClaims {
            sub: user.id.clone(),
            tenant_id: tenant.to_owned(),
            tenant_ids: user.tenants.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            roles: Vec::new(),
            permissions: Vec::new(),
            sid: session.to_owned(),
            r#type: "userToken".to_owned(),
            aud: self.client_id(),
            iss: self.origin(),
            iat: now,
            exp: now.saturating_add(USER_TOKEN_LIFETIME),
            nbf: None,
            acr: None,
            amr: None,
            auth_time: None,
        }
    }

    /// The user's address: as told, if the teller shows the shared secret and names
    /// the environment (its token was checked before), else the peer's.
    pub(super) fn client_address(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let believed = text("x-frontegg-headers-verifier") == Some(&self.client_ip_secret)
            && text("frontegg-vendor-id") == Some(&self.client_id());
        text("x-frontegg-forwarded-for")
            .filter(|_| believed)
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| peer.ip())
    }
}

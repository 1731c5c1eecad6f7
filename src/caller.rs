//! Who calls: the app or service in front of us, not the user.
//!
//! A caller is known by a bearer secret or its Kubernetes service account's token in
//! `x-mfa-gateway-key` (never in `Authorization`, which is the user's), or by what its connection
//! proved: a name in its client certificate, or its user on a unix socket. Where these name
//! different callers the request is refused, never picked from, and a secret or token that is
//! shown must be right whatever else is. Tokens are verified elsewhere.
//!
//! Secrets are kept and compared as SHA-256 digests, in constant time and each with all, so that
//! neither content nor position shows in the time that it takes. What identifies a caller never
//! goes on to the vendor: the header is on no list of those that leave.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{self, KnownBy},
    jwt::{JwtError, ServiceAccountToken},
    model::{CallerName, Proof, Repeated, ServiceAccount, TenantId, single},
    route::Operation,
};

/// The header that carries a caller's secret.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("x-mfa-gateway-key");

/// The configured callers.
#[derive(Debug)]
pub struct Callers(Vec<Known>);

#[derive(Debug)]
struct Known {
    mark: Mark,
    identity: Arc<Identity>,
}

/// What a caller is known by.
#[derive(Debug)]
enum Mark {
    CertificateDns(String),
    ServiceAccount(ServiceAccount),
    SpiffeId(String),
    Tokens(Vec<digest::Digest>),
    Uid(u32),
}

#[derive(Debug)]
struct Identity {
    name: CallerName,
    operations: Vec<Operation>,
    tenants: Option<Vec<TenantId>>,
}

/// A known caller, or anyone where none is configured and the listener is local.
#[derive(Clone, Debug)]
pub struct Caller(Option<Arc<Identity>>);

/// Why a request's caller is not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// The connection and the request name different callers.
    #[error("token, certificate and uid name different callers")]
    Ambiguous,
    /// Known, but not for this operation.
    #[error("caller {} may not do this operation", .0.as_str())]
    NotAllowed(CallerName),
    /// A service account's token that isn't believed.
    #[error("the service account's token is not believed: {0}")]
    Token(#[from] JwtError),
    /// Nothing that names a caller, or a secret that is nobody's.
    #[error("neither token nor certificate nor uid is a configured caller's")]
    Unknown,
}

impl CallerError {
    /// The caller's name, where it is known.
    #[must_use]
    pub const fn name(&self) -> Option<&CallerName> {
        match self {
            Self::NotAllowed(name) => Some(name),
            Self::Ambiguous | Self::Token(_) | Self::Unknown => None,
        }
    }
}

/// The ways in which callers show who they are, as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    certificate: bool,
    key: bool,
    uid: bool,
}

impl Ways {
    fn of(callers: &[Known]) -> Self {
        let mut ways = Self::default();
        for known in callers {
            match known.mark {
                Mark::CertificateDns(_) | Mark::SpiffeId(_) => ways.certificate = true,
                Mark::ServiceAccount(_) | Mark::Tokens(_) => ways.key = true,
                Mark::Uid(_) => ways.uid = true,
            }
        }
        ways
    }

    /// The challenges of a `401` (RFC 9110, section 11.6.1).
    ///
    /// No registered scheme is one of these ways. `Bearer` would send the caller's secret into
    /// `Authorization`, which is the user's; so the names are our own, and no client takes them
    /// for something that it knows.
    #[must_use]
    pub fn challenge(self) -> String {
        let schemes = [
            (self.key, "ApiKey header=\"x-mfa-gateway-key\""),
            (self.certificate, "ClientCertificate"),
            (self.uid, "UnixPeer"),
        ];
        let configured = schemes.iter().filter(|(is_configured, _)| *is_configured);
        let schemes: Vec<_> = configured.map(|(_, scheme)| *scheme).collect();
        schemes.join(", ")
    }
}

impl Callers {
    /// Reads the callers' secrets.
    ///
    /// # Errors
    /// Where a secret's file can't be read.
    pub fn new(configured: &[config::Caller]) -> io::Result<Self> {
        let known = configured.iter().map(|caller| {
            Ok(Known {
                mark: Mark::new(&caller.known_by)?,
                identity: Arc::new(Identity {
                    name: caller.name.clone(),
                    operations: caller.operations.clone(),
                    tenants: caller.tenants.clone(),
                }),
            })
        });
        known.collect::<io::Result<_>>().map(Self)
    }

    /// How they show who they are.
    #[must_use]
    pub fn ways(&self) -> Ways {
        Ways::of(&self.0)
    }

    /// What a request shows that only the cluster can tell: to be verified before
    /// [`Self::identify`]. `None` where it shows something else, or nothing.
    #[must_use]
    pub fn unverified<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let is_account = |known: &Known| matches!(known.mark, Mark::ServiceAccount(_));
        if !self.0.iter().any(is_account) {
            return None;
        }
        let text = shown(headers).ok()??.to_str().ok()?;
        let has_the_form = text.bytes().filter(|byte| *byte == b'.').count() == 2;
        let shown = Shown::Secret(hash(text.as_bytes()));
        let nothing = Proof::default();
        let is_secret = |known: &Known| known.mark.is_shown(&nothing, Some(&shown));
        (has_the_form && !self.0.iter().any(is_secret)).then_some(text)
    }

    /// Identifies the caller of a request for `operation`, over a connection that proved `proof`.
    /// A service account's token, if it shows one, was verified.
    ///
    /// # Errors
    /// [`CallerError::Unknown`] and [`CallerError::Ambiguous`] first, then
    /// [`CallerError::NotAllowed`].
    pub fn identify(
        &self,
        proof: &Proof,
        headers: &HeaderMap,
        token: Option<&ServiceAccountToken>,
        operation: Operation,
    ) -> Result<Caller, CallerError> {
        if self.0.is_empty() {
            return Ok(Caller(None));
        }
        let shown = match (token, shown(headers)?) {
            (Some(token), Some(_)) => Some(Shown::Account(token.account())),
            (None, Some(secret)) => Some(Shown::Secret(hash(secret.as_bytes()))),
            (_, None) => None,
        };
        let mut shown_is_known = shown.is_none();
        let mut found: Option<&Arc<Identity>> = None;
        let mut several = false;
        for known in &self.0 {
            // SECURITY: no early end, or the time would tell how far the search came.
            if known.mark.is_shown(proof, shown.as_ref()) {
                shown_is_known |= matches!(known.mark, Mark::ServiceAccount(_) | Mark::Tokens(_));
                several |= found.replace(&known.identity).is_some();
            }
        }
        let identity = found
            .filter(|_found| shown_is_known)
            .ok_or(CallerError::Unknown)?;
        if several {
            return Err(CallerError::Ambiguous);
        }
        if !identity.operations.contains(&operation) {
            return Err(CallerError::NotAllowed(identity.name.clone()));
        }
        Ok(Caller(Some(Arc::clone(identity))))
    }
}

impl Mark {
    fn new(known_by: &KnownBy) -> io::Result<Self> {
        Ok(match known_by {
            KnownBy::CertificateDns(name) => Self::CertificateDns(name.clone()),
            KnownBy::ServiceAccount(account) => Self::ServiceAccount(account.clone()),
            KnownBy::SpiffeId(id) => Self::SpiffeId(id.clone()),
            KnownBy::Token(source) => {
                let secrets = source.read_two()?;
                let digest = |secret: &SecretString| hash(secret.expose_secret().as_bytes());
                Self::Tokens(secrets.iter().map(digest).collect())
            }
            KnownBy::Uid(uid) => Self::Uid(*uid),
        })
    }

    fn is_shown(&self, proof: &Proof, shown: Option<&Shown<'_>>) -> bool {
        let certificate = proof.certificate.as_ref();
        match self {
            Self::CertificateDns(name) => {
                certificate.is_some_and(|names| names.dns.iter().any(|dns| **dns == **name))
            }
            Self::ServiceAccount(account) => {
                matches!(shown, Some(Shown::Account(shown)) if *shown == account)
            }
            Self::SpiffeId(id) => {
                certificate.is_some_and(|names| names.spiffe_id.as_deref() == Some(id))
            }
            Self::Tokens(digests) => match shown {
                Some(Shown::Secret(shown)) => digests.iter().fold(false, |found, digest| {
                    found | verify_slices_are_equal(digest.as_ref(), shown.as_ref()).is_ok()
                }),
                Some(Shown::Account(_)) | None => false,
            },
            Self::Uid(uid) => proof.uid == Some(*uid),
        }
    }
}

fn hash(secret: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, secret)
}

/// What a request shows in its header.
enum Shown<'a> {
    /// A token of this service account, verified.
    Account(&'a ServiceAccount),
    /// A secret, as its digest.
    Secret(digest::Digest),
}

/// The one secret or token that a request shows, if it shows any.
fn shown(headers: &HeaderMap) -> Result<Option<&HeaderValue>, CallerError> {
    single(headers, &KEY_HEADER).map_err(|Repeated| CallerError::Unknown)
}

impl Caller {
    /// Its name; `None` where callers aren't told apart.
    #[must_use]
    pub fn name(&self) -> Option<&CallerName> {
        self.0.as_ref().map(|identity| &identity.name)
    }

    /// The tenants that it is bound to; `None`: to none.
    #[must_use]
    pub fn tenants(&self) -> Option<&[TenantId]> {
        self.0.as_ref()?.tenants.as_deref()
    }
}

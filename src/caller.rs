//! Who calls: the app or service in front of us, not the user.
//!
//! A caller is known by a bearer secret in `x-mfa-gateway-key`, or by what its connection proved:
//! a name in its client certificate, or its user on a unix socket. Where these name different
//! callers the request is refused, never picked from, and a secret that is shown must be right
//! whatever else is.
//!
//! Secrets are kept and compared as SHA-256 digests, in constant time and each with all, so that
//! neither content nor position shows in the time that it takes. What identifies a caller never
//! goes on to the vendor: the header is on no list of those that leave.

use std::{io, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{self, KnownBy},
    model::{CallerName, Proof, TenantId},
    route::Operation,
};

/// The header that carries a caller's secret.
pub const KEY_HEADER: &str = "x-mfa-gateway-key";

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
            Self::Ambiguous | Self::Unknown => None,
        }
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

    /// Identifies the caller of a request for `operation`, over a connection that proved `proof`.
    ///
    /// # Errors
    /// [`CallerError::Unknown`] and [`CallerError::Ambiguous`] first, then
    /// [`CallerError::NotAllowed`].
    pub fn identify(
        &self,
        proof: &Proof,
        headers: &HeaderMap,
        operation: Operation,
    ) -> Result<Caller, CallerError> {
        if self.0.is_empty() {
            return Ok(Caller(None));
        }
        let shown = shown_token(headers)?;
        let mut token_is_known = shown.is_none();
        let mut found: Option<&Arc<Identity>> = None;
        let mut several = false;
        for known in &self.0 {
            // SECURITY: no early end, or the time would tell how far the search came.
            if known.mark.is_shown(proof, shown.as_ref()) {
                token_is_known |= matches!(known.mark, Mark::Tokens(_));
                several |= found.replace(&known.identity).is_some();
            }
        }
        let identity = found
            .filter(|_found| token_is_known)
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
            KnownBy::SpiffeId(id) => Self::SpiffeId(id.clone()),
            KnownBy::Token(source) => {
                let secrets = source.read_two()?;
                let digest = |secret: &SecretString| hash(secret.expose_secret().as_bytes());
                Self::Tokens(secrets.iter().map(digest).collect())
            }
            KnownBy::Uid(uid) => Self::Uid(*uid),
        })
    }

    fn is_shown(&self, proof: &Proof, token: Option<&digest::Digest>) -> bool {
        let certificate = proof.certificate.as_ref();
        match self {
            Self::CertificateDns(name) => {
                certificate.is_some_and(|names| names.dns.iter().any(|dns| **dns == **name))
            }
            Self::SpiffeId(id) => {
                certificate.is_some_and(|names| names.spiffe_id.as_deref() == Some(id))
            }
            Self::Tokens(digests) => token.is_some_and(|shown| {
                digests.iter().fold(false, |found, digest| {
                    found | verify_slices_are_equal(digest.as_ref(), shown.as_ref()).is_ok()
                })
            }),
            Self::Uid(uid) => proof.uid == Some(*uid),
        }
    }
}

fn hash(secret: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, secret)
}

/// The digest of the secret that a request shows, if it shows one.
fn shown_token(headers: &HeaderMap) -> Result<Option<digest::Digest>, CallerError> {
    let mut keys = headers.get_all(KEY_HEADER).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => Ok(Some(hash(only.as_bytes()))),
        (Some(_), Some(_)) => Err(CallerError::Unknown),
    }
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{config::SecretSource, model::CertificateNames};

    const SPIFFE: &str = "spiffe://example.org/login";

    fn callers() -> Callers {
        let caller = |name: &str, known_by, operations: &[Operation]| config::Caller {
            name: CallerName::new(name),
            known_by,
            operations: operations.to_vec(),
            tenants: None,
        };
        let token = |text: &str| KnownBy::Token(SecretSource::Inline(SecretString::from(text)));
        Callers::new(&[
            caller("desk", token("desk-token"), &[Operation::Recover]),
            caller("console", token("old-token\nnew-token"), Operation::ALL),
            caller(
                "login",
                KnownBy::SpiffeId(SPIFFE.to_owned()),
                Operation::ALL,
            ),
            caller(
                "shop",
                KnownBy::CertificateDns("shop.internal".to_owned()),
                Operation::ALL,
            ),
            caller("pod", KnownBy::Uid(1000), Operation::ALL),
        ])
        .unwrap()
    }

    fn certificate(spiffe_id: Option<&str>, dns: &[&str]) -> Proof {
        Proof {
            certificate: Some(CertificateNames {
                spiffe_id: spiffe_id.map(Into::into),
                dns: dns.iter().map(|&name| name.into()).collect(),
            }),
            uid: None,
        }
    }

    fn uid(uid: u32) -> Proof {
        Proof {
            certificate: None,
            uid: Some(uid),
        }
    }

    fn identify(
        proof: &Proof,
        keys: &[&'static str],
        operation: Operation,
    ) -> Result<Option<String>, CallerError> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(KEY_HEADER, HeaderValue::from_static(key));
        }
        callers()
            .identify(proof, &headers, operation)
            .map(|caller| caller.name().map(|name| name.as_str().to_owned()))
    }

    fn recover(proof: &Proof, keys: &[&'static str]) -> Result<Option<String>, CallerError> {
        identify(proof, keys, Operation::Recover)
    }

    fn is(name: &str) -> Result<Option<String>, CallerError> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn a_caller_is_known_by_its_token_alone() {
        let nothing = Proof::default();
        assert_eq!(recover(&nothing, &["desk-token"]), is("desk"));
        for current in ["old-token", "new-token"] {
            assert_eq!(recover(&nothing, &[current]), is("console"));
        }
        for keys in [
            &[][..],
            &[""],
            &["desk-toke"],
            &["desk-token "],
            &["desk-token", "desk-token"],
            &["desk-token,old-token"],
        ] {
            assert_eq!(
                recover(&nothing, keys),
                Err(CallerError::Unknown),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn a_caller_is_known_by_its_certificate_whole_and_exact() {
        assert_eq!(recover(&certificate(Some(SPIFFE), &[]), &[]), is("login"));
        let dns = certificate(None, &["other.internal", "shop.internal"]);
        assert_eq!(recover(&dns, &[]), is("shop"));
        for proof in [
            certificate(None, &[]),
            certificate(Some("spiffe://example.org/login/x"), &[]),
            certificate(Some("spiffe://example.org/Login"), &[]),
            certificate(None, &["*.internal", "a.shop.internal", SPIFFE]),
        ] {
            assert_eq!(recover(&proof, &[]), Err(CallerError::Unknown), "{proof:?}");
        }
    }

    #[test]
    fn a_caller_is_known_by_its_user() {
        assert_eq!(recover(&uid(1000), &[]), is("pod"));
        assert_eq!(recover(&uid(0), &[]), Err(CallerError::Unknown));
    }

    #[test]
    fn between_two_callers_none_is_picked() {
        let both = certificate(Some(SPIFFE), &["shop.internal"]);
        for (proof, keys) in [
            (both, &[][..]),
            (certificate(Some(SPIFFE), &[]), &["desk-token"]),
            (uid(1000), &["desk-token"]),
        ] {
            assert_eq!(
                recover(&proof, keys),
                Err(CallerError::Ambiguous),
                "{proof:?}"
            );
        }
    }

    #[test]
    fn a_secret_that_is_shown_must_be_right_and_a_certificate_may_be_nobodys() {
        let login = certificate(Some(SPIFFE), &[]);
        assert_eq!(recover(&login, &["wrong"]), Err(CallerError::Unknown));
        let strange = certificate(None, &["mesh.internal"]);
        assert_eq!(recover(&strange, &["desk-token"]), is("desk"));
        assert_eq!(recover(&uid(4711), &["desk-token"]), is("desk"));
    }

    #[test]
    fn a_known_caller_does_only_its_operations() {
        let refused = identify(&Proof::default(), &["desk-token"], Operation::UserDisable);
        assert_eq!(
            refused,
            Err(CallerError::NotAllowed(CallerName::new("desk")))
        );
    }

    #[test]
    fn where_none_is_configured_anyone_calls() {
        let callers = Callers::new(&[]).unwrap();
        let caller = callers.identify(&Proof::default(), &HeaderMap::new(), Operation::Recover);
        assert_eq!(caller.unwrap().name(), None);
    }
}

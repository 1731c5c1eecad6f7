//! Who calls: the app or service in front of us, not the user.
//!
//! A caller shows a bearer secret in `x-mfa-gateway-key`. Secrets are kept and compared as
//! SHA-256 digests, in constant time and each with all, so that neither content nor position
//! shows in the time that it takes. What identifies a caller never goes on to the vendor:
//! the header is on no list of those that leave.

use std::{io, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use http::HeaderMap;
use secrecy::ExposeSecret;

use crate::{
    config,
    model::{CallerName, TenantId},
    route::Operation,
};

/// The header that carries a caller's secret.
pub const KEY_HEADER: &str = "x-mfa-gateway-key";

/// The configured callers.
#[derive(Debug)]
pub struct Callers(Vec<Known>);

#[derive(Debug)]
struct Known {
    digest: digest::Digest,
    identity: Arc<Identity>,
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
    /// Known, but not for this operation.
    #[error("caller {} may not do this operation", .0.as_str())]
    NotAllowed(CallerName),
    /// No secret, more than one, or one of nobody's.
    #[error("header x-mfa-gateway-key has no configured caller's token")]
    Unknown,
}

impl CallerError {
    /// The caller's name, where it is known.
    #[must_use]
    pub const fn name(&self) -> Option<&CallerName> {
        match self {
            Self::NotAllowed(name) => Some(name),
            Self::Unknown => None,
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
                digest: digest::digest(
                    &digest::SHA256,
                    caller.token.read()?.expose_secret().as_bytes(),
                ),
                identity: Arc::new(Identity {
                    name: caller.name.clone(),
                    operations: caller.operations.clone(),
                    tenants: caller.tenants.clone(),
                }),
            })
        });
        known.collect::<io::Result<_>>().map(Self)
    }

    /// Identifies the caller of a request for `operation`.
    ///
    /// # Errors
    /// [`CallerError::Unknown`] first, then [`CallerError::NotAllowed`].
    pub fn identify(
        &self,
        headers: &HeaderMap,
        operation: Operation,
    ) -> Result<Caller, CallerError> {
        if self.0.is_empty() {
            return Ok(Caller(None));
        }
        let mut keys = headers.get_all(KEY_HEADER).iter();
        let (Some(only), None) = (keys.next(), keys.next()) else {
            return Err(CallerError::Unknown);
        };
        let shown = digest::digest(&digest::SHA256, only.as_bytes());
        let mut found = None;
        for known in &self.0 {
            // SECURITY: no early end, or the time would tell how far the search came.
            if verify_slices_are_equal(known.digest.as_ref(), shown.as_ref()).is_ok() {
                found = Some(&known.identity);
            }
        }
        let identity = found.ok_or(CallerError::Unknown)?;
        if !identity.operations.contains(&operation) {
            return Err(CallerError::NotAllowed(identity.name.clone()));
        }
        Ok(Caller(Some(Arc::clone(identity))))
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
    use secrecy::SecretString;

    use super::*;
    use crate::config::SecretSource;

    fn callers() -> Callers {
        let caller = |name: &str, token: &str, operations: &[Operation]| config::Caller {
            name: CallerName::new(name),
            token: SecretSource::Inline(SecretString::from(token)),
            operations: operations.to_vec(),
            tenants: None,
        };
        Callers::new(&[
            caller("desk", "desk-token", &[Operation::Recover]),
            caller("console", "console-token", Operation::ALL),
        ])
        .unwrap()
    }

    fn identify(
        callers: &Callers,
        keys: &[&'static str],
        operation: Operation,
    ) -> Result<Option<String>, CallerError> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(KEY_HEADER, HeaderValue::from_static(key));
        }
        callers
            .identify(&headers, operation)
            .map(|caller| caller.name().map(|name| name.as_str().to_owned()))
    }

    #[test]
    fn a_caller_is_known_by_its_token_alone() {
        let callers = callers();
        assert_eq!(
            identify(&callers, &["desk-token"], Operation::Recover),
            Ok(Some("desk".to_owned()))
        );
        assert_eq!(
            identify(&callers, &["console-token"], Operation::UserDisable),
            Ok(Some("console".to_owned()))
        );
        for keys in [
            &[][..],
            &[""],
            &["desk-toke"],
            &["desk-token "],
            &["desk-token", "desk-token"],
            &["desk-token,console-token"],
        ] {
            assert_eq!(
                identify(&callers, keys, Operation::Recover),
                Err(CallerError::Unknown),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn a_known_caller_does_only_its_operations() {
        let refused = identify(&callers(), &["desk-token"], Operation::UserDisable);
        assert_eq!(
            refused,
            Err(CallerError::NotAllowed(CallerName::new("desk")))
        );
    }

    #[test]
    fn where_none_is_configured_anyone_calls() {
        let callers = Callers::new(&[]).unwrap();
        assert_eq!(
            identify(&callers, &["whatever"], Operation::Recover),
            Ok(None)
        );
    }
}

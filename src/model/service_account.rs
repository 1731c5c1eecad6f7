//! A Kubernetes service account's name.

use std::{fmt, sync::Arc};

/// `namespace/name`. Cloning it is a reference count.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceAccount(Arc<str>);

/// The text names no service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a service account")]
pub struct ServiceAccountError;

impl ServiceAccount {
    /// Reads `namespace/name`.
    ///
    /// # Errors
    /// [`ServiceAccountError`] unless both are what Kubernetes calls DNS names (RFC 1123): the
    /// namespace one label, the name one or more.
    pub fn parse(text: &str) -> Result<Self, ServiceAccountError> {
        let (namespace, name) = text.split_once('/').ok_or(ServiceAccountError)?;
        Self::new(namespace, name)
    }

    /// Reads a token's subject, `system:serviceaccount:namespace:name`.
    ///
    /// # Errors
    /// [`ServiceAccountError`] where it is another's.
    pub fn from_subject(text: &str) -> Result<Self, ServiceAccountError> {
        let rest = text.strip_prefix("system:serviceaccount:");
        let (namespace, name) = rest
            .and_then(|rest| rest.split_once(':'))
            .ok_or(ServiceAccountError)?;
        Self::new(namespace, name)
    }

    /// Puts the two together.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn new(namespace: &str, name: &str) -> Result<Self, ServiceAccountError> {
        let good = is_label(namespace) && name.len() <= 253 && name.split('.').all(is_label);
        good.then(|| Self(Arc::from(format!("{namespace}/{name}"))))
            .ok_or(ServiceAccountError)
    }

    /// As `namespace/name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let name = ServiceAccount::parse("shop/login-app.v2").unwrap();
        assert_eq!(name.as_str(), "shop/login-app.v2");
        let subject = "system:serviceaccount:shop:login-app.v2";
        assert_eq!(ServiceAccount::from_subject(subject), Ok(name));
        for bad in [
            "", "shop", "shop/", "/a", "a/b/c", "A/b", "a.b/c", "a/b..c", "a/-b", "a/b:c",
        ] {
            assert!(ServiceAccount::parse(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "system:serviceaccount:shop",
            "system:serviceaccount:shop:a:b",
            "system:node:shop:a",
            "shop:a",
            "system:serviceaccount::a",
        ] {
            assert!(ServiceAccount::from_subject(bad).is_err(), "{bad:?}");
        }
    }
}

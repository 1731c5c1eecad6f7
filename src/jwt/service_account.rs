//! A Kubernetes service account's projected token: which workload calls.

use super::{
    Authentic, Expected, JwtError, Token,
    claims::{Claims, is_over},
};
use crate::model::ServiceAccount;

/// A service account's token that was good when it was read.
///
/// Invariant: the cluster signed it, for us, for a workload of this service account.
#[derive(Clone, Debug)]
pub struct ServiceAccountToken {
    account: ServiceAccount,
    expiry: u64,
}

impl Token for ServiceAccountToken {
    /// Subject and the claim `kubernetes.io` must both name the account. Tokens from Secrets, which
    /// have no audience and never end, are refused.
    fn read(token: &Authentic, expected: &Expected<'_>) -> Result<Self, JwtError> {
        const CLAIM: &str = "kubernetes.io";
        let claims = Claims::read(token, expected)?;
        let account = ServiceAccount::from_subject(claims.text("sub")?)
            .map_err(|_another| JwtError::NotServiceAccount)?;
        let (Some(namespace), Some(name)) = (
            claims.inner(CLAIM, "/namespace"),
            claims.inner(CLAIM, "/serviceaccount/name"),
        ) else {
            return Err(JwtError::Claim(CLAIM));
        };
        if ServiceAccount::new(namespace, name).as_ref() != Ok(&account) {
            return Err(JwtError::Claim(CLAIM));
        }
        Ok(Self {
            account,
            expiry: claims.expiry()?,
        })
    }

    fn is_current(&self, now: u64) -> bool {
        !is_over(self.expiry, now)
    }
}

impl ServiceAccountToken {
    /// Whose it is.
    #[must_use]
    pub const fn account(&self) -> &ServiceAccount {
        &self.account
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{Compact, KeySet, testing::Issuer},
        *,
    };
    use crate::model::Signature;

    const NOW: u64 = 1_800_000_000;

    fn read(subject: &str, claim: &Value) -> Result<String, JwtError> {
        let issuer = Issuer::p256("k");
        let token = issuer.sign(&json!({
            "iss": "i", "aud": ["a"], "exp": NOW + 600, "sub": subject, "kubernetes.io": claim,
        }));
        let keys = KeySet::parse(issuer.jwks().as_bytes()).unwrap();
        let token = Compact::parse(&token, &Signature::ALL).unwrap();
        let expected = Expected {
            issuer: "i",
            audience: "a",
            now: NOW,
        };
        let token = ServiceAccountToken::read(&keys.verify(&token).unwrap(), &expected)?;
        assert!(token.is_current(NOW) && !token.is_current(NOW + 630));
        Ok(token.account().as_str().to_owned())
    }

    #[test]
    fn subject_and_claim_name_the_same_account() {
        let claim = |namespace: &str, name: &str| json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": "1"}, "pod": {}});
        let subject = "system:serviceaccount:shop:login";
        assert_eq!(
            read(subject, &claim("shop", "login")),
            Ok("shop/login".to_owned())
        );
        let wrong = Err(JwtError::Claim("kubernetes.io"));
        for claim in [
            claim("shop", "other"),
            claim("other", "login"),
            json!({}),
            Value::Null,
        ] {
            assert_eq!(read(subject, &claim), wrong, "{claim}");
        }
        for subject in [
            "system:node:shop",
            "shop/login",
            "system:serviceaccount:shop",
        ] {
            let read = read(subject, &claim("shop", "login"));
            assert_eq!(read, Err(JwtError::NotServiceAccount), "{subject}");
        }
    }
}

//! A user's token: who is present, in which tenant, and how surely.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Authentic, Expected, JwtError, Token,
    claims::{Claims, is_ahead, is_over},
};
use crate::model::{TenantId, UserId};

/// A user's token that was good when it was read. Cloning it is a reference count.
///
/// Invariant: its issuer signed it, for us, for a user who is present.
#[derive(Clone)]
pub struct UserToken(Arc<Facts>);

struct Facts {
    user: UserId,
    tenant: TenantId,
    expiry: u64,
    /// `acr` and `amr` say that more than one factor was shown.
    multi_factor: bool,
    authenticated: Option<u64>,
}

/// How surely a user must be present: with a second factor, shown within this time if one is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// Since `auth_time`.
    pub within: Option<Duration>,
}

/// The user is not present as surely as is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepUpError {
    /// No second factor was shown.
    #[error("the token shows no second factor (acr, amr)")]
    NoSecondFactor,
    /// It was, but too long ago, or nobody knows when.
    #[error("the token's second factor is older than is asked, or without auth_time")]
    TooLongAgo,
}

/// The `acr` of a step-up (OpenID PAPE 1.0).
pub const MULTI_FACTOR: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";

impl Token for UserToken {
    /// Only the vendor's `userToken` speaks for a user who is present; `userApiToken` and
    /// `tenantApiToken` are machines'.
    fn read(token: &Authentic, expected: &Expected<'_>) -> Result<Self, JwtError> {
        let claims = Claims::read(token, expected)?;
        if claims.optional_text("type")? != Some("userToken") {
            return Err(JwtError::NotUser);
        }
        let user = UserId::parse(claims.text("sub")?);
        let tenant = TenantId::parse(claims.text("tenantId")?);
        Ok(Self(Arc::new(Facts {
            user: user.map_err(|_no_id| JwtError::Claim("sub"))?,
            tenant: tenant.map_err(|_no_id| JwtError::Claim("tenantId"))?,
            expiry: claims.expiry()?,
            multi_factor: claims.optional_text("acr")? == Some(MULTI_FACTOR)
                && claims.has("amr", "mfa")?,
            authenticated: claims.time("auth_time")?,
        })))
    }

    fn is_current(&self, now: u64) -> bool {
        !is_over(self.0.expiry, now)
    }
}

impl UserToken {
    /// The user, `sub`.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// The tenant that the user is in now, `tenantId`.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }

    /// Checks that the user is present as surely as is asked, at `now`.
    ///
    /// # Errors
    /// [`StepUpError`].
    pub fn shows(&self, step_up: StepUp, now: u64) -> Result<(), StepUpError> {
        if !self.0.multi_factor {
            return Err(StepUpError::NoSecondFactor);
        }
        let Some(within) = step_up.within else {
            return Ok(());
        };
        let since = self.0.authenticated.ok_or(StepUpError::TooLongAgo)?;
        if is_ahead(since, now) || is_over(since.saturating_add(within.as_secs()), now) {
            return Err(StepUpError::TooLongAgo);
        }
        Ok(())
    }
}

impl fmt::Debug for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserToken({:?} of {:?})", self.0.user, self.0.tenant)
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

    fn read(changes: &Value) -> Result<UserToken, JwtError> {
        thread_local! {
            static ISSUER: Issuer = Issuer::p256("k");
        }
        let mut claims = json!({
            "iss": "i", "aud": "a", "exp": NOW + 60,
            "type": "userToken", "sub": "ann", "tenantId": "acme",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let (keys, token) = ISSUER.with(|issuer| (issuer.jwks(), issuer.sign(&claims)));
        let keys = KeySet::parse(keys.as_bytes()).unwrap();
        let token = Compact::parse(&token, &Signature::ALL).unwrap();
        let expected = Expected {
            issuer: "i",
            audience: "a",
            now: NOW,
        };
        UserToken::read(&keys.verify(&token).unwrap(), &expected)
    }

    #[test]
    fn only_a_present_users_token_speaks_for_a_user() {
        let token = read(&json!({})).unwrap();
        assert_eq!(
            (token.user().as_str(), token.tenant().as_str()),
            ("ann", "acme")
        );
        assert!(token.is_current(NOW + 89) && !token.is_current(NOW + 90));
        for (changes, error) in [
            (json!({"type": "userApiToken"}), JwtError::NotUser),
            (json!({"type": "tenantApiToken"}), JwtError::NotUser),
            (json!({"type": "vendor"}), JwtError::NotUser),
            (json!({"type": "usertoken"}), JwtError::NotUser),
            (json!({"type": ["userToken"]}), JwtError::Claim("type")),
            (json!({"sub": ""}), JwtError::Claim("sub")),
            (json!({"sub": "a\r\nb"}), JwtError::Claim("sub")),
            (json!({"sub": 7}), JwtError::Claim("sub")),
            (json!({"tenantId": null}), JwtError::Claim("tenantId")),
            (json!({"tenantId": "a b"}), JwtError::Claim("tenantId")),
            (json!({"amr": "mfa", "acr": 1}), JwtError::Claim("acr")),
            (json!({"auth_time": "now"}), JwtError::Claim("auth_time")),
        ] {
            assert_eq!(read(&changes).map(|_token| ()), Err(error), "{changes}");
        }
    }

    #[test]
    fn a_step_up_is_acr_and_amr_and_recent() {
        const TEN_MINUTES: StepUp = StepUp {
            within: Some(Duration::from_secs(600)),
        };
        const EVER: StepUp = StepUp { within: None };
        let (no, late) = (StepUpError::NoSecondFactor, StepUpError::TooLongAgo);
        let both = |auth_time: Value| json!({"acr": MULTI_FACTOR, "amr": ["pwd", "mfa"], "auth_time": auth_time});
        let bare = json!({"acr": MULTI_FACTOR, "amr": ["mfa"]});
        for (said, recent, ever) in [
            (json!({}), Err(no), Err(no)),
            (
                json!({"acr": MULTI_FACTOR, "auth_time": NOW}),
                Err(no),
                Err(no),
            ),
            (json!({"amr": ["mfa"], "auth_time": NOW}), Err(no), Err(no)),
            (
                json!({"acr": MULTI_FACTOR, "amr": ["otp"], "auth_time": NOW}),
                Err(no),
                Err(no),
            ),
            (
                json!({"acr": "mfa", "amr": ["mfa"], "auth_time": NOW}),
                Err(no),
                Err(no),
            ),
            (bare, Err(late), Ok(())),
            (both(json!(NOW - 629)), Ok(()), Ok(())),
            (both(json!(NOW - 630)), Err(late), Ok(())),
            (both(json!(NOW + 30)), Ok(()), Ok(())),
            (both(json!(NOW + 31)), Err(late), Ok(())),
        ] {
            let token = read(&said).unwrap();
            assert_eq!(token.shows(TEN_MINUTES, NOW), recent, "{said}");
            assert_eq!(token.shows(EVER, NOW), ever, "{said}");
        }
    }
}

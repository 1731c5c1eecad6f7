//! What a signed token says: the claims that every token has (RFC 7519, section 4.1).
//!
//! jsonwebtoken checks these too, but takes a list of issuers where the RFC has one, holds a token
//! good in the very second in which it ends, tells a missing claim and a malformed one apart only
//! by their text, and reads the clock itself, where a remembered token must be judged by the same
//! clock and rule as a new one.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Authentic, JwtError};

/// What a token must say to be meant for us, now.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its `iss`, byte for byte.
    pub issuer: &'a str,
    /// One of its `aud`.
    pub audience: &'a str,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Seconds by which the issuer's clock and ours may differ.
const LEEWAY: u64 = 30;

/// The claims of a token that is meant for us and good now.
#[derive(Debug)]
pub(super) struct Claims<'t>(&'t Map<String, Value>);

impl<'t> Claims<'t> {
    /// Checks issuer, audience and times.
    pub(super) fn read(token: &'t Authentic, expected: &Expected<'_>) -> Result<Self, JwtError> {
        let claims = Self(token.claims());
        if claims.text("iss")? != expected.issuer {
            return Err(JwtError::Issuer);
        }
        if !claims.has("aud", expected.audience)? {
            return Err(JwtError::Audience);
        }
        if is_over(claims.expiry()?, expected.now) {
            return Err(JwtError::Expired);
        }
        match claims.time("nbf")? {
            Some(from) if is_ahead(from, expected.now) => Err(JwtError::NotYet),
            Some(_) | None => Ok(claims),
        }
    }

    /// From when on it is void, in seconds since 1970, the leeway not counted.
    pub(super) fn expiry(&self) -> Result<u64, JwtError> {
        self.time("exp")?.ok_or(JwtError::Claim("exp"))
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, JwtError> {
        self.optional_text(name)?.ok_or(JwtError::Claim(name))
    }

    /// A text that may be missing.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, JwtError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JwtError::Claim(name)),
        }
    }

    /// Whether a text, or a list of texts, is or holds `wanted`; not where it is missing.
    pub(super) fn has(&self, name: &'static str, wanted: &str) -> Result<bool, JwtError> {
        match self.0.get(name) {
            None => Ok(false),
            Some(Value::String(text)) => Ok(text == wanted),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                Ok(items.iter().any(|item| item == wanted))
            }
            Some(_) => Err(JwtError::Claim(name)),
        }
    }

    /// A moment in whole seconds since 1970, where it is there; it may be written with a fraction.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<u64>, JwtError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let seconds = value.as_u64().or_else(|| {
            let fractional = Duration::try_from_secs_f64(value.as_f64()?);
            fractional.ok().map(|seconds| seconds.as_secs())
        });
        seconds.map(Some).ok_or(JwtError::Claim(name))
    }

    /// What stands at a path of objects.
    pub(super) fn inner(&self, name: &str, path: &str) -> Option<&str> {
        self.0.get(name)?.pointer(path)?.as_str()
    }
}

/// Whether a moment has passed, by both clocks.
pub(super) const fn is_over(moment: u64, now: u64) -> bool {
    now >= moment.saturating_add(LEEWAY)
}

/// Whether a moment is still to come, by both clocks.
pub(super) const fn is_ahead(moment: u64, now: u64) -> bool {
    moment > now.saturating_add(LEEWAY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{Compact, KeySet, testing::Issuer},
        *,
    };
    use crate::model::Signature;

    const NOW: u64 = 1_800_000_000;

    fn read(changes: &Value) -> Result<(), JwtError> {
        thread_local! {
            static ISSUER: Issuer = Issuer::p256("k");
        }
        let mut claims = json!({"iss": "https://a.example", "aud": "us", "exp": NOW + 60});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
        }
        let (keys, token) = ISSUER.with(|issuer| (issuer.jwks(), issuer.sign(&claims)));
        let keys = KeySet::parse(keys.as_bytes()).unwrap();
        let token = Compact::parse(&token, &Signature::ALL).unwrap();
        let expected = Expected {
            issuer: "https://a.example",
            audience: "us",
            now: NOW,
        };
        Claims::read(&keys.verify(&token).unwrap(), &expected).map(|_claims| ())
    }

    #[test]
    fn a_token_is_for_us_from_the_right_one_and_now() {
        for good in [
            json!({}),
            json!({"aud": ["them", "us"]}),
            json!({"exp": NOW - 29}),
            json!({"exp": 1.0e18, "nbf": 0.5}),
            json!({"nbf": NOW + 30}),
        ] {
            assert_eq!(read(&good), Ok(()), "{good}");
        }
        for (bad, error) in [
            (json!({"iss": "https://a.example/"}), JwtError::Issuer),
            (json!({"iss": "https://b.example"}), JwtError::Issuer),
            (json!({"iss": null}), JwtError::Claim("iss")),
            (
                json!({"iss": ["https://a.example"]}),
                JwtError::Claim("iss"),
            ),
            (json!({"aud": "usa"}), JwtError::Audience),
            (json!({"aud": []}), JwtError::Audience),
            (json!({"aud": null}), JwtError::Audience),
            (json!({"aud": ["us", 1]}), JwtError::Claim("aud")),
            (json!({"aud": {"us": "us"}}), JwtError::Claim("aud")),
            (json!({"exp": NOW - 30}), JwtError::Expired),
            (json!({"exp": 0}), JwtError::Expired),
            (json!({"exp": null}), JwtError::Claim("exp")),
            (json!({"exp": "never"}), JwtError::Claim("exp")),
            (json!({"exp": -1}), JwtError::Claim("exp")),
            (json!({"nbf": NOW + 31}), JwtError::NotYet),
            (json!({"nbf": "now"}), JwtError::Claim("nbf")),
        ] {
            assert_eq!(read(&bad), Err(error), "{bad}");
        }
    }
}

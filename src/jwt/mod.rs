//! JSON Web Tokens (RFC 7519) that others have signed: what of them may be believed. Pure.
//!
//! Text → [`Compact`], which is still anybody's word → [`KeySet::verify`], after which it is its
//! issuer's → [`Token::read`], which checks what it says.
//! A [`UserToken`] or [`ServiceAccountToken`] can be made in no other way, so whoever holds one holds a token that was good.
//!
//! Follows RFC 8725. A key is for one signature, which it is given by the key set and never by
//! the token: `none`, a public key taken for an HMAC secret, or a key of another kind is refused
//! by there being no such pair. jsonwebtoken reads headers and keys and verifies signatures; what
//! it leaves open is closed beside it. Nothing here prints a token.

mod claims;
mod compact;
mod keys;
mod service_account;
#[cfg(test)]
pub(crate) mod testing;
mod user;

pub use claims::Expected;
pub use compact::Compact;
pub use keys::{Authentic, KeySet, KeySetError};
pub use service_account::ServiceAccountToken;
pub use user::{MULTI_FACTOR, StepUp, StepUpError, UserToken};

/// What a kind of token says, once it is known to be good.
pub trait Token: Clone {
    /// Reads what a signed token says.
    ///
    /// # Errors
    /// [`JwtError`] where it isn't meant for us, isn't good now or is of another kind.
    fn read(token: &Authentic, expected: &Expected<'_>) -> Result<Self, JwtError>;

    /// Whether it is still good at `now`, in seconds since 1970.
    fn is_current(&self, now: u64) -> bool;
}

/// Why a token isn't believed. Says nothing that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Signed in a way that isn't accepted, or not at all.
    #[error("its signature is of a kind that is not accepted")]
    Algorithm,
    /// For somebody else.
    #[error("it is for another audience")]
    Audience,
    /// A claim isn't there, or not what it should be.
    #[error("its claim {0} is missing or malformed")]
    Claim(&'static str),
    /// It was good once.
    #[error("it has expired")]
    Expired,
    /// From somebody else.
    #[error("it is from another issuer")]
    Issuer,
    /// Not a token.
    #[error("it is no JSON Web Token: {0}")]
    Malformed(&'static str),
    /// It will be good.
    #[error("it is not valid yet")]
    NotYet,
    /// A service account's token was asked for.
    #[error("it is not a service account's token")]
    NotServiceAccount,
    /// A user's token was asked for, and this is a machine's, or anything else.
    #[error("it is not a user's token")]
    NotUser,
    /// Changed, or not signed by the key that it names.
    #[error("its signature is wrong")]
    Signature,
    /// No key of the set is the one that it names.
    #[error("the key that signed it is not known")]
    UnknownKey,
}

/// Reads any bytes as each thing that comes from outside: a token, a key set, what a token says.
/// What nobody signed is never authentic.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_bytes(bytes: &[u8]) {
    use crate::model::Signature;

    /// The key of RFC 7517, appendix A.1.
    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
    if let Ok(token) = std::str::from_utf8(bytes)
        && let Ok(token) = Compact::parse(token, &Signature::ALL)
        && let Ok(known) = KeySet::parse(KEYS.as_bytes())
    {
        assert!(known.verify(&token).is_err(), "nobody signed it");
    }
    if let Ok(keys) = KeySet::parse(bytes) {
        assert!(keys.count() > 0, "a key set without a key");
    }
    let expected = Expected {
        issuer: "i",
        audience: "a",
        now: 1_800_000_000,
    };
    let Ok(said) = serde_json::from_slice(bytes).map(Authentic::forged) else {
        return;
    };
    if let Ok(token) = UserToken::read(&said, &expected) {
        assert!(token.is_current(expected.now), "it is over");
    }
    if let Ok(token) = ServiceAccountToken::read(&said, &expected) {
        assert!(token.is_current(expected.now), "it is over");
    }
}

//! The exchange's answer, and all that can be wrong with it. Pure.

use std::{borrow::Cow, error::Error, io, time::Duration};

use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::net::{ConnectError, root_cause};

/// A token and how long it is good.
#[derive(Debug)]
pub struct Token {
    /// `Bearer …`, marked sensitive.
    pub(super) header: HeaderValue,
    /// From before it was asked for.
    pub(super) lifetime: Duration,
}

impl Token {
    /// How long it is good, counted from before it was asked for.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }
}

/// Bytes of a token. The vendor's are some 2 KiB, and proxies on the way take 8 KiB of a header.
const LONGEST: usize = 16 * 1024;

/// Beyond ten years, a lifetime is as good as ten years.
const LONGEST_LIFE: u64 = 10 * 365 * 86_400;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(rename = "expiresIn")]
    expires_in: u64,
}

/// Reads `{"token": …, "expiresIn": seconds}`; other members are passed over.
pub(super) fn parse(body: &[u8]) -> Result<Token, ExchangeError> {
    // SECURITY: serde_json's own message may quote what it read, and so the token.
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_quotes| {
        ExchangeError::Malformed(
            "it is no JSON object with a text 'token' and a whole number 'expiresIn'",
        )
    })?;
    if answer.expires_in == 0 {
        return Err(ExchangeError::Malformed("its 'expiresIn' is 0"));
    }
    if !(1..=LONGEST).contains(&answer.token.len())
        || !answer.token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ExchangeError::Malformed(
            "its 'token' is not 1 to 16384 visible ASCII characters",
        ));
    }
    let header = HeaderValue::try_from(format!("Bearer {}", answer.token));
    let mut header = header
        .map_err(|_impossible| ExchangeError::Malformed("its 'token' can't stand in a header"))?;
    header.set_sensitive(true);
    Ok(Token {
        header,
        lifetime: Duration::from_secs(answer.expires_in.min(LONGEST_LIFE)),
    })
}

/// One half of what is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `frontegg.api_key`.
    ApiKey,
    /// `frontegg.client_id`.
    ClientId,
}

impl Key {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "frontegg.api_key",
            Self::ClientId => "frontegg.client_id",
        }
    }
}

/// The exchange brought no token.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection broke before the whole answer was there.
    #[error("the vendor's authentication broke off: {}", root_cause(&**.0))]
    Broken(Box<dyn Error + Send + Sync>),
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The file of a key can't be read.
    #[error("{}_file can't be read: {reason}", key.as_str())]
    File {
        /// Which one.
        key: Key,
        /// What the system says.
        reason: io::Error,
    },
    /// The answer isn't what it should be.
    #[error("the vendor's authentication answered something else than a token: {0}")]
    Malformed(&'static str),
    /// It answered with a redirect, which is not followed.
    #[error(
        "the vendor's authentication answered {status} with the location {location:?}, \
         which is not followed: mend frontegg.auth_url"
    )]
    Redirected {
        /// 3xx.
        status: StatusCode,
        /// Where to.
        location: HeaderValue,
    },
    /// The vendor says that the client id or the key is wrong.
    #[error(
        "the vendor rejects the credential ({0}): check frontegg.client_id, api_key and region"
    )]
    Rejected(StatusCode),
    /// It answered with another status.
    #[error("the vendor's authentication answered {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("the vendor's authentication did not answer in time")]
    Timeout,
}

impl ExchangeError {
    /// Whether the vendor said no, rather than nothing.
    #[must_use]
    pub const fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vendors_answer_is_read() {
        let body = br#"{"token":"eyJ.a.b","expiresIn":86400,"new":{"more":1}}"#;
        let token = parse(body).unwrap();
        assert_eq!(token.header, "Bearer eyJ.a.b");
        assert!(token.header.is_sensitive());
        assert_eq!(token.lifetime(), Duration::from_secs(86_400));
    }

    #[test]
    fn anything_else_is_refused_without_being_quoted() {
        let long = format!(r#"{{"token":"{}","expiresIn":1}}"#, "canary".repeat(4_000));
        for body in [
            "",
            "canary",
            "[]",
            r#"{"token":"canary"}"#,
            r#"{"expiresIn":1}"#,
            r#"{"token":"canary","expiresIn":0}"#,
            r#"{"token":"canary","expiresIn":-1}"#,
            r#"{"token":"canary","expiresIn":1.5}"#,
            r#"{"token":"canary","expiresIn":"canary"}"#,
            r#"{"token":"canary","token":"canary","expiresIn":1}"#,
            r#"{"token":"","expiresIn":1}"#,
            r#"{"token":"canary canary","expiresIn":1}"#,
            r#"{"token":"canary\r\nx: y","expiresIn":1}"#,
            r#"{"token":"canary\u00e9","expiresIn":1}"#,
            r#"{"token":["canary"],"expiresIn":1}"#,
            r#"{"token":"canary","expiresIn":1} canary"#,
            &long,
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            let all = format!("{error} {error:?}");
            assert!(!all.contains("canary"), "{body}: {all}");
        }
    }

    #[test]
    fn a_life_without_end_is_cut() {
        let body = format!(r#"{{"token":"t","expiresIn":{}}}"#, u64::MAX);
        let years = parse(body.as_bytes()).unwrap().lifetime();
        assert_eq!(years, Duration::from_secs(LONGEST_LIFE));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(body: Vec<u8>) {
            if let Ok(token) = parse(&body) {
                prop_assert!(!token.lifetime().is_zero());
            }
        }
    }
}

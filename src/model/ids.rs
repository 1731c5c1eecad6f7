//! Who and what a request is about: tenant, user, device, caller, the request itself.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

/// The longest id that is taken, in bytes.
const LONGEST: usize = 128;

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 visible ASCII characters")]
pub struct IdError;

/// A tenant (the vendor says account) that is known to be a legal header value, because it *is* one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantId(HeaderValue);

/// A user, likewise.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(HeaderValue);

macro_rules! header_id {
    ($name:ident) => {
        impl $name {
            /// Takes a header's value as it came; cloning it is a reference count.
            ///
            /// # Errors
            /// [`IdError`] unless it is 1 to 128 visible ASCII characters.
            pub fn from_header(value: &HeaderValue) -> Result<Self, IdError> {
                let bytes = value.as_bytes();
                let good =
                    (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
                good.then(|| Self(value.clone())).ok_or(IdError)
            }

            /// Parses text, from the configuration or a token.
            ///
            /// # Errors
            /// [`IdError`] unless it is 1 to 128 visible ASCII characters.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let value = HeaderValue::from_str(text).map_err(|_not_a_header| IdError)?;
                Self::from_header(&value)
            }

            /// As it goes to the vendor.
            #[must_use]
            pub const fn as_header(&self) -> &HeaderValue {
                &self.0
            }

            /// As text. An id is ASCII, so there always is one.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.to_str().unwrap_or_default()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

header_id!(TenantId);
header_id!(UserId);

/// A path parameter: 1 to 128 of `A-Za-z0-9._-`, and not `.` or `..`,
/// so that it has one reading wherever the path is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathParameter<'a>(&'a str);

impl<'a> PathParameter<'a> {
    /// `None` where the text is no path parameter.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=LONGEST).contains(&text.len())
            && text.bytes().all(fits)
            && !matches!(text, "." | ".."))
        .then_some(Self(text))
    }

    /// As it stands in the path.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// A configured caller's name, for the audit log and metrics. Cloning it is a reference count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallerName(Arc<str>);

impl CallerName {
    /// Names a caller.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// As configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Our id of one request: a UUIDv7 (RFC 9562), so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    id: Uuid,
    /// The usual 36 characters: it is written four times.
    text: [u8; 36],
}

impl RequestId {
    /// Carries it, both ways.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let id = Uuid::now_v7();
        let mut text = [0; 36];
        id.hyphenated().encode_lower(&mut text);
        Self { id, text }
    }

    /// Its 16 bytes, of which at least half are random.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.id.as_bytes()
    }

    /// The usual 36 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).unwrap_or_default()
    }

    /// As it goes into `x-request-id`.
    #[must_use]
    pub fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.text)
            .unwrap_or_else(|_impossible| HeaderValue::from_static("unknown"))
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_ascii_of_1_to_128() {
        assert_eq!(TenantId::parse("acme").unwrap().as_str(), "acme");
        assert_eq!(UserId::parse(&"u".repeat(128)).unwrap().as_str().len(), 128);
        for bad in ["", " ", "a b", "a\tb", "caf\u{e9}", &"u".repeat(129)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
        let latin = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        assert!(UserId::from_header(&latin).is_err());
    }

    #[test]
    fn a_path_parameter_has_one_reading() {
        for good in ["a", "dev-1", "A.b_c", "...", ".a"] {
            assert!(PathParameter::parse(good).is_some(), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a%2fb",
            "a;b",
            "a b",
            "\u{e9}",
            &"d".repeat(129),
        ] {
            assert!(PathParameter::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn request_ids_differ_and_sort_by_time() {
        let (first, second) = (RequestId::new(), RequestId::new());
        assert!(first.to_string() < second.to_string());
        assert_eq!(first.to_header().as_bytes(), first.to_string().as_bytes());
    }
}

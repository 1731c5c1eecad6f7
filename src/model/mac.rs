//! A keyed hash: HMAC-SHA256 (RFC 2104).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key for hashes, prepared once: each hash starts from a copy of its state. That state is small,
/// which is why this isn't the library that TLS has: short inputs are hashed in half the time.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Of any number of bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let prepared = Hmac::new_from_slice(key).expect("a key");
        Self(prepared)
    }

    /// The hash of `parts`, one after another: it is for the caller to see that no two lists of
    /// them run together.
    #[must_use]
    pub fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
        let mut state = self.0.clone();
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().into()
    }
}

/// Never shown.
impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_hmac_sha256() {
        // RFC 4231, section 4.3
        let hash = MacKey::new(b"Jefe").hash([&b"what do ya want "[..], b"for nothing?"]);
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digits,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(
            format!("{:?}", MacKey::new(b"canary")),
            "MacKey([redacted])"
        );
    }
}

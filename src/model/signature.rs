//! The signatures that a token may have.

/// A signature of a JSON Web Token (RFC 7518, section 3) that is believed. There is no way to
/// write down another: `none` proves nothing, and with HS256 whoever checks can also sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

impl Signature {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// As in a token's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The signature of this name, spelled exactly so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|signature| signature.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_nothing_has_no_name() {
        for signature in Signature::ALL {
            assert_eq!(Signature::named(signature.as_str()), Some(signature));
        }
        for name in ["none", "None", "HS256", "rs256", "RS512", "PS256", ""] {
            assert_eq!(Signature::named(name), None, "{name}");
        }
    }
}

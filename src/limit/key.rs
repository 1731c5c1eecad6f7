//! Under which key something is counted: always a keyed hash, so that neither the store nor
//! whoever reads it learns an email, an address, a user or a token.

use std::net::IpAddr;

use aws_lc_rs::rand;
use secrecy::{ExposeSecret, SecretString};

use super::Limit;
use crate::model::{CanonicalEmail, EmailKey, MacKey};

/// Keys the hashes. One for all replicas that share a store.
#[derive(Clone)]
pub struct HashKey(MacKey);

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes: set limits.key_file")]
pub struct NoRandomness;

impl HashKey {
    /// From the configured secret.
    #[must_use]
    pub fn from_secret(secret: &SecretString) -> Self {
        Self(MacKey::new(secret.expose_secret().as_bytes()))
    }

    /// A new one, for a store that lives as long as this process.
    ///
    /// # Errors
    /// [`NoRandomness`] where the system has none.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_opaque| NoRandomness)?;
        Ok(Self(MacKey::new(&key)))
    }

    pub(super) fn email(&self, email: &CanonicalEmail) -> Key {
        Key::new(EmailKey::new(&self.0, Limit::Email.as_str(), email).as_bytes())
    }

    /// The user's address. An IPv6 customer has a whole /64, so that is what is counted.
    pub(super) fn client(&self, client: IpAddr) -> Key {
        match client.to_canonical() {
            IpAddr::V4(v4) => self.hash(Limit::Client.as_str(), &[&v4.octets()]),
            IpAddr::V6(v6) => {
                let network = v6.to_bits() >> 64;
                self.hash(Limit::Client.as_str(), &[&network.to_be_bytes()])
            }
        }
    }

    /// Any other thing. `purpose` has no zero byte; of `parts` all but the last have a fixed
    /// length or end in a zero byte, so that no two inputs run together.
    pub(super) fn hash(&self, purpose: &str, parts: &[&[u8]]) -> Key {
        let purpose = [purpose.as_bytes(), &[0]].into_iter();
        Key::new(&self.0.hash(purpose.chain(parts.iter().copied())))
    }
}

/// A key of the memory store: 96 bits of a keyed hash. With a million keys the odds that any two
/// of them are one are about 1 in 10^17.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The first 64 bits. The same for all clients of one email, see [`Key::of_pair`].
    pub(super) head: u64,
    /// The other 32.
    pub(super) tail: u32,
}

impl Key {
    /// For a limit that has but one.
    pub(super) const ONLY: Self = Self { head: 0, tail: 0 };

    /// From the first 12 bytes of a digest.
    fn new(digest: &[u8]) -> Self {
        let (mut head, mut tail) = ([0; 8], [0; 4]);
        for (to, from) in head.iter_mut().chain(&mut tail).zip(digest) {
            *to = *from;
        }
        Self {
            head: u64::from_le_bytes(head),
            tail: u32::from_le_bytes(tail),
        }
    }

    /// An email together with an address. The email's half is kept apart, so that all addresses
    /// of an email can be forgiven at once.
    pub(super) fn of_pair(email: Self, client: Self) -> Self {
        Self {
            head: email.head,
            tail: client.tail,
        }
    }

    /// What shards sort by. The key is random already; a multiplication by an odd number spreads
    /// the addresses of one email over the whole range.
    pub(super) fn spread(self) -> u64 {
        self.head ^ u64::from(self.tail).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Subaddress;

    fn keys() -> HashKey {
        HashKey::from_secret(&SecretString::from("a key for tests"))
    }

    #[test]
    fn an_ipv6_customer_is_one_client_and_so_is_a_mapped_address() {
        let client = |text: &str| keys().client(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn no_two_purposes_and_no_two_keys_share_a_hash() {
        assert_ne!(keys().hash("code", &[b"x"]), keys().hash("send", &[b"x"]));
        let other = HashKey::random().unwrap();
        assert_ne!(keys().hash("code", &[b"x"]), other.hash("code", &[b"x"]));
    }

    #[test]
    fn addresses_of_one_email_spread() {
        let email = CanonicalEmail::parse("a@x.com", Subaddress::Keep).unwrap();
        let email = keys().email(&email);
        let pairs: std::collections::HashSet<_> = (0..1000_u16)
            .map(u16::to_be_bytes)
            .map(|[high, low]| keys().client(IpAddr::from([10, 0, high, low])))
            .map(|client| Key::of_pair(email, client).spread() >> 48)
            .collect();
        assert!(pairs.len() > 900);
    }
}

//! Tokens that were verified, by their digest, so that each is verified once.

use std::collections::HashMap;

use super::Version;

/// What was verified with the keys of one version.
///
/// Bounded: there are two generations, and when the young one is full it becomes the old one,
/// which is forgotten. What is used in the meantime is young again.
#[derive(Debug)]
pub(super) struct Seen<T> {
    version: Version,
    young: HashMap<Digest, T>,
    old: HashMap<Digest, T>,
}

/// SHA-256 of a token. The token itself is nowhere kept.
pub(super) type Digest = [u8; 32];

/// Tokens of one generation.
const MOST: usize = 2_048;

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self {
            version: Version::default(),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<T: Clone> Seen<T> {
    /// What was found of a token, if with these keys.
    pub(super) fn get(&mut self, digest: &Digest, version: Version) -> Option<T> {
        if version != self.version {
            return None;
        }
        if let Some(found) = self.young.get(digest) {
            return Some(found.clone());
        }
        let found = self.old.remove(digest)?;
        self.put(*digest, version, found.clone());
        Some(found)
    }

    /// Remembers what was found. With other keys than before, all else is forgotten: a key may
    /// have been withdrawn.
    pub(super) fn put(&mut self, digest: Digest, version: Version, found: T) {
        if version < self.version {
            return;
        }
        if version > self.version {
            *self = Self {
                version,
                ..Self::default()
            };
        }
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut seen = Seen::default();
        for number in 0..10 * MOST {
            seen.put(digest(number), Version(1), number);
            assert_eq!(seen.get(&digest(0), Version(1)), Some(0), "{number}");
        }
        assert!(seen.young.len() <= MOST && seen.old.len() <= MOST);
        assert_eq!(seen.get(&digest(1), Version(1)), None);
    }

    #[test]
    fn with_other_keys_all_is_forgotten() {
        let mut seen = Seen::default();
        seen.put(digest(1), Version(1), 1);
        assert_eq!(seen.get(&digest(1), Version(2)), None);
        seen.put(digest(2), Version(2), 2);
        assert_eq!(seen.get(&digest(1), Version(2)), None);
        seen.put(digest(3), Version(1), 3);
        assert_eq!(seen.get(&digest(3), Version(2)), None);
        assert_eq!(seen.get(&digest(2), Version(2)), Some(2));
    }
}

//! A part of a table that is locked by itself.

use hashbrown::HashTable;

use super::{key::Key, life::Life};

/// A shard is shrunk when it has room for this many times its entries, and for more than this.
const SPARSE: usize = 4;
const SMALL: usize = 64;

/// Entries of some keys, and buckets of the others.
pub(super) struct Shard<const N: usize> {
    pub(super) entries: HashTable<Entry<N>>,
    /// Empty until the first key finds the table full.
    pub(super) shared: Vec<[u64; N]>,
    /// The latest that has begun here.
    pub(super) life: Life,
}

/// What is counted of one key: 16 bytes and a time a quota.
pub(super) struct Entry<const N: usize> {
    pub(super) head: u64,
    pub(super) tail: u32,
    pub(super) life: Life,
    pub(super) times: [u64; N],
}

impl<const N: usize> Entry<N> {
    pub(super) const fn key(&self) -> Key {
        Key {
            head: self.head,
            tail: self.tail,
        }
    }

    fn hash(&self) -> u64 {
        self.key().spread()
    }

    pub(super) fn at_rest(&self, now: u64) -> bool {
        at_rest(&self.times, now)
    }
}

/// Whether nothing of these times still weighs.
pub(super) fn at_rest(times: &[u64], now: u64) -> bool {
    times.iter().all(|time| *time <= now)
}

impl<const N: usize> Shard<N> {
    pub(super) const fn new() -> Self {
        Self {
            entries: HashTable::new(),
            shared: Vec::new(),
            life: Life::BEFORE_ANY,
        }
    }

    pub(super) fn insert(&mut self, key: Key, times: [u64; N]) -> Life {
        self.life = self.life.next();
        let entry = Entry {
            head: key.head,
            tail: key.tail,
            life: self.life,
            times,
        };
        self.entries.insert_unique(key.spread(), entry, Entry::hash);
        self.life
    }

    pub(super) fn shrink(&mut self) {
        let few = self.entries.len().saturating_mul(SPARSE);
        if self.entries.capacity() > few.max(SMALL) {
            self.entries.shrink_to(few / 2, Entry::hash);
        }
    }
}

//! The memory store: for each key of one limit, the times of all its quotas, in one entry.
//!
//! Sharded by the first half of the key; a shard is locked for one decision and never across an
//! await. So the counts of one email with its addresses are in one shard, and clearing them looks
//! through that one alone, as a step of the sweep does. The price: where `limits.email` refuses
//! nothing, an email that comes from very many addresses makes its shard longer than the others.
//!
//! A key at rest is as good as absent, and [`Table::sweep`] removes it. When all limits together
//! hold `max_keys`, none of them is forgotten early: keys not seen before share 2^20 buckets a
//! limit, under the same quotas, so a flood of keys makes the limits too strict and never opens
//! them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    gcra::{self, Charged, MOST_QUOTAS, Rate, Since},
    key::Key,
    life::Life,
    room::Room,
    shard::{Entry, Shard, at_rest},
};

/// Keys of a full shard, so that growing or sweeping it is a matter of microseconds.
const SHARD: usize = 4_096;
/// The shards of a limit with up to a million keys.
const LEAST_SHARDS: usize = 256;
/// The most shards of a limit: as many as a key's bits tell apart.
const MOST_SHARDS: usize = 1 << 16;

/// Shared buckets over all shards.
const BUCKETS: usize = 1 << 20;

/// What was taken from a key, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) charged: Charged,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the key's own entry, in this life of it.
    Own { life: Life },
    /// In the bucket that it shared.
    Shared,
}

/// The keys of one limit. See [`Sharded`] for the only kind there is: this trait merely hides
/// how many quotas an entry has room for.
pub(super) trait Table: Send + Sync {
    /// Charges one attempt to all quotas of `key`, or to none.
    ///
    /// # Errors
    /// How long until it would be admitted.
    fn charge(&self, key: Key, rates: &[Rate], now: u64) -> Result<Taken, Duration>;

    /// Takes an attempt back, as far as it still weighs and the key wasn't cleared since.
    fn give_back(&self, key: Key, taken: &Taken, rates: &[Rate], now: u64);

    /// Puts a key to rest. What it shares with others stays.
    fn clear(&self, key: Key);

    /// Takes over another store's times of a key: not at rest, and only where there is room.
    fn mirror(&self, key: Key, times: &[u64; MOST_QUOTAS], now: u64);

    /// The times of a key, in its own entry or in the bucket that it shares; zeros at rest.
    fn times(&self, key: Key) -> [u64; MOST_QUOTAS];

    /// How many shards there are.
    fn shards(&self) -> usize;

    /// Removes keys at rest from one shard, and gives memory back if that made it sparse.
    fn sweep(&self, shard: usize, now: u64);

    /// Puts all keys with this head to rest. Looks through their shard.
    fn clear_head(&self, head: u64);

    /// A table for other quotas that starts with what this one has counted.
    fn carried_over(&self, carry: &Carry, now: u64) -> Arc<dyn Table>;

    /// Bytes on the heap.
    #[cfg(test)]
    fn bytes(&self) -> usize;

    /// Keys of the fullest shard: no step of the sweep looks at more.
    #[cfg(test)]
    fn fullest(&self) -> usize;
}

/// How times move from one list of quotas to another.
pub(super) struct Carry {
    /// For each new quota: the old one whose time it takes, and the longest time that it can have.
    pub(super) moves: Vec<(usize, u64)>,
}

impl Carry {
    fn apply<const M: usize>(&self, from: &[u64], now: u64) -> [u64; M] {
        let mut to = [0; M];
        for (to, (old, full)) in to.iter_mut().zip(&self.moves) {
            let time = from.get(*old).copied().unwrap_or(0);
            *to = time.min(now.saturating_add(*full));
        }
        to
    }
}

/// A table of many keys, for entries of so many quotas.
pub(super) fn table(quotas: usize, room: &Arc<Room>) -> Arc<dyn Table> {
    let shards = room.most().div_ceil(SHARD).next_power_of_two();
    let shards = shards.clamp(LEAST_SHARDS, MOST_SHARDS);
    match quotas {
        0 | 1 => Arc::new(Sharded::<1>::new(shards, room)),
        2 => Arc::new(Sharded::<2>::new(shards, room)),
        3 => Arc::new(Sharded::<3>::new(shards, room)),
        _most => Arc::new(Sharded::<MOST_QUOTAS>::new(shards, room)),
    }
}

/// A table of a handful of keys.
pub(super) fn small_table(room: &Arc<Room>) -> Arc<dyn Table> {
    Arc::new(Sharded::<MOST_QUOTAS>::new(1, room))
}

struct Sharded<const N: usize> {
    /// At least one.
    shards: Box<[Mutex<Shard<N>>]>,
    room: Arc<Room>,
}

impl<const N: usize> Sharded<N> {
    fn new(shards: usize, room: &Arc<Room>) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new())).collect(),
            room: Arc::clone(room),
        }
    }

    /// How many shared buckets a shard has, once it needs them.
    fn buckets(&self) -> usize {
        BUCKETS.checked_div(self.shards.len()).unwrap_or(BUCKETS)
    }

    /// The bucket, in its shard, of a key that has no entry of its own.
    fn bucket(&self, key: Key) -> usize {
        let [_, _, low, high, ..] = key.spread().to_le_bytes();
        let number = usize::from(u16::from_le_bytes([low, high]));
        number.checked_rem(self.buckets()).unwrap_or(0)
    }

    /// Locks the shard of all keys with this head. hashbrown takes the lowest and highest bits of
    /// their hash, this one takes some between.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "there is at least one shard, and the index is less than their number"
    )]
    fn shard(&self, head: u64) -> MutexGuard<'_, Shard<N>> {
        let [_, _, _, _, low, high, ..] = head.to_le_bytes();
        let number = usize::from(u16::from_le_bytes([low, high]));
        lock(&self.shards[number % self.shards.len()])
    }

    fn retain(&self, shard: &mut Shard<N>, keep: impl Fn(&Entry<N>) -> bool) {
        let before = shard.entries.len();
        shard.entries.retain(|entry| keep(entry));
        self.room.free(before.saturating_sub(shard.entries.len()));
    }

    fn recast<const M: usize>(&self, carry: &Carry, now: u64) -> Sharded<M> {
        let new = Sharded::<M>::new(self.shards.len(), &self.room);
        for (from, to) in self.shards.iter().zip(&new.shards) {
            let (from, mut to) = (lock(from), lock(to));
            for entry in &from.entries {
                to.insert(entry.key(), carry.apply(&entry.times, now));
            }
            let shared = from.shared.iter();
            to.shared = shared.map(|times| carry.apply(times, now)).collect();
            self.room.add(to.entries.len());
        }
        new
    }
}

impl<const N: usize> Table for Sharded<N> {
    fn charge(&self, key: Key, rates: &[Rate], now: u64) -> Result<Taken, Duration> {
        let shard = &mut *self.shard(key.head);
        let own = shard
            .entries
            .find_mut(key.spread(), |entry| entry.key() == key);
        if let Some(entry) = own {
            let rested = entry.at_rest(now);
            let charged = gcra::charge(&mut entry.times, rates, now)?;
            if rested {
                // as good as absent, whether the sweep has come by or not
                shard.life = shard.life.next();
                entry.life = shard.life;
            }
            let place = Place::Own { life: entry.life };
            return Ok(Taken { charged, place });
        }

        // SECURITY: a key that finds room starts from what its bucket has used up, or a flood
        // that ends would give everyone in it a fresh start.
        let bucket = self.bucket(key);
        let mut times = shard.shared.get(bucket).copied().unwrap_or([0; N]);
        let charged = gcra::charge(&mut times, rates, now)?;
        if self.room.take_one() {
            let life = shard.insert(key, times);
            let place = Place::Own { life };
            return Ok(Taken { charged, place });
        }
        if shard.shared.is_empty() {
            shard.shared = vec![[0; N]; self.buckets()];
        }
        if let Some(shared) = shard.shared.get_mut(bucket) {
            *shared = times;
        }
        let place = Place::Shared;
        Ok(Taken { charged, place })
    }

    fn give_back(&self, key: Key, taken: &Taken, rates: &[Rate], now: u64) {
        let shard = &mut *self.shard(key.head);
        match taken.place {
            Place::Own { life } => {
                let own = shard.entries.find_entry(key.spread(), |entry| {
                    entry.key() == key && entry.life.is(life)
                });
                let Ok(mut own) = own else { return };
                let entry = own.get_mut();
                let since = entry.life.since();
                // the last to come and the first to go leaves no trace
                let after = taken.charged.times.iter();
                if !entry.times.iter().eq(after.take(N)) {
                    entry.life.take_back();
                }
                gcra::take_back(&mut entry.times, &taken.charged, rates, since, now);
                if entry.at_rest(now) {
                    own.remove();
                    self.room.free(1);
                }
            }
            Place::Shared => {
                if let Some(times) = shard.shared.get_mut(self.bucket(key)) {
                    gcra::take_back(times, &taken.charged, rates, Since::Anything, now);
                }
            }
        }
    }

    fn clear(&self, key: Key) {
        let mut shard = self.shard(key.head);
        let own = shard
            .entries
            .find_entry(key.spread(), |entry| entry.key() == key);
        if let Ok(own) = own {
            own.remove();
            self.room.free(1);
        }
    }

    fn mirror(&self, key: Key, times: &[u64; MOST_QUOTAS], now: u64) {
        let mut seen = [0; N];
        for (to, from) in seen.iter_mut().zip(times) {
            *to = *from;
        }
        let shard = &mut *self.shard(key.head);
        let own = shard
            .entries
            .find_mut(key.spread(), |entry| entry.key() == key);
        match own {
            Some(entry) => {
                entry.times = seen;
                // who was charged here before can't tell any more what of it still weighs
                entry.life.take_back();
            }
            None if !at_rest(&seen, now) && self.room.take_one() => {
                shard.insert(key, seen);
            }
            None => {}
        }
    }

    fn times(&self, key: Key) -> [u64; MOST_QUOTAS] {
        let shard = self.shard(key.head);
        let mut times = [0; MOST_QUOTAS];
        let own = shard
            .entries
            .find(key.spread(), |entry| entry.key() == key)
            .map(|entry| &entry.times);
        let shared = shard.shared.get(self.bucket(key));
        for (to, from) in times.iter_mut().zip(own.or(shared).into_iter().flatten()) {
            *to = *from;
        }
        times
    }

    fn shards(&self) -> usize {
        self.shards.len()
    }

    fn sweep(&self, shard: usize, now: u64) {
        let Some(shard) = self.shards.get(shard) else {
            return;
        };
        let mut shard = lock(shard);
        self.retain(&mut shard, |entry| !entry.at_rest(now));
        shard.shrink();
        if shard.shared.iter().all(|times| at_rest(times, now)) {
            shard.shared = Vec::new();
        }
    }

    fn clear_head(&self, head: u64) {
        self.retain(&mut self.shard(head), |entry| entry.head != head);
    }

    fn carried_over(&self, carry: &Carry, now: u64) -> Arc<dyn Table> {
        match carry.moves.len() {
            0 | 1 => Arc::new(self.recast::<1>(carry, now)),
            2 => Arc::new(self.recast::<2>(carry, now)),
            3 => Arc::new(self.recast::<3>(carry, now)),
            _most => Arc::new(self.recast::<MOST_QUOTAS>(carry, now)),
        }
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        let shards = self.shards.iter().map(lock);
        let heap = shards.flat_map(|s| [s.entries.allocation_size(), size_of_val(&*s.shared)]);
        heap.chain([size_of_val(&*self.shards)]).sum()
    }

    #[cfg(test)]
    fn fullest(&self) -> usize {
        let shards = self.shards.iter().map(|shard| lock(shard).entries.len());
        shards.max().unwrap_or(0)
    }
}

impl<const N: usize> Drop for Sharded<N> {
    fn drop(&mut self) {
        let keys = self.shards.iter().map(|shard| lock(shard).entries.len());
        self.room.free(keys.sum());
    }
}

/// A panic while a shard was locked can't have left it half done: every change is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

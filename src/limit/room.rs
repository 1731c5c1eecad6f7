//! How many keys may be counted: `max_keys`, over all limits together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many keys there may be, over all limits that share it.
pub(super) struct Room {
    keys: AtomicUsize,
    most: usize,
    full: AtomicBool,
}

impl Room {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            keys: AtomicUsize::new(0),
            most,
            full: AtomicBool::new(false),
        }
    }

    /// How many there may be.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Says that there is room again, once it is so.
    pub(super) fn tell(&self) {
        let most = self.most.saturating_sub(self.most / 10);
        if self.keys() <= most && self.full.swap(false, Ordering::Relaxed) {
            tracing::info!(
                keys = self.keys(),
                "the table of limited keys has room again"
            );
        }
    }

    /// Takes a place for one more key, if there is one.
    pub(super) fn take_one(&self) -> bool {
        let taken = self
            .keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |keys| {
                (keys < self.most).then(|| keys.saturating_add(1))
            });
        if taken.is_err() && !self.full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                max_keys = self.most,
                "the table of limited keys is full: new keys share buckets, which makes limits \
                 stricter; limits.max_keys makes it larger"
            );
        }
        taken.is_ok()
    }

    /// Takes places without asking.
    pub(super) fn add(&self, keys: usize) {
        self.keys.fetch_add(keys, Ordering::Relaxed);
    }

    /// Gives places back.
    pub(super) fn free(&self, keys: usize) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
    }
}

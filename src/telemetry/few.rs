//! Metrics that a request finds without hashing their labels.

use std::sync::{PoisonError, RwLock};

/// Metrics by a key of which there are few: they are looked through, the first seen first.
#[derive(Debug)]
pub(super) struct Few<K, M>(RwLock<Vec<(K, M)>>);

impl<K: PartialEq, M> Few<K, M> {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    /// Does something with the metric of `key`, which is made the first time.
    pub(super) fn with(&self, key: K, make: impl FnOnce() -> M, use_it: impl FnOnce(&M)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_key, metric)) = known.iter().find(|(known, _metric)| *known == key) {
            return use_it(metric);
        }
        drop(known);
        let metric = make();
        use_it(&metric);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // where two threads come at once both have the same metric, and one of them is kept
        if !known.iter().any(|(known, _metric)| *known == key) {
            known.push((key, metric));
        }
    }
}

//! The vendor said 429: what it counted is paused here, until it has told to come again.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::key::{HashKey, Key};
use crate::route::Operation;

/// A pause lasts at least and at most this long, whatever the vendor says.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// As many are remembered; beyond it the vendor has to say no again itself.
const MOST: usize = 65_536;

/// How long a pause is for which the vendor said `wait`.
pub(super) fn length(wait: Duration) -> Duration {
    wait.clamp(SHORTEST, LONGEST)
}

/// What is paused, and until when.
#[derive(Default)]
pub(super) struct Pauses {
    until: Mutex<HashMap<Key, u64>>,
    /// The latest of them, so that a request asks the map only while something may be paused.
    latest: AtomicU64,
}

impl Pauses {
    /// Pauses an operation; only for `client`, where its address was sent.
    pub(super) fn pause(
        &self,
        keys: &HashKey,
        operation: Operation,
        client: Option<IpAddr>,
        wait: Duration,
        now: u64,
    ) {
        let wait = length(wait);
        let until = now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        let key = key(keys, operation, client);
        let mut paused = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.len() >= MOST {
            paused.retain(|_key, until| *until > now);
        }
        if paused.len() < MOST || paused.contains_key(&key) {
            let latest = paused.entry(key).or_insert(until);
            *latest = until.max(*latest);
            self.latest.fetch_max(until, Ordering::Release);
        }
    }

    /// How long an operation is still paused.
    pub(super) fn left(
        &self,
        keys: &HashKey,
        operation: Operation,
        client: Option<IpAddr>,
        now: u64,
    ) -> Option<Duration> {
        if self.latest.load(Ordering::Acquire) <= now {
            return None;
        }
        let key = key(keys, operation, client);
        let paused = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = paused.get(&key)?.saturating_sub(now);
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// Forgets what has passed.
    pub(super) fn sweep(&self, now: u64) {
        let mut paused = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if !paused.is_empty() {
            paused.retain(|_key, until| *until > now);
            paused.shrink_to_fit();
        }
    }
}

/// The vendor counts whole addresses, so here an IPv6 one is no /64.
pub(super) fn key(keys: &HashKey, operation: Operation, client: Option<IpAddr>) -> Key {
    let name = operation.name().as_bytes();
    match client.map(|client| client.to_canonical()) {
        None => keys.hash("pause", &[name, &[0]]),
        Some(IpAddr::V4(v4)) => keys.hash("pause", &[name, &[0], &v4.octets()]),
        Some(IpAddr::V6(v6)) => keys.hash("pause", &[name, &[0], &v6.octets()]),
    }
}

//! What time it is for the stand-in.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// The machine's clock, plus what it was moved ahead: so that a test sees a token
/// expire or a limit end without waiting for it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    ahead: AtomicU64,
}

impl Clock {
    /// Seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
            .saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Moves the clock ahead, by whole seconds.
    pub(super) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

/// `seconds` since 1970 as a timestamp; one beyond the calendar counts as its end.
pub(super) fn timestamp(seconds: u64) -> jiff::Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}

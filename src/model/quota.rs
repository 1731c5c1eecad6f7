//! So many attempts at once, regained evenly over a period.

use std::{num::NonZeroU32, time::Duration};

/// A quota in the sense of GCRA: `attempts` at once from rest, regained evenly over `per`.
///
/// Invariant: `per` is longer than zero, and one attempt's share of it is at least a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    attempts: NonZeroU32,
    per: Duration,
}

impl Quota {
    /// `None` where the period is too short to be shared among the attempts.
    #[must_use]
    pub fn new(attempts: NonZeroU32, per: Duration) -> Option<Self> {
        (per >= Duration::from_nanos(u64::from(attempts.get()))).then_some(Self { attempts, per })
    }

    /// How many attempts may come at once from rest.
    #[must_use]
    pub const fn attempts(self) -> NonZeroU32 {
        self.attempts
    }

    /// The time over which all attempts are regained.
    #[must_use]
    pub const fn per(self) -> Duration {
        self.per
    }

    /// The time in which one attempt is regained (GCRA's emission interval).
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per
            .checked_div(self.attempts.get())
            .unwrap_or(self.per)
    }
}

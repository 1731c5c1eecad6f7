//! The arithmetic of one key's quotas: GCRA by `governor`, all quotas or none.
//!
//! All that is kept of a quota is one time (GCRA's theoretical arrival time, in nanoseconds since
//! the limiter's start): when the key will be at rest again. A time that has passed is as good as
//! none. A decision is made in time relative to now, so what is stored doesn't depend on when a
//! quota was configured.

use std::{cell::Cell, time::Duration};

use governor::{
    RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

use crate::model::Quota;

/// How many quotas one limit may have. An entry of the memory store holds a time for each.
pub const MOST_QUOTAS: usize = 4;

/// A period longer than this counts as this, so that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// One quota, ready to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// As configured.
    pub(super) quota: Quota,
    governor: governor::Quota,
    /// What one attempt weighs, in nanoseconds: whole microseconds, rounded up, as those are what
    /// the shared store counts in.
    pub(super) interval: u64,
    /// What all attempts weigh together, in nanoseconds.
    pub(super) full: u64,
}

impl Rate {
    pub(super) fn new(quota: Quota) -> Self {
        let attempts = quota.attempts();
        let interval = quota
            .interval()
            .min(LONGEST.checked_div(attempts.get()).unwrap_or(LONGEST))
            .as_nanos()
            .div_ceil(1_000)
            .max(1);
        let micros = u64::try_from(interval).unwrap_or(u64::MAX);
        let interval = Duration::from_micros(micros);
        let nanos = micros.saturating_mul(1_000);
        Self {
            quota,
            governor: governor::Quota::with_period(interval)
                .unwrap_or_else(|| governor::Quota::per_second(attempts))
                .allow_burst(attempts),
            interval: nanos,
            full: nanos.saturating_mul(u64::from(attempts.get())),
        }
    }

    /// How many attempts are left to a key with this time.
    pub(super) fn remaining(&self, time: u64, now: u64) -> u32 {
        let spent = time.saturating_sub(now).div_ceil(self.interval.max(1));
        let spent = u32::try_from(spent).unwrap_or(u32::MAX);
        self.quota.attempts().get().saturating_sub(spent)
    }
}

/// What an attempt took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charged {
    /// When it was charged.
    at: u64,
    /// Each quota's time right after it.
    pub(super) times: [u64; MOST_QUOTAS],
    /// What was left of the quota with the least left.
    pub(super) remaining: u32,
}

/// Charges one attempt to all of `rates`, or to none.
///
/// # Errors
/// How long until it would be admitted, if nothing else came.
pub(super) fn charge(times: &mut [u64], rates: &[Rate], now: u64) -> Result<Charged, Duration> {
    let mut charged = Charged {
        at: now,
        times: [0; MOST_QUOTAS],
        remaining: u32::MAX,
    };
    let mut wait = None;
    for ((after, before), rate) in charged.times.iter_mut().zip(&*times).zip(rates) {
        let slot = Slot {
            time: Cell::new(*before),
            now,
        };
        let limiter: RateLimiter<_, _, _, StateInformationMiddleware> =
            RateLimiter::new(rate.governor, slot, AtNow);
        match limiter.check() {
            Ok(state) => {
                charged.remaining = charged.remaining.min(state.remaining_burst_capacity());
            }
            Err(not_until) => wait = wait.max(Some(not_until.wait_time_from(Nanos::default()))),
        }
        *after = limiter.into_state_store().time.get();
    }
    if let Some(wait) = wait {
        return Err(wait);
    }
    for (time, after) in times.iter_mut().zip(&charged.times).take(rates.len()) {
        *time = *after;
    }
    Ok(charged)
}

/// What has happened to the times between a charge and its taking back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Attempts may have come, none was taken back.
    OnlyCharges,
    /// Attempts may have come and may have been taken back.
    Anything,
}

/// Takes back what of an attempt still weighs.
///
/// An attempt weighs one interval at first. It weighs less once another has come to a key that
/// would have been at rest without it: that one would have begun at its own time, and must not be
/// forgiven along. Who came when isn't kept, so this takes back what is sure to weigh still:
/// * if only charges came since, what is left of the time right after the charge: the times
///   never fell below it;
/// * else what is left of one interval from the charge on: no other taking back fell below that.
///
/// So the times are never below what they had been without the attempt, and equal if nobody came.
pub(super) fn take_back(
    times: &mut [u64],
    charged: &Charged,
    rates: &[Rate],
    since: Since,
    now: u64,
) {
    for ((time, after), rate) in times.iter_mut().zip(&charged.times).zip(rates) {
        let sure = match since {
            Since::OnlyCharges => *after,
            Since::Anything => charged.at.saturating_add(rate.interval),
        };
        *time = time.saturating_sub(rate.interval.min(sure.saturating_sub(now)));
    }
}

/// One quota's time while it is being asked: governor's state store.
struct Slot {
    time: Cell<u64>,
    now: u64,
}

impl StateStore for Slot {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _only: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let backlog = Nanos::new(self.time.get().saturating_sub(self.now));
        let (outcome, after) = decide(Some(backlog))?;
        self.time.set(self.now.saturating_add(after.as_u64()));
        Ok(outcome)
    }
}

/// governor's clock while a slot is being asked: its zero is now.
struct AtNow;

impl Clock for AtNow {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::default()
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rate(attempts: u32, per: u64) -> Rate {
        let attempts = NonZeroU32::new(attempts).unwrap();
        Rate::new(Quota::new(attempts, Duration::from_secs(per)).unwrap())
    }

    fn seconds(n: u64) -> u64 {
        n * 1_000_000_000
    }

    #[test]
    fn from_rest_5_per_15_minutes_lets_5_through_at_once_and_9_in_any_15_minutes() {
        let rates = [rate(5, 900)];
        let mut times = [0];
        let admitted = |from: u64, to: u64, times: &mut [u64; 1]| {
            (from..to)
                .filter(|now| charge(times, &rates, seconds(*now)).is_ok())
                .count()
        };
        assert_eq!(admitted(0, 1, &mut times), 1);
        for _ in 0..4 {
            charge(&mut times, &rates, 0).unwrap();
        }
        assert_eq!(charge(&mut times, &rates, 0).unwrap_err().as_secs(), 180);
        assert_eq!(admitted(0, 900, &mut times), 4);
        assert_eq!(admitted(900, 1800, &mut times), 5);
    }

    #[test]
    fn what_is_refused_uses_up_nothing_of_any_quota() {
        let rates = [rate(1, 10), rate(9, 100)];
        let mut times = [0; 2];
        assert_eq!(charge(&mut times, &rates, 0).unwrap().remaining, 0);
        let before = times;
        for _ in 0..20 {
            assert_eq!(charge(&mut times, &rates, 0).unwrap_err().as_secs(), 10);
        }
        assert_eq!(times, before);
    }

    #[test]
    fn the_longest_wait_of_all_quotas_is_told() {
        let rates = [rate(1, 10), rate(1, 100)];
        let mut times = [0; 2];
        charge(&mut times, &rates, 0).unwrap();
        assert_eq!(charge(&mut times, &rates, 0).unwrap_err().as_secs(), 100);
    }

    #[test]
    fn what_is_given_back_leaves_no_trace_if_nobody_came() {
        let rates = [rate(5, 900)];
        for before in [0, seconds(100), seconds(500)] {
            let mut times = [before];
            let charged = charge(&mut times, &rates, seconds(50)).unwrap();
            take_back(
                &mut times,
                &charged,
                &rates,
                Since::OnlyCharges,
                seconds(60),
            );
            assert_eq!(times[0].max(seconds(60)), before.max(seconds(60)));
        }
    }

    #[test]
    fn who_came_to_a_key_at_rest_is_not_forgiven_with_another() {
        let rates = [rate(5, 900)];
        let mut times = [0];
        let charged = charge(&mut times, &rates, 0).unwrap();
        charge(&mut times, &rates, seconds(200)).unwrap();
        take_back(
            &mut times,
            &charged,
            &rates,
            Since::OnlyCharges,
            seconds(201),
        );
        assert_eq!(times, [seconds(380)]);
    }

    #[test]
    fn takings_back_in_any_order_forgive_nobody_else() {
        let rates = [rate(5, 900)];
        let mut times = [0];
        let first = charge(&mut times, &rates, 0).unwrap();
        let second = charge(&mut times, &rates, 0).unwrap();
        take_back(&mut times, &first, &rates, Since::OnlyCharges, 0);
        charge(&mut times, &rates, seconds(170)).unwrap();
        take_back(&mut times, &second, &rates, Since::Anything, seconds(171));
        assert!(
            times[0] >= seconds(350),
            "the third weighs an interval from 170 s on"
        );
    }

    #[test]
    fn what_remains_is_told_alike_before_and_after() {
        let rates = [rate(5, 900)];
        let mut times = [0];
        assert_eq!(rates[0].remaining(0, 0), 5);
        for now in [0, 0, 100, 200, 500, 500, 500] {
            if let Ok(charged) = charge(&mut times, &rates, seconds(now)) {
                assert_eq!(
                    rates[0].remaining(times[0], seconds(now)),
                    charged.remaining
                );
            }
        }
    }

    #[test]
    fn no_period_is_too_long_or_too_short() {
        let most = NonZeroU32::MAX;
        for quota in [
            Quota::new(NonZeroU32::MIN, Duration::MAX),
            Quota::new(most, Duration::MAX),
            Quota::new(most, Duration::from_nanos(u64::from(u32::MAX))),
            Quota::new(NonZeroU32::MIN, Duration::from_nanos(1)),
        ] {
            let rates = [Rate::new(quota.unwrap())];
            let mut times = [u64::MAX / 2];
            let now = u64::MAX / 2;
            assert!(charge(&mut times, &rates, now).is_ok());
            assert!(times[0] > now);
        }
    }
}

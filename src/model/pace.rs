//! When to do something again.

use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::Instant;

/// A moment after another; the moment itself where there is no such time.
#[must_use]
pub fn later(from: Instant, by: Duration) -> Instant {
    from.checked_add(by).unwrap_or(from)
}

/// A share of `whole` between two bounds, by chance, so that replicas don't come all at once.
#[must_use]
pub fn share(whole: Duration, low: f64, high: f64) -> Duration {
    let mut bytes = [0; 4];
    // without chance there is no spread, and that is all there is to lose
    let chance = rand::fill(&mut bytes).map_or(0.5, |()| {
        f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
    });
    whole.mul_f64(low + (high - low) * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_within_its_bounds() {
        for _ in 0..100 {
            let share = share(Duration::from_secs(100), 0.75, 0.8);
            assert!((Duration::from_secs(75)..=Duration::from_secs(80)).contains(&share));
        }
    }
}

//! The vendor's own limits: ten a minute by address, on recovery and on verification.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{super::locked::Locked, answer::Refusal};
use crate::route::Operation;

/// So many requests …
const REQUESTS: usize = 10;
/// … in so many seconds.
const WINDOW: u64 = 60;

/// Who asked when.
#[derive(Debug)]
pub(super) struct Limits {
    on: AtomicBool,
    seen: Locked<HashMap<(Operation, IpAddr), VecDeque<u64>>>,
}

impl Limits {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on: AtomicBool::new(on),
            seen: Locked::default(),
        }
    }

    pub(super) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Lets a request through and counts it, or refuses it until the oldest is a minute ago.
    pub(super) fn admit(
        &self,
        operation: Operation,
        address: IpAddr,
        now: u64,
    ) -> Result<(), Refusal> {
        let limited = matches!(operation, Operation::Recover | Operation::LoginVerify);
        if !limited || !self.on.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.seen.with(|seen| {
            seen.retain(|_, times| {
                times.retain(|time| now < time.saturating_add(WINDOW));
                !times.is_empty()
            });
            let times = seen.entry((operation, address)).or_default();
            match times.front() {
                Some(oldest) if times.len() >= REQUESTS => {
                    Err(Refusal::too_many(oldest.saturating_add(WINDOW)))
                }
                _ => {
                    times.push_back(now);
                    Ok(())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn the_eleventh_in_a_minute_is_refused_until_the_first_is_past() {
        let limits = Limits::new(true);
        for second in 0..10 {
            assert!(
                limits
                    .admit(Operation::Recover, HERE, 1000 + second)
                    .is_ok()
            );
        }
        assert!(limits.admit(Operation::Recover, HERE, 1059).is_err());
        assert!(limits.admit(Operation::Recover, THERE, 1059).is_ok());
        assert!(limits.admit(Operation::LoginVerify, HERE, 1059).is_ok());
        assert!(limits.admit(Operation::Recover, HERE, 1060).is_ok());
    }

    #[test]
    fn other_operations_and_a_switched_off_limit_let_everything_through() {
        let limits = Limits::new(true);
        for _ in 0..20 {
            assert!(limits.admit(Operation::UserDevices, HERE, 1000).is_ok());
        }
        limits.switch(false);
        for _ in 0..20 {
            assert!(limits.admit(Operation::Recover, HERE, 1000).is_ok());
        }
    }
}

//! When a request must be over.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

/// When this request must be over. Made once, handed to everything that waits,
/// so that steps share one budget instead of each having its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Instant);

/// The deadline passed before the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline passed")]
pub struct Elapsed;

impl Deadline {
    /// A deadline `budget` from now. One too far to be told counts as a day.
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        const FAR: Duration = Duration::from_secs(86_400);
        let now = Instant::now();
        Self(
            now.checked_add(budget)
                .or_else(|| now.checked_add(FAR))
                .unwrap_or(now),
        )
    }

    /// Does `work` unless the deadline passes first.
    ///
    /// # Errors
    /// [`Elapsed`] if it did; `work` is then dropped.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout_at(self.0, work).await.map_err(|_elapsed| Elapsed)
    }

    /// How long there is left; zero once it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// One timer for many waits, one after another.
///
/// It is not set for each and stopped again, which costs more than all else about a deadline. It
/// stays as it was set once, and only where it goes off too early, or would too late, it is set to
/// the deadline of the moment.
#[derive(Debug)]
pub struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// One that is not set for anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// Ready once `deadline` has passed; who waits is woken then.
    pub fn poll(&mut self, deadline: Deadline, task: &mut Context<'_>) -> Poll<Elapsed> {
        if deadline.0 < self.0.deadline() {
            self.0.as_mut().reset(deadline.0);
        }
        // unconstrained: a task that always has something to do must be told all the same
        while pin!(unconstrained(self.0.as_mut())).poll(task).is_ready() {
            if self.0.deadline() >= deadline.0 {
                return Poll::Ready(Elapsed);
            }
            self.0.as_mut().reset(deadline.0);
        }
        Poll::Pending
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until it goes off for a deadline so many seconds away.
    async fn goes_off(alarm: &mut Alarm, seconds: u64) -> u64 {
        let (began, deadline) = (
            Instant::now(),
            Deadline::after(Duration::from_secs(seconds)),
        );
        poll_fn(|task| alarm.poll(deadline, task)).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_keeps_each_deadline_whatever_the_one_before_was() {
        let mut alarm = Alarm::new();
        for seconds in [3, 1, 10, 0, 2, 2] {
            assert_eq!(goes_off(&mut alarm, seconds).await, seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_leaves_an_alarm_that_still_works() {
        let mut alarm = Alarm::new();
        for (deadline, pause, next) in [(5, 1, 30), (30, 4, 1), (1, 7, 60)] {
            let given_up = Deadline::after(SECOND * deadline);
            poll_fn(|task| {
                assert!(alarm.poll(given_up, task).is_pending());
                Poll::Ready(())
            })
            .await;
            sleep(SECOND * pause).await;
            assert_eq!(goes_off(&mut alarm, next).await, next);
        }
    }
}

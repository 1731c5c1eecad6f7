//! When a request must be over.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

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

//! The only writer of an issuer's keys: when they are fetched.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{FetchError, Held, Keys, Published, Source, Version};
use crate::{
    model::{later, share},
    refresh::{self, Pace, Writer},
};

/// The task that keeps the keys. Dropping it ends the supply.
#[derive(Debug)]
pub struct Keeper<S> {
    source: S,
    /// The section of the configuration that the keys are for, for the log.
    section: &'static str,
    /// For one fetch.
    budget: Duration,
    writer: Writer<Held, Arc<FetchError>>,
}

/// Between two fetches while all is well.
const REFRESH: Duration = Duration::from_secs(3_600);
const PACE: Pace = Pace {
    last_retry: Duration::from_secs(60),
    forced: Duration::from_secs(30),
};

impl<S: Source> Keeper<S> {
    /// The task and its handle. One fetch may take `budget`.
    #[must_use]
    pub fn new(source: S, section: &'static str, budget: Duration) -> (Keys, Self) {
        let (writer, reader) = refresh::channel(PACE);
        let keeper = Self {
            source,
            section,
            budget,
            writer,
        };
        (Keys(reader), keeper)
    }

    /// Fetches, waits until the next fetch is due, and so on for ever.
    pub async fn run(mut self) {
        loop {
            let fetched = timeout(self.budget, self.source.fetch()).await;
            match fetched.unwrap_or(Err(FetchError::Timeout)) {
                Ok(published) => self.hold(published),
                Err(error) => self.keep(error),
            }
            self.writer.next(self.source.changed()).await;
        }
    }

    /// Keys that are as they were keep their version, and so all that was verified with them.
    fn hold(&mut self, published: Published) {
        let due = later(Instant::now(), share(REFRESH, 0.9, 1.0));
        let before = self.writer.state().held.clone();
        let version = before.as_ref().map_or(0, |held| held.version.0);
        let same = before.filter(|held| held.published.digest == published.digest);
        let held = same.unwrap_or_else(|| {
            let (of, count) = (self.section, published.count());
            tracing::info!(of, count, "keys to verify tokens with changed");
            Held {
                published: Arc::new(published),
                version: Version(version.saturating_add(1)),
            }
        });
        self.writer.hold(held, due);
    }

    /// After a failure: what is held stays as it is.
    fn keep(&mut self, error: FetchError) {
        let in_hand = self.writer.state().held.is_some();
        tracing::warn!(of = self.section, %error, in_hand, "keys to verify tokens with not renewed");
        self.writer.fail(Arc::new(error));
    }
}

//! The only writer of an issuer's keys: when they are fetched.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{FetchError, Held, Keys, Published, Source, State, Version};
use crate::model::{later, share};

/// The task that keeps the keys. Dropping it ends the supply.
#[derive(Debug)]
pub struct Keeper<S> {
    source: S,
    /// The section of the configuration that the keys are for, for the log.
    section: &'static str,
    /// For one fetch.
    budget: Duration,
    state: watch::Sender<State>,
    wanted: watch::Receiver<u64>,
    /// Failures since the last success.
    failures: u32,
}

/// Between two fetches while all is well.
const REFRESH: Duration = Duration::from_secs(3_600);
/// A failed fetch is tried again after this, growing,
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// to this while there are no keys, since requests wait for them,
const LAST_RETRY_WITHOUT: Duration = Duration::from_secs(5);
/// and to this while there are some.
const LAST_RETRY: Duration = Duration::from_secs(60);
/// Between two fetches that are forced by an unknown key.
const FORCED: Duration = Duration::from_secs(30);

impl<S: Source> Keeper<S> {
    /// The task and its handle. One fetch may take `budget`.
    #[must_use]
    pub fn new(source: S, section: &'static str, budget: Duration) -> (Keys, Self) {
        let now = Instant::now();
        let (state, states) = watch::channel(State {
            held: None,
            fetching: false,
            trouble: None,
            ended: 0,
            due: now,
            forced_again: now,
        });
        let (wanted, wants) = watch::channel(0);
        let keys = Keys {
            state: states,
            wanted,
        };
        let keeper = Self {
            source,
            section,
            budget,
            state,
            wanted: wants,
            failures: 0,
        };
        (keys, keeper)
    }

    /// Fetches, waits until the next fetch is due, and so on for ever.
    pub async fn run(mut self) {
        loop {
            self.state.send_modify(|state| state.fetching = true);
            let fetched = timeout(self.budget, self.source.fetch()).await;
            let due = match fetched.unwrap_or(Err(FetchError::Timeout)) {
                Ok(published) => self.hold(published),
                Err(error) => self.keep(error),
            };
            self.wait(due).await;
        }
    }

    fn hold(&mut self, published: Published) -> Instant {
        self.failures = 0;
        let due = later(Instant::now(), share(REFRESH, 0.9, 1.0));
        let count = published.count();
        let mut changed = false;
        self.state.send_modify(|state| {
            state.fetching = false;
            state.trouble = None;
            state.ended = state.ended.saturating_add(1);
            state.due = due;
            let before = state.held.as_ref();
            changed = before.is_none_or(|held| held.published.digest != published.digest);
            if changed {
                let version = before.map_or(0, |held| held.version.0);
                state.held = Some(Held {
                    published: Arc::new(published),
                    version: Version(version.saturating_add(1)),
                });
            }
        });
        if changed {
            tracing::info!(
                of = self.section,
                count,
                "keys to verify tokens with changed"
            );
        }
        due
    }

    /// After a failure: what is held stays as it is.
    fn keep(&mut self, error: FetchError) -> Instant {
        let in_hand = self.state.borrow().held.is_some();
        let last = if in_hand {
            LAST_RETRY
        } else {
            LAST_RETRY_WITHOUT
        };
        let pause = last.min(FIRST_RETRY.saturating_mul(1 << self.failures.min(8)));
        self.failures = self.failures.saturating_add(1);
        let due = later(Instant::now(), share(pause, 0.9, 1.1));
        tracing::warn!(of = self.section, %error, in_hand, "keys to verify tokens with not renewed");
        self.state.send_modify(|state| {
            state.fetching = false;
            state.trouble = Some(Arc::new(error));
            state.ended = state.ended.saturating_add(1);
            state.due = due;
        });
        due
    }

    /// Until the next fetch is due, the source has changed or an unknown key is asked for.
    async fn wait(&mut self, due: Instant) {
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.source.changed() => {}
            () = want(&mut self.wanted, &self.state) => {
                let again = later(Instant::now(), FORCED);
                self.state.send_modify(|state| {
                    state.forced_again = again;
                    // at once, or who asks in between would be told that no fetch is to come
                    state.fetching = true;
                });
            }
        }
    }
}

/// Ends when a fetch is wanted that has not ended yet.
async fn want(wanted: &mut watch::Receiver<u64>, state: &watch::Sender<State>) {
    while wanted.changed().await.is_ok() {
        let wanted = *wanted.borrow_and_update();
        let state = state.borrow();
        if wanted > state.ended && state.may_be_forced() {
            return;
        }
    }
    pending::<()>().await;
}

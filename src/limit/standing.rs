//! What an operator asks of the limits: what is left for an email, forgive it, drop what is over.

use std::{sync::Arc, time::Duration};

use governor::clock::Clock;

use super::{Limit, Limiter, StoreAway};
use crate::{
    model::{CanonicalEmail, Quota},
    route::Operation,
};

/// How long keys at rest may stay before they are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What one quota of a limit leaves to an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// Its quota.
    pub quota: Quota,
    /// Attempts left.
    pub remaining: u32,
    /// Until all are there again.
    pub whole_in: Duration,
}

impl<C: Clock> Limiter<C> {
    /// What is left for an email, by each quota of the limit `email`.
    ///
    /// # Errors
    /// [`StoreAway`] where the shared store has the counts and can't be asked.
    pub async fn standing(&self, email: &CanonicalEmail) -> Result<Vec<Standing>, StoreAway> {
        match &self.link {
            None => Ok(self.standing_here(email)),
            Some(link) => {
                let (now, times) = self.times_shared(link, email).await?;
                Ok(self.standings(now, &times))
            }
        }
    }

    pub(super) fn standing_here(&self, email: &CanonicalEmail) -> Vec<Standing> {
        let times = self.email.table.times(self.keys.email(email));
        self.standings(self.now(), &times)
    }

    fn standings(&self, now: u64, times: &[u64]) -> Vec<Standing> {
        let rates = self.email.rates.iter().zip(times);
        rates
            .map(|(rate, time)| Standing {
                limit: Limit::Email,
                quota: rate.quota,
                remaining: rate.remaining(*time, now),
                whole_in: Duration::from_nanos(time.saturating_sub(now)),
            })
            .collect()
    }

    /// Forgives an email: its own count and those together with any address. What it shares with
    /// others in a full table stays.
    ///
    /// # Errors
    /// [`StoreAway`] where the shared store can't be told; this replica has forgiven it then.
    pub async fn forgive(&self, email: &CanonicalEmail) -> Result<(), StoreAway> {
        let key = self.keys.email(email);
        self.email.table.clear(key);
        self.email_client.table.clear_head(key.head);
        match &self.link {
            None => Ok(()),
            Some(link) => {
                let email = [(Limit::Email, key)];
                self.clear_shared(link, Operation::Recover, &email).await
            }
        }
    }

    /// Removes what is at rest, a shard at a time; others run in between.
    pub async fn sweep(&self) {
        let shares = self
            .upstream_share
            .iter()
            .map(|(_operation, policy)| policy);
        for policy in self.many_keyed().into_iter().chain(shares) {
            for shard in 0..policy.table.shards() {
                policy.table.sweep(shard, self.now());
                tokio::task::yield_now().await;
            }
        }
        self.pauses.sweep(self.now());
        self.room.tell();
    }

    /// Sweeps once a minute.
    pub async fn sweep_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sweep().await;
        }
    }
}

//! The shared store: one count for all replicas, in Redis or Valkey.
//!
//! The arithmetic is the memory store's, to the microsecond, by the server's clock. Keys are
//! keyed hashes; each ends by itself once it is at rest. On one server a decision is one call, all
//! limits or none. In a cluster it is one call a limit, and what earlier limits took is given back
//! when a later one refuses.
//!
//! Where the store is away, `on_store_failure` decides. With `local` the memory store goes on from
//! what this replica has last seen of each key; what was counted so is not carried back.

mod calls;
mod connect;
mod link;
mod scripts;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use governor::clock::Clock;

use super::{
    Attempt, Charge, Denied, Limit, Limiter,
    gcra::{MOST_QUOTAS, Rate},
    key::Key,
    outcome::Decision,
    pause,
    policy::Policy,
};
use crate::{
    config::{Mode, OnStoreFailure},
    model::CanonicalEmail,
    route::Operation,
};
use calls::receipts;
use scripts::{Answer, Ask, Charged, Pause, Said};

pub use calls::StoreLink;
pub use connect::TlsError;
pub use link::{StoreAway, StoreState};
pub(super) use scripts::Receipt;

impl<C: Clock> Limiter<C> {
    /// [`Limiter::admit`], by the shared store.
    pub(super) async fn admit_shared(
        self: &Arc<Self>,
        link: &StoreLink,
        attempt: &Attempt<'_>,
    ) -> Result<Box<Charge<C>>, Denied> {
        let operation = attempt.operation;
        let mut charge = Charge::new(self, attempt);
        let enforce = self.pause_mode(operation) == Mode::Enforce;
        let paused = self.paused(attempt, self.now());
        match paused {
            Some(left) if enforce => {
                return Err(self.refuse_paused(operation, left, &charge).into());
            }
            Some(_observed) => charge.observed(Limit::Upstream),
            None => {}
        }
        let asked: Vec<_> = self
            .asks(attempt, paused.is_some())
            .into_iter()
            .flatten()
            .collect();
        if asked.is_empty() {
            return Ok(charge);
        }
        let pause = paused.is_none().then(|| Pause {
            name: self.pause_name(link, attempt),
            enforce,
        });
        let asks: Arc<[Ask]> = asked
            .iter()
            .map(|(policy, key)| ask(link, operation, policy, *key))
            .collect();
        match link.charge(pause, &asks).await {
            Ok(charged) => self.conclude(attempt, &asked, &asks, &charged, charge),
            Err(away) => match self.on_store_failure {
                OnStoreFailure::Local => Ok(self.admit_here(attempt)?),
                OnStoreFailure::Deny
                    if asked.iter().any(|(policy, _)| policy.mode == Mode::Enforce) =>
                {
                    Err(away.into())
                }
                OnStoreFailure::Allow | OnStoreFailure::Deny => Ok(charge),
            },
        }
    }

    /// What the store's answer means.
    fn conclude(
        self: &Arc<Self>,
        attempt: &Attempt<'_>,
        asked: &[(&Policy, Key)],
        asks: &[Ask],
        charged: &Charged,
        mut charge: Box<Charge<C>>,
    ) -> Result<Box<Charge<C>>, Denied> {
        if charged.paused > 0 {
            let left = Duration::from_millis(charged.paused);
            self.pause_here(attempt.operation, attempt.client.sent(), left);
            if self.pause_mode(attempt.operation) == Mode::Enforce {
                return Err(self.refuse_paused(attempt.operation, left, &charge).into());
            }
            charge.observed(Limit::Upstream);
        }
        for ((policy, key), answer) in asked.iter().zip(&charged.answers) {
            self.mirror(policy, *key, answer);
            match answer.said {
                Said::Skipped => {}
                Said::Yes => {
                    let remaining = remaining(&policy.rates, answer);
                    charge.add(policy.limit, *key, Decision::Admitted, remaining, None);
                }
                Said::Observed => charge.add(policy.limit, *key, Decision::Observed, 0, None),
                Said::No => {
                    let wait = Duration::from_micros(charged.wait);
                    return Err(Self::refuse(policy.limit, Some(policy), wait, &charge).into());
                }
            }
        }
        charge.shared = receipts(asks, charged);
        Ok(charge)
    }

    /// The memory store remembers what was seen of a key, to go on from there without the store.
    fn mirror(&self, policy: &Policy, key: Key, answer: &Answer) {
        if self.on_store_failure == OnStoreFailure::Local && answer.said != Said::Skipped {
            let here = self.now();
            let times = answer.times.map(|time| {
                let left = time.saturating_sub(answer.at).saturating_mul(1_000);
                here.saturating_add(left)
            });
            policy.table.mirror(key, &times, here);
        }
    }

    fn pause_name(&self, link: &StoreLink, attempt: &Attempt<'_>) -> String {
        let key = pause::key(&self.keys, attempt.operation, attempt.client.sent());
        words(link, "pause", key)
    }

    /// Gives back what a charge took in the store.
    pub(super) async fn give_back_shared(&self, receipts: &[Receipt]) {
        if let Some(link) = self.link.as_ref().filter(|_link| !receipts.is_empty()) {
            link.give_back(receipts).await;
        }
    }

    /// Clears keys in the store, and with an email's its counts together with any address. Those
    /// are in keys that nobody has a list of; they end by a new generation, of which each charge
    /// of theirs asks.
    pub(super) async fn clear_shared(
        &self,
        link: &StoreLink,
        operation: Operation,
        keys: &[(Limit, Key)],
    ) -> Result<(), StoreAway> {
        if keys.is_empty() {
            return Ok(());
        }
        let email = keys.iter().find(|(limit, _key)| limit.is_of_email());
        if let Some((_limit, key)) = email {
            let rates = self.email_client.rates.iter();
            let longest = rates.map(|rate| rate.full / 1_000_000).max();
            let live = longest.unwrap_or(0).saturating_add(60_000);
            link.begin(&generation(link, *key), live).await?;
        }
        let names: Vec<_> = keys
            .iter()
            .map(|(limit, key)| name(link, *limit, operation, *key))
            .collect();
        link.clear(&names).await
    }

    /// Tells the other replicas of a pause.
    pub(super) async fn pause_shared(
        &self,
        operation: Operation,
        client: Option<std::net::IpAddr>,
        wait: Duration,
    ) {
        let Some(link) = &self.link else { return };
        let name = words(link, "pause", pause::key(&self.keys, operation, client));
        let millis = u64::try_from(pause::length(wait).as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = link.pause(&name, millis).await {
            tracing::debug!(%error, "the other replicas don't know of the vendor's pause");
        }
    }

    /// Now and the times of an email, in nanoseconds of the server's clock.
    pub(super) async fn times_shared(
        &self,
        link: &StoreLink,
        email: &CanonicalEmail,
    ) -> Result<(u64, [u64; MOST_QUOTAS]), StoreAway> {
        let name = name(
            link,
            Limit::Email,
            Operation::Recover,
            self.keys.email(email),
        );
        let (now, times) = link.standing(&name, &self.email.rates).await?;
        let nanos = |micros: u64| micros.saturating_mul(1_000);
        Ok((nanos(now), times.map(nanos)))
    }
}

fn ask(link: &StoreLink, operation: Operation, policy: &Policy, key: Key) -> Ask {
    Ask {
        name: name(link, policy.limit, operation, key),
        generation: (policy.limit == Limit::EmailClient).then(|| generation(link, key)),
        unless_paused: matches!(policy.limit, Limit::Upstream | Limit::UpstreamShare),
        enforce: policy.mode == Mode::Enforce,
        rates: Arc::clone(&policy.rates),
    }
}

/// The part in braces alone decides a key's place in a cluster: all that is counted of one email is
/// in one place.
fn words(link: &StoreLink, what: &str, key: Key) -> String {
    let (prefix, Key { head, tail }) = (link.prefix(), key);
    format!("{prefix}:{what}:{{{head:016x}}}{tail:08x}")
}

fn name(link: &StoreLink, limit: Limit, operation: Operation, key: Key) -> String {
    let what = limit.as_str();
    match limit {
        Limit::Upstream | Limit::UpstreamShare => {
            words(link, &format!("{what}:{}", operation.name()), key)
        }
        Limit::Client | Limit::Code | Limit::Email | Limit::EmailClient | Limit::Send => {
            words(link, what, key)
        }
    }
}

/// Where it is told that an email was forgiven.
fn generation(link: &StoreLink, key: Key) -> String {
    words(link, "forgiven", Key { tail: 0, ..key })
}

fn remaining(rates: &[Rate], answer: &Answer) -> u32 {
    let left = rates.iter().zip(answer.times).map(|(rate, time)| {
        rate.remaining(time.saturating_mul(1_000), answer.at.saturating_mul(1_000))
    });
    left.min().unwrap_or(u32::MAX)
}

//! How often may something be tried? Counts attempts by email, address, user, device, phone number
//! and operation, and says no when a quota is used up.
//!
//! Promises: all quotas of all limits that count an attempt are charged, or none; N attempts
//! at the same instant never let more through than the quota; concurrent attempts may be refused
//! that a serial order would admit, never the reverse. In memory nothing waits, and no lock is held
//! for longer than one decision or one step of the sweep; in the shared store a decision takes one
//! round trip, at most `limits.redis.timeout`. A limit that only observes says what it would have
//! refused and lets it through.
//!
//! Left to others: parsing emails, answering 429, writing decisions to metrics and the audit log,
//! and running [`Limiter::sweep_forever`].

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use governor::clock::{Clock, DefaultClock, Reference};

use crate::{
    config::{self, Limits, Mode, OnStoreFailure},
    model::{CanonicalEmail, EmailError, Subaddress},
    route::Operation,
};

mod asks;
mod gcra;
mod key;
mod life;
mod outcome;
mod pause;
mod policy;
mod room;
mod shard;
mod shared;
mod standing;
mod table;
#[cfg(test)]
mod tests;

use asks::shares;
use pause::Pauses;
use policy::Policy;
use room::Room;

pub use asks::{Attempt, ClientAddress};
pub use gcra::MOST_QUOTAS;
pub use key::{HashKey, NoRandomness};
pub use outcome::{Charge, Decision, Decisions, Denied, Refusal};
pub use shared::{StoreAway, StoreLink, StoreState, TlsError};
pub use standing::Standing;

/// A limit, by what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Recovery attempts by the user's address.
    Client,
    /// Guesses of a one-time code.
    Code,
    /// Recovery attempts by email.
    Email,
    /// Recovery attempts by email and the user's address together.
    EmailClient,
    /// Codes that are sent.
    Send,
    /// The vendor's own limits on our address.
    Upstream,
    /// One caller's share of that.
    UpstreamShare,
}

impl Limit {
    /// Its name in the configuration, metrics, headers and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Code => "code",
            Self::Email => "email",
            Self::EmailClient => "email_client",
            Self::Send => "send",
            Self::Upstream => "upstream",
            Self::UpstreamShare => "upstream_share",
        }
    }

    /// Whether an email is what it counts, alone or with an address. Their keys share its head.
    const fn is_of_email(self) -> bool {
        matches!(self, Self::Email | Self::EmailClient)
    }
}

/// These limits can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// More quotas than an entry has room for.
    #[error("limits.{}: at most {MOST_QUOTAS} quotas, take one out", .0.as_str())]
    Quotas(Limit),
}

/// All limits, and what they have counted. Other quotas make another limiter, see
/// [`Limiter::reload`]; whoever holds this one finishes with it. Clones share what is counted.
#[derive(Clone)]
pub struct Limiter<C: Clock = DefaultClock> {
    client: Policy,
    code: Policy,
    email: Policy,
    email_client: Policy,
    send: Policy,
    upstream: Vec<(Operation, Policy)>,
    /// By operation that several callers may use.
    upstream_share: Vec<(Operation, Policy)>,
    /// The way to the shared store; `None`: attempts are counted here alone.
    link: Option<StoreLink>,
    on_store_failure: OnStoreFailure,
    pauses: Arc<Pauses>,
    room: Arc<Room>,
    subaddress: Subaddress,
    keys: HashKey,
    clock: C,
    start: C::Instant,
}

impl<C: Clock> fmt::Debug for Limiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

impl<C: Clock> Limiter<C> {
    /// Starts with nothing counted, in memory alone: see [`Limiter::through`].
    ///
    /// # Errors
    /// [`LimitsError`] where a limit can't be kept.
    pub fn new(settings: &Limits, keys: HashKey, clock: C) -> Result<Self, LimitsError> {
        let room = Arc::new(Room::new(settings.max_keys.get()));
        let policy = |limit, settings: &config::Policy| Policy::new(limit, settings, &room);
        let upstream = |(operation, settings): &(Operation, _)| {
            Ok((*operation, Policy::of_one(Limit::Upstream, settings)?))
        };
        Ok(Self {
            client: policy(Limit::Client, &settings.client)?,
            code: policy(Limit::Code, &settings.code)?,
            email: policy(Limit::Email, &settings.email)?,
            email_client: policy(Limit::EmailClient, &settings.email_client)?,
            send: policy(Limit::Send, &settings.send)?,
            upstream: settings
                .upstream
                .iter()
                .map(upstream)
                .collect::<Result<_, _>>()?,
            upstream_share: shares(settings)
                .map(|(operation, share)| Ok((operation, policy(Limit::UpstreamShare, &share)?)))
                .collect::<Result<_, _>>()?,
            link: None,
            on_store_failure: on_store_failure(settings),
            pauses: Arc::default(),
            room,
            subaddress: Subaddress::fold_if(settings.fold_subaddress),
            keys,
            start: clock.now(),
            clock,
        })
    }

    /// A limiter with other quotas and the same counts. What belongs to the store stays as it was
    /// at start: `max_keys`, the key of the hashes, pauses.
    ///
    /// # Errors
    /// [`LimitsError`] where a limit can't be kept.
    pub fn reload(&self, settings: &Limits) -> Result<Self, LimitsError>
    where
        C: Clone,
    {
        let now = self.now();
        let upstream = |(operation, settings): &(Operation, _)| {
            let policy = match self.policy(Limit::Upstream, *operation) {
                Some(policy) => policy.reload(settings, now)?,
                None => Policy::of_one(Limit::Upstream, settings)?,
            };
            Ok((*operation, policy))
        };
        let share = |(operation, settings)| {
            let policy = match self.policy(Limit::UpstreamShare, operation) {
                Some(policy) => policy.reload(&settings, now)?,
                None => Policy::new(Limit::UpstreamShare, &settings, &self.room)?,
            };
            Ok((operation, policy))
        };
        Ok(Self {
            client: self.client.reload(&settings.client, now)?,
            code: self.code.reload(&settings.code, now)?,
            email: self.email.reload(&settings.email, now)?,
            email_client: self.email_client.reload(&settings.email_client, now)?,
            send: self.send.reload(&settings.send, now)?,
            upstream: settings
                .upstream
                .iter()
                .map(upstream)
                .collect::<Result<_, _>>()?,
            upstream_share: shares(settings).map(share).collect::<Result<_, _>>()?,
            link: self.link.clone(),
            on_store_failure: on_store_failure(settings),
            pauses: Arc::clone(&self.pauses),
            room: Arc::clone(&self.room),
            subaddress: Subaddress::fold_if(settings.fold_subaddress),
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            start: self.start,
        })
    }

    /// The same limiter, counting in the shared store at the other end of `link`: each thread has
    /// its own way there.
    #[must_use]
    pub fn through(&self, link: Option<StoreLink>) -> Self
    where
        C: Clone,
    {
        Self {
            link,
            ..self.clone()
        }
    }

    /// The way to the shared store, if there is one.
    #[must_use]
    pub const fn link(&self) -> Option<&StoreLink> {
        self.link.as_ref()
    }

    /// Charges one attempt to all limits that count it. The email comes first and what all share
    /// comes last, so that guesses at a used-up email end at its own lock.
    ///
    /// An attempt that no limit counts doesn't ask the shared store: a pause of such an operation
    /// is each replica's own.
    ///
    /// # Errors
    /// [`Denied`] by the first limit that says no, and nothing is used up then; or as the shared
    /// store is away.
    pub async fn admit(self: &Arc<Self>, attempt: &Attempt<'_>) -> Result<Box<Charge<C>>, Denied> {
        match &self.link {
            None => Ok(self.admit_here(attempt)?),
            Some(link) => Box::pin(self.admit_shared(link, attempt)).await,
        }
    }

    /// By the memory store.
    fn admit_here(self: &Arc<Self>, attempt: &Attempt<'_>) -> Result<Box<Charge<C>>, Box<Refusal>> {
        let now = self.now();
        let mut charge = Charge::new(self, attempt);
        let paused = self.paused(attempt, now);
        match paused {
            Some(left) if self.pause_mode(attempt.operation) == Mode::Enforce => {
                return Err(self.refuse_paused(attempt.operation, left, &charge));
            }
            Some(_observed) => charge.observed(Limit::Upstream),
            None => {}
        }
        for (policy, key) in self.asks(attempt, paused.is_some()).into_iter().flatten() {
            match policy.charge(key, now) {
                Ok(taken) => {
                    let left = taken.charged.remaining;
                    charge.add(policy.limit, key, Decision::Admitted, left, Some(taken));
                }
                Err(retry_after) => match policy.mode {
                    Mode::Enforce => {
                        let limit = policy.limit;
                        return Err(Self::refuse(limit, Some(policy), retry_after, &charge));
                    }
                    Mode::Observe => charge.add(policy.limit, key, Decision::Observed, 0, None),
                },
            }
        }
        Ok(charge)
    }

    /// See [`Charge::pause`]. All replicas that share a store pause.
    async fn pause(&self, operation: Operation, sent_client: Option<IpAddr>, wait: Duration) {
        self.pause_here(operation, sent_client, wait);
        if self.link.is_some() {
            Box::pin(self.pause_shared(operation, sent_client, wait)).await;
        }
    }

    fn pause_here(&self, operation: Operation, sent_client: Option<IpAddr>, wait: Duration) {
        let now = self.now();
        self.pauses
            .pause(&self.keys, operation, sent_client, wait, now);
    }

    /// The email under which `text` is counted.
    ///
    /// # Errors
    /// [`EmailError`] where it is none, or could be read in two ways.
    pub fn canonical(&self, text: &str) -> Result<CanonicalEmail, EmailError> {
        CanonicalEmail::parse(text, self.subaddress)
    }

    /// How many keys are counted now, over all limits.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.room.keys()
    }

    const fn many_keyed(&self) -> [&Policy; 5] {
        [
            &self.client,
            &self.code,
            &self.email,
            &self.email_client,
            &self.send,
        ]
    }

    fn paused(&self, attempt: &Attempt<'_>, now: u64) -> Option<Duration> {
        self.pauses
            .left(&self.keys, attempt.operation, attempt.client.sent(), now)
    }

    /// A pause refuses where the operation's own limit would, else where any limit does: with
    /// all of them observing nothing is refused.
    fn pause_mode(&self, operation: Operation) -> Mode {
        if let Some(policy) = self.policy(Limit::Upstream, operation) {
            return policy.mode;
        }
        let enforced = self
            .many_keyed()
            .iter()
            .any(|policy| policy.mode == Mode::Enforce);
        if enforced {
            Mode::Enforce
        } else {
            Mode::Observe
        }
    }

    fn refuse_paused(
        &self,
        operation: Operation,
        left: Duration,
        charge: &Charge<C>,
    ) -> Box<Refusal> {
        let policy = self.policy(Limit::Upstream, operation);
        Self::refuse(Limit::Upstream, policy, left, charge)
    }

    /// What was charged by then is given back. A pause needs no policy.
    fn refuse(
        limit: Limit,
        policy: Option<&Policy>,
        retry_after: Duration,
        charge: &Charge<C>,
    ) -> Box<Refusal> {
        let mut decisions = *charge.decisions();
        decisions.add(limit, Decision::Refused);
        charge.give_back_here();
        Box::new(Refusal {
            limit,
            retry_after,
            announced: policy.and_then(|policy| policy.announced.clone()),
            decisions,
        })
    }

    fn policy(&self, limit: Limit, operation: Operation) -> Option<&Policy> {
        match limit {
            Limit::Client => Some(&self.client),
            Limit::Code => Some(&self.code),
            Limit::Email => Some(&self.email),
            Limit::EmailClient => Some(&self.email_client),
            Limit::Send => Some(&self.send),
            Limit::Upstream => named(&self.upstream, operation),
            Limit::UpstreamShare => named(&self.upstream_share, operation),
        }
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }
}

fn named(policies: &[(Operation, Policy)], operation: Operation) -> Option<&Policy> {
    policies
        .iter()
        .find_map(|(named, policy)| (*named == operation).then_some(policy))
}

fn on_store_failure(settings: &Limits) -> OnStoreFailure {
    match &settings.store {
        config::Store::Memory => OnStoreFailure::Local,
        config::Store::Shared(store) => store.on_failure,
    }
}

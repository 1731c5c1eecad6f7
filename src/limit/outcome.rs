//! What became of an attempt: a [`Charge`] that says what it took, or a [`Refusal`].

use std::{fmt, sync::Arc, time::Duration};

use governor::clock::{Clock, DefaultClock};
use http::{HeaderName, HeaderValue, header::RETRY_AFTER};

use super::{
    Attempt, ClientAddress, Limit, Limiter,
    key::Key,
    shared::{Receipt, StoreAway},
    table::Taken,
};
use crate::{event::LimitNote, model::whole_seconds, route::Operation};

/// At most so many limits are asked of one attempt: email, email_client, client, upstream_share and
/// upstream.
pub(super) const MOST_ASKED: usize = 5;

/// What one limit said, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Yes.
    Admitted,
    /// It would have said no, but only observes.
    Observed,
    /// No.
    Refused,
}

impl Decision {
    /// As a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Observed => "observed",
            Self::Refused => "refused",
        }
    }
}

/// What each limit said that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions([Option<(Limit, Decision)>; MOST_ASKED]);

impl Decisions {
    /// One after the other, in the order in which they were asked.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, Decision)> {
        self.0.into_iter().flatten()
    }

    pub(super) fn add(&mut self, limit: Limit, decision: Decision) {
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((limit, decision));
        }
    }
}

/// One limit that was asked, and what it took from the memory store: nothing where it would have
/// refused, or where the shared store has decided.
#[derive(Clone, Copy, Debug)]
struct Asked {
    limit: Limit,
    key: Key,
    taken: Option<Taken>,
}

/// The right to one attempt, and the receipt for what it took. Dropped, the attempt stays
/// counted: that is how it should be when nobody can say what became of it.
///
/// Boxed, as it is handed on from future to future, and half a kilobyte long.
#[must_use]
pub struct Charge<C: Clock = DefaultClock> {
    limiter: Arc<Limiter<C>>,
    operation: Operation,
    client: ClientAddress,
    asked: [Option<Asked>; MOST_ASKED],
    decisions: Decisions,
    note: Option<LimitNote>,
    /// What it took from the shared store.
    pub(super) shared: Vec<Receipt>,
}

impl<C: Clock> Charge<C> {
    pub(super) fn new(limiter: &Arc<Limiter<C>>, attempt: &Attempt<'_>) -> Box<Self> {
        Box::new(Self {
            limiter: Arc::clone(limiter),
            operation: attempt.operation,
            client: attempt.client,
            asked: [None; MOST_ASKED],
            decisions: Decisions::default(),
            note: None,
            shared: Vec::new(),
        })
    }

    /// Notes what a limit said, has left, and took from the memory store.
    pub(super) fn add(
        &mut self,
        limit: Limit,
        key: Key,
        decision: Decision,
        remaining: u32,
        taken: Option<Taken>,
    ) {
        self.said(limit, decision, remaining);
        if let Some(free) = self.asked.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(Asked { limit, key, taken });
        }
    }

    /// Notes that a pause would have refused it.
    pub(super) fn observed(&mut self, limit: Limit) {
        self.said(limit, Decision::Observed, 0);
    }

    fn said(&mut self, limit: Limit, decision: Decision, remaining: u32) {
        self.decisions.add(limit, decision);
        let note = LimitNote {
            name: limit.as_str(),
            remaining,
            would_refuse: decision == Decision::Observed,
        };
        // what would have refused has less than nothing left
        let left = |note: LimitNote| (!note.would_refuse, note.remaining);
        if self.note.is_none_or(|least| left(note) < left(least)) {
            self.note = Some(note);
        }
    }

    /// The first limit that would have refused it, else the one with the least left; `None` where
    /// none was asked.
    #[must_use]
    pub const fn note(&self) -> Option<LimitNote> {
        self.note
    }

    /// What each limit said.
    #[must_use]
    pub const fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// No byte of it left: all that it took is given back.
    pub async fn give_back(self: Box<Self>) {
        self.give_back_here();
        if !self.shared.is_empty() {
            Box::pin(self.limiter.give_back_shared(&self.shared)).await;
        }
    }

    pub(super) fn give_back_here(&self) {
        let now = self.limiter.now();
        for asked in self.asked.iter().flatten() {
            self.give_one_back(asked, now);
        }
    }

    /// The vendor accepted it (2xx). A recovery clears the email's counts, by itself and together
    /// with any address; a code clears its own count. Nothing else is given back.
    pub async fn accepted(self: Box<Self>) {
        self.accepted_here();
        let Some(link) = &self.limiter.link else {
            return;
        };
        let keys: Vec<_> = self
            .cleared()
            .map(|asked| (asked.limit, asked.key))
            .collect();
        let clearing = self.limiter.clear_shared(link, self.operation, &keys);
        if let Err(error) = Box::pin(clearing).await {
            tracing::debug!(%error, "what was to be forgiven stays counted");
        }
    }

    /// The vendor refused for its own limit and said to come again after `wait`: pauses what it
    /// counted, that address if it was sent, else the whole operation. At least 1 s, at most 5 min.
    pub async fn pause(self: Box<Self>, wait: Duration) {
        let (operation, sent) = (self.operation, self.client.sent());
        self.limiter.pause(operation, sent, wait).await;
    }

    pub(super) fn accepted_here(&self) {
        let now = self.limiter.now();
        for asked in self.cleared() {
            // first, as a bucket that is shared with others can't be cleared
            self.give_one_back(asked, now);
            if let Some(policy) = self.limiter.policy(asked.limit, self.operation) {
                policy.table.clear(asked.key);
            }
        }
        let email = self.cleared().find(|asked| asked.limit.is_of_email());
        if let Some(email) = email {
            self.limiter.email_client.table.clear_head(email.key.head);
        }
    }

    /// What a success puts to rest.
    fn cleared(&self) -> impl Iterator<Item = &Asked> {
        self.asked
            .iter()
            .flatten()
            .filter(|asked| match asked.limit {
                Limit::Code | Limit::Email | Limit::EmailClient => true,
                Limit::Client | Limit::Send | Limit::Upstream | Limit::UpstreamShare => false,
            })
    }

    fn give_one_back(&self, asked: &Asked, now: u64) {
        let policy = self.limiter.policy(asked.limit, self.operation);
        if let (Some(policy), Some(taken)) = (policy, &asked.taken) {
            policy.give_back(asked.key, taken, now);
        }
    }
}

impl<C: Clock> fmt::Debug for Charge<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Charge")
            .field("operation", &self.operation)
            .field("decisions", &self.decisions)
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

/// Why an attempt isn't let through.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Denied {
    /// A limit is used up.
    #[error(transparent)]
    Limit(#[from] Box<Refusal>),
    /// The shared store is away, and `on_store_failure` is `deny`. Whether the attempt was counted
    /// is not known.
    #[error(transparent)]
    Store(#[from] StoreAway),
}

/// No. The attempt has used up nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("limit {} is used up, again in {:?}", .limit.as_str(), .retry_after)]
pub struct Refusal {
    pub(super) limit: Limit,
    pub(super) retry_after: Duration,
    pub(super) announced: Option<HeaderValue>,
    pub(super) decisions: Decisions,
}

impl Refusal {
    /// Which limit said no.
    #[must_use]
    pub const fn limit(&self) -> Limit {
        self.limit
    }

    /// When it would say yes, if nothing else came.
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// For the audit log.
    #[must_use]
    pub const fn note(&self) -> LimitNote {
        LimitNote {
            name: self.limit.as_str(),
            remaining: 0,
            would_refuse: false,
        }
    }

    /// What each limit said; the last one said no.
    #[must_use]
    pub const fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// What goes with a `429`: `Retry-After` (RFC 9110), `RateLimit-Policy` and `RateLimit`
    /// (draft-ietf-httpapi-ratelimit-headers), times in whole seconds, rounded up. Where no quota
    /// was used up, but the vendor asked for a pause, `Retry-After` alone.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let name = self.limit.as_str();
        let wait = whole_seconds(self.retry_after);
        // a name and a number are always a header's value
        let limit = ["\"", name, "\";r=0;t=", itoa::Buffer::new().format(wait)].concat();
        let limit = HeaderValue::try_from(limit).ok();
        let policy = self.announced.clone();
        let limit = limit.filter(|_limit| policy.is_some());
        [
            Some((RETRY_AFTER, HeaderValue::from(wait))),
            policy.map(|policy| (POLICY, policy)),
            limit.map(|limit| (LIMIT, limit)),
        ]
        .into_iter()
        .flatten()
    }
}

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

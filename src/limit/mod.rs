//! How often may something be tried? Counts attempts by email, address, user, device, phone number
//! and operation, and says no when a quota is used up.
//!
//! Promises: all quotas of all limits that count an attempt are charged, or none; N attempts
//! at the same instant never let more through than the quota; concurrent attempts may be refused
//! that a serial order would admit, never the reverse. Nothing here waits, and no lock is held for
//! longer than one decision or one step of the sweep. A limit that only observes says what it would
//! have refused and lets it through.
//!
//! Left to others: parsing emails, answering 429, writing decisions to metrics and the audit log,
//! and running [`Limiter::sweep_forever`].

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use governor::clock::{Clock, DefaultClock, Reference};

use crate::{
    config::{Limits, Mode},
    model::{CanonicalEmail, UserId},
    route::{Counted, Operation},
};

mod gcra;
mod key;
mod outcome;
mod pause;
mod policy;
mod room;
mod standing;
mod table;
#[cfg(test)]
mod tests;

use key::Key;
use outcome::MOST_ASKED;
use pause::Pauses;
use policy::{Answer, Policy};
use room::Room;

pub use gcra::MOST_QUOTAS;
pub use key::{HashKey, NoRandomness};
pub use outcome::{Charge, Decision, Decisions, Refusal};
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
        }
    }
}

/// These limits can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// More quotas than an entry has room for.
    #[error("limits.{}: at most {MOST_QUOTAS} quotas, take one out", .0.as_str())]
    Quotas(Limit),
}

/// One request, as far as it matters to limits.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What it is for.
    pub operation: Operation,
    /// The account to be recovered.
    pub email: Option<&'a CanonicalEmail>,
    /// The user's address, where it is known.
    pub client: Option<IpAddr>,
    /// The path's device.
    pub device: Option<&'a str>,
    /// On whose behalf.
    pub user: Option<&'a UserId>,
    /// The login's `mfaToken`.
    pub login_token: Option<&'a str>,
    /// The number to which a code would be sent.
    pub phone: Option<&'a str>,
    /// Whether the vendor is told the user's address, and so counts that instead of ours.
    pub address_sent: bool,
}

/// All limits, and what they have counted. Other quotas make another limiter, see
/// [`Limiter::reload`]; whoever holds this one finishes with it.
pub struct Limiter<C: Clock = DefaultClock> {
    client: Policy,
    code: Policy,
    email: Policy,
    email_client: Policy,
    send: Policy,
    upstream: Vec<(Operation, Policy)>,
    pauses: Arc<Pauses>,
    room: Arc<Room>,
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
    /// Starts with nothing counted.
    ///
    /// # Errors
    /// [`LimitsError`] where a limit can't be kept.
    pub fn new(settings: &Limits, keys: HashKey, clock: C) -> Result<Self, LimitsError> {
        let room = Arc::new(Room::new(settings.max_keys.get()));
        let policy = |limit, settings| Policy::new(limit, settings, &room);
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
            pauses: Arc::default(),
            room,
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
            pauses: Arc::clone(&self.pauses),
            room: Arc::clone(&self.room),
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            start: self.start,
        })
    }

    /// Charges one attempt to all limits that count it. The email comes first and what all share
    /// comes last, so that guesses at a used-up email end at its own lock.
    ///
    /// # Errors
    /// [`Refusal`] by the first limit that says no; nothing is used up then.
    pub fn admit(self: &Arc<Self>, attempt: &Attempt<'_>) -> Result<Charge<C>, Refusal> {
        let now = self.now();
        let mut charge = Charge::new(self, attempt.operation);
        let paused = self.paused(attempt, now);
        match paused {
            Some(left) if self.pause_mode(attempt.operation) == Mode::Enforce => {
                return Err(self.refuse_paused(attempt.operation, left, charge));
            }
            Some(_observed) => charge.observed(Limit::Upstream),
            None => {}
        }
        for (policy, key) in self.asks(attempt, paused.is_some()).into_iter().flatten() {
            match policy.charge(key, now) {
                Answer::Admitted(taken) => {
                    charge.add(policy.limit, key, Decision::Admitted, Some(taken));
                }
                Answer::Refused { retry_after } => match policy.mode {
                    Mode::Enforce => return Err(Self::refuse(policy, retry_after, charge)),
                    Mode::Observe => charge.add(policy.limit, key, Decision::Observed, None),
                },
            }
        }
        Ok(charge)
    }

    /// The vendor refused for its own limit and said to come again after `wait`: pauses what it
    /// counted, that address if it was sent, else the whole operation. At least 1 s, at most 5 min.
    pub fn pause(&self, operation: Operation, sent_client: Option<IpAddr>, wait: Duration) {
        let now = self.now();
        self.pauses
            .pause(&self.keys, operation, sent_client, wait, now);
    }

    /// How many keys are counted now, over all limits.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.room.keys()
    }

    /// How many attempts were counted in shared buckets so far, as there was no room for their key.
    #[must_use]
    pub fn shared_attempts(&self) -> usize {
        self.room.shared()
    }

    /// Which limits count an attempt, under which key, in this order.
    fn asks(&self, attempt: &Attempt<'_>, paused: bool) -> [Option<(&Policy, Key)>; MOST_ASKED] {
        let upstream = self
            .policy(Limit::Upstream, attempt.operation)
            .filter(|_policy| !attempt.address_sent && !paused)
            .map(|policy| (policy, Key::ONLY));
        let asks = match attempt.operation.facts().counted {
            Counted::Code => [
                Some((&self.code, self.guessed(attempt))),
                upstream,
                None,
                None,
            ],
            Counted::Nothing => [upstream, None, None, None],
            Counted::Recovery => {
                // SECURITY: without an email (the route demands one) all count as one account
                let email = attempt
                    .email
                    .map_or(Key::ONLY, |email| self.keys.email(email));
                let client = attempt.client.map(|client| self.keys.client(client));
                let pair = client.map(|client| Key::of_pair(email, client));
                [
                    Some((&self.email, email)),
                    pair.map(|pair| (&self.email_client, pair)),
                    client.map(|client| (&self.client, client)),
                    upstream,
                ]
            }
            Counted::Send => [
                Some((&self.send, self.sent_to(attempt))),
                upstream,
                None,
                None,
            ],
        };
        asks.map(|ask| ask.filter(|(policy, _key)| !policy.rates.is_empty()))
    }

    /// Whose code is guessed: the device's, else the user's, else the login's.
    fn guessed(&self, attempt: &Attempt<'_>) -> Key {
        let limit = Limit::Code.as_str();
        if let Some(device) = attempt.device {
            self.keys.hash(limit, &[b"device\0", device.as_bytes()])
        } else if let Some(user) = attempt.user {
            self.keys
                .hash(limit, &[b"user\0", user.as_str().as_bytes()])
        } else {
            let login = attempt.login_token.unwrap_or_default();
            self.keys.hash(limit, &[b"login\0", login.as_bytes()])
        }
    }

    /// To whom a code is sent: the device, else the user, else the number, else whoever logs in.
    fn sent_to(&self, attempt: &Attempt<'_>) -> Key {
        let limit = Limit::Send.as_str();
        if let Some(device) = attempt.device {
            self.keys.hash(limit, &[b"device\0", device.as_bytes()])
        } else if let Some(user) = attempt.user {
            self.keys
                .hash(limit, &[b"user\0", user.as_str().as_bytes()])
        } else if let Some(phone) = attempt.phone {
            // one number however it is grouped
            let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
            self.keys.hash(limit, &[b"phone\0", digits.as_bytes()])
        } else {
            let login = attempt.login_token.unwrap_or_default();
            self.keys.hash(limit, &[b"login\0", login.as_bytes()])
        }
    }

    fn paused(&self, attempt: &Attempt<'_>, now: u64) -> Option<Duration> {
        let client = attempt.client.filter(|_client| attempt.address_sent);
        self.pauses.left(&self.keys, attempt.operation, client, now)
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

    fn refuse_paused(&self, operation: Operation, left: Duration, charge: Charge<C>) -> Refusal {
        let mut decisions = *charge.decisions();
        decisions.add(Limit::Upstream, Decision::Refused);
        charge.give_back();
        Refusal {
            limit: Limit::Upstream,
            retry_after: left,
            rates: self
                .policy(Limit::Upstream, operation)
                .map_or_else(Arc::default, |policy| Arc::clone(&policy.rates)),
            decisions,
        }
    }

    fn refuse(policy: &Policy, retry_after: Duration, charge: Charge<C>) -> Refusal {
        let mut decisions = *charge.decisions();
        decisions.add(policy.limit, Decision::Refused);
        charge.give_back();
        Refusal {
            limit: policy.limit,
            retry_after,
            rates: Arc::clone(&policy.rates),
            decisions,
        }
    }

    fn policy(&self, limit: Limit, operation: Operation) -> Option<&Policy> {
        match limit {
            Limit::Client => Some(&self.client),
            Limit::Code => Some(&self.code),
            Limit::Email => Some(&self.email),
            Limit::EmailClient => Some(&self.email_client),
            Limit::Send => Some(&self.send),
            Limit::Upstream => self
                .upstream
                .iter()
                .find_map(|(named, policy)| (*named == operation).then_some(policy)),
        }
    }

    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }
}

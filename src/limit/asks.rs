//! Which limits count an attempt, and under which key.

use std::{borrow::Cow, net::IpAddr};

use governor::clock::Clock;

use super::{Limit, Limiter, key::Key, outcome::MOST_ASKED, policy::Policy};
use crate::{
    config::{self, Limits},
    model::{CallerName, CanonicalEmail, CanonicalPhone, Quota, UserId},
    route::{Category, Counted, Operation},
};

/// One request, as far as it matters to limits.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What it is for.
    pub operation: Operation,
    /// Who asks for it, where callers are told apart.
    pub caller: Option<&'a CallerName>,
    /// The account to be recovered.
    pub email: Option<&'a CanonicalEmail>,
    /// From where.
    pub client: ClientAddress,
    /// The path's device.
    pub device: Option<&'a str>,
    /// On whose behalf.
    pub user: Option<&'a UserId>,
    /// What the vendor knows the login by: its `mfaToken`, or `otcToken` where it asks for no other.
    pub login_token: Option<&'a str>,
    /// The number to which a code would be sent.
    pub phone: Option<&'a CanonicalPhone>,
}

/// The address that a user comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// Nobody says.
    Unknown,
    /// The vendor isn't told, and counts by ours.
    Known(IpAddr),
    /// The vendor is told, and counts by it.
    Sent(IpAddr),
}

impl ClientAddress {
    /// Of an address, where one is known, and whether the vendor is told such addresses.
    #[must_use]
    pub fn new(known: Option<IpAddr>, is_sent: bool) -> Self {
        match known {
            None => Self::Unknown,
            Some(address) if is_sent => Self::Sent(address),
            Some(address) => Self::Known(address),
        }
    }

    /// Where it is known to us.
    const fn known(self) -> Option<IpAddr> {
        match self {
            Self::Unknown => None,
            Self::Known(address) | Self::Sent(address) => Some(address),
        }
    }

    /// Where the vendor counts by it.
    pub(super) const fn sent(self) -> Option<IpAddr> {
        match self {
            Self::Unknown | Self::Known(_) => None,
            Self::Sent(address) => Some(address),
        }
    }
}

impl<C: Clock> Limiter<C> {
    /// Which limits count an attempt, under which key, in this order.
    pub(super) fn asks(
        &self,
        attempt: &Attempt<'_>,
        paused: bool,
    ) -> [Option<(&Policy, Key)>; MOST_ASKED] {
        let upstream = self
            .policy(Limit::Upstream, attempt.operation)
            .filter(|_policy| attempt.client.sent().is_none() && !paused)
            .map(|policy| (policy, Key::ONLY));
        let share = self.share(attempt).filter(|_share| upstream.is_some());
        let asks = match attempt.operation.facts().counted {
            Counted::Code => [
                // SECURITY: not the number, which the caller may make up for each guess
                Some((&self.code, self.whose(Limit::Code, attempt, None))),
                share,
                upstream,
                None,
                None,
            ],
            Counted::Nothing => [share, upstream, None, None, None],
            Counted::Recovery => {
                // SECURITY: without an email (the route demands one) all count as one account
                let email = attempt
                    .email
                    .map_or(Key::ONLY, |email| self.keys.email(email));
                let client = attempt
                    .client
                    .known()
                    .map(|client| self.keys.client(client));
                let pair = client.map(|client| Key::of_pair(email, client));
                [
                    Some((&self.email, email)),
                    pair.map(|pair| (&self.email_client, pair)),
                    client.map(|client| (&self.client, client)),
                    share,
                    upstream,
                ]
            }
            Counted::Send => [
                Some((&self.send, self.whose(Limit::Send, attempt, attempt.phone))),
                share,
                upstream,
                None,
                None,
            ],
        };
        asks.map(|ask| ask.filter(|(policy, _key)| !policy.rates.is_empty()))
    }

    /// The caller's own share of what all callers have together, where there are several.
    fn share(&self, attempt: &Attempt<'_>) -> Option<(&Policy, Key)> {
        let policy = self.policy(Limit::UpstreamShare, attempt.operation)?;
        let caller = attempt.caller?.as_str().as_bytes();
        Some((policy, self.keys.hash(policy.limit.as_str(), &[caller])))
    }

    /// Whom a code is of or for: the device, else the user, else the number, else whoever logs in.
    fn whose(&self, limit: Limit, attempt: &Attempt<'_>, phone: Option<&CanonicalPhone>) -> Key {
        let enrols = attempt.operation.facts().category == Category::Enrolment;
        let (kind, id) = if let Some(device) = attempt.device {
            ("device\0", any_case(device))
        } else if let Some(user) = attempt.user {
            // SECURITY: the code of a factor that is being added is there for whoever adds it, and
            // would clear the guesses at the user's other factors
            let kind = if enrols { "enrolling\0" } else { "user\0" };
            (kind, any_case(user.as_str()))
        } else if let Some(phone) = phone {
            ("phone\0", phone.as_str().into())
        } else {
            ("login\0", attempt.login_token.unwrap_or_default().into())
        };
        self.keys
            .hash(limit.as_str(), &[kind.as_bytes(), id.as_bytes()])
    }
}

/// SECURITY: the vendor may know an id in any case, and each spelling would have attempts of its own.
fn any_case(id: &str) -> Cow<'_, str> {
    if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        id.to_ascii_lowercase().into()
    } else {
        id.into()
    }
}

/// Where several callers share what the vendor grants, none gets more than half: one that is noisy
/// can't take it all.
pub(super) fn shares(settings: &Limits) -> impl Iterator<Item = (Operation, config::Policy)> {
    let contested = |operation: &Operation| settings.contested.contains(operation);
    let shared = settings.upstream.iter();
    shared
        .filter(move |(operation, _policy)| contested(operation))
        .map(|(operation, policy)| {
            let half = |quota: &Quota| {
                let attempts = quota.attempts().get().div_ceil(2);
                Quota::new(attempts.try_into().ok()?, quota.per())
            };
            let policy = config::Policy {
                quotas: policy.quotas.iter().filter_map(half).collect(),
                mode: policy.mode,
            };
            (*operation, policy)
        })
}

//! Which limits count an attempt, and under which key.

use std::net::IpAddr;

use governor::clock::Clock;

use super::{Limit, Limiter, key::Key, outcome::MOST_ASKED, policy::Policy};
use crate::{
    config::{self, Limits},
    model::{CallerName, CanonicalEmail, CanonicalPhone, Quota, UserId},
    route::{Counted, Operation},
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
    /// The user's address, where it is known.
    pub client: Option<IpAddr>,
    /// The path's device.
    pub device: Option<&'a str>,
    /// On whose behalf.
    pub user: Option<&'a UserId>,
    /// What the vendor knows the login by: its `mfaToken`, or `otcToken` where it asks for no other.
    pub login_token: Option<&'a str>,
    /// The number to which a code would be sent.
    pub phone: Option<&'a CanonicalPhone>,
    /// Whether the vendor is told the user's address, and so counts that instead of ours.
    pub address_sent: bool,
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
            .filter(|_policy| !attempt.address_sent && !paused)
            .map(|policy| (policy, Key::ONLY));
        let share = self.share(attempt).filter(|_share| upstream.is_some());
        let asks = match attempt.operation.facts().counted {
            Counted::Code => [
                Some((&self.code, self.guessed(attempt))),
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
                let client = attempt.client.map(|client| self.keys.client(client));
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
                Some((&self.send, self.sent_to(attempt))),
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
            self.keys
                .hash(limit, &[b"phone\0", phone.as_str().as_bytes()])
        } else {
            let login = attempt.login_token.unwrap_or_default();
            self.keys.hash(limit, &[b"login\0", login.as_bytes()])
        }
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

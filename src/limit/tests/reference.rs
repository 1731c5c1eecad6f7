//! The limiter against a plain model of it, over generated histories.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// One key's counts: a time a quota, a number for each life, and whether something was given back
/// in it.
#[derive(Clone, Default)]
struct Count {
    times: Vec<u64>,
    life: usize,
    given_back: bool,
}

#[derive(Clone)]
pub(in crate::limit) struct Receipt {
    key: String,
    life: usize,
    at: u64,
    times: Vec<u64>,
}

/// A limit as anyone would write it down.
#[derive(Default)]
struct Plain {
    quotas: Vec<Quota>,
    counts: HashMap<String, Count>,
    lives: usize,
}

pub(in crate::limit) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap()
}

impl Plain {
    fn charge(&mut self, key: String, now: u64) -> Result<Receipt, u64> {
        let count = self.counts.entry(key.clone()).or_default();
        count.times.resize(self.quotas.len(), 0);
        let mut after = Vec::new();
        let mut wait = 0;
        for (quota, time) in self.quotas.iter().zip(&count.times) {
            let burst = nanos(quota.interval()) * u64::from(quota.attempts().get());
            after.push(now.max(*time) + nanos(quota.interval()));
            wait = wait.max(after.last().unwrap().saturating_sub(now + burst));
        }
        if wait > 0 {
            return Err(wait);
        }
        if count.times.iter().all(|time| *time <= now) {
            self.lives += 1;
            (count.life, count.given_back) = (self.lives, false);
        }
        count.times.clone_from(&after);
        let (life, times) = (count.life, after);
        Ok(Receipt {
            key,
            life,
            at: now,
            times,
        })
    }

    fn give_back(&mut self, receipt: &Receipt, now: u64) {
        let Some(count) = self.counts.get_mut(&receipt.key) else {
            return;
        };
        if count.life != receipt.life {
            return;
        }
        let last = count.times == receipt.times;
        for (n, quota) in self.quotas.iter().enumerate() {
            let interval = nanos(quota.interval());
            let sure = if count.given_back {
                receipt.at + interval
            } else {
                receipt.times[n]
            };
            count.times[n] -= interval.min(sure.saturating_sub(now));
        }
        count.given_back |= !last;
    }
}

#[derive(Clone, Debug)]
pub(in crate::limit) enum Step {
    Accept(Index),
    Attempt { email: u8, client: Option<u8> },
    GiveBack(Index),
    Keep(Index),
    Sweep,
    Wait(Duration),
}

pub(in crate::limit) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let attempt = (0..3_u8, prop::option::of(0..2_u8));
    let wait = prop_oneof![
        0..20_000_000_u64,
        0..2_000_000_000_u64,
        Just(0_u64),
        Just(60_000_000)
    ];
    let step = prop_oneof![
        8 => attempt.prop_map(|(email, client)| Step::Attempt { email, client }),
        4 => wait.prop_map(|micros| Step::Wait(Duration::from_micros(micros))),
        2 => any::<Index>().prop_map(Step::GiveBack),
        1 => any::<Index>().prop_map(Step::Keep),
        1 => any::<Index>().prop_map(Step::Accept),
        1 => Just(Step::Sweep),
    ];
    vec(step, 0..120)
}

/// All limits of a recovery, in their order.
pub(in crate::limit) struct Model([Plain; 4]);

impl Model {
    pub(in crate::limit) fn new(settings: &Limits) -> Self {
        let plain = |policy: &PolicySettings| Plain {
            quotas: policy.quotas.clone(),
            ..Plain::default()
        };
        let upstream = plain(&settings.upstream[0].1);
        let [email, email_client] = [&settings.email, &settings.email_client].map(plain);
        Self([email, email_client, plain(&settings.client), upstream])
    }

    pub(in crate::limit) fn admit(
        &mut self,
        email: u8,
        client: Option<u8>,
        now: u64,
    ) -> Result<Vec<Receipt>, (usize, u64)> {
        let keys = [
            Some(format!("{email}")),
            client.map(|client| format!("{email} {client}")),
            client.map(|client| format!("{client}")),
            client.is_none().then(String::new),
        ];
        let mut receipts = Vec::new();
        for (n, key) in keys.into_iter().enumerate() {
            let Some(key) = key else { continue };
            match self.0[n].charge(key, now) {
                Ok(receipt) => receipts.push((n, receipt)),
                Err(wait) => {
                    for (n, receipt) in receipts {
                        self.0[n].give_back(&receipt, now);
                    }
                    return Err((n, wait));
                }
            }
        }
        Ok(receipts.into_iter().map(|(_n, receipt)| receipt).collect())
    }

    /// The email's counts end, by itself and together with any address.
    pub(in crate::limit) fn accept(&mut self, receipts: &[Receipt]) {
        let email = &receipts[0].key;
        for limit in &mut self.0[..2] {
            limit
                .counts
                .retain(|key, _count| key.split(' ').next() != Some(email));
        }
    }

    pub(in crate::limit) fn give_back(&mut self, receipts: &[Receipt], client: bool, now: u64) {
        for (n, receipt) in receipts.iter().enumerate() {
            self.0[place(n, client)].give_back(receipt, now);
        }
    }
}

/// Which limit is at this place of a recovery's receipts.
fn place(n: usize, client: bool) -> usize {
    if n == 1 && !client { 3 } else { n }
}

pub(in crate::limit) const NAMES: [Limit; 4] = [
    Limit::Email,
    Limit::EmailClient,
    Limit::Client,
    Limit::Upstream,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn memory_and_model_agree_on_every_decision(steps in steps(), tight in any::<bool>()) {
        let mut settings = settings();
        if tight {
            settings.email = enforce(&[quota(2, 10), quota(3, 60)]);
            settings.email_client = enforce(&[quota(1, 7)]);
        }
        let (limiter, clock) = limiter(&settings);
        let mut model = Model::new(&settings);
        let mut flying = Vec::new();
        for step in steps {
            let now = limiter.now();
            match step {
                Step::Attempt { email: name, client } => {
                    let email = email(name);
                    let attempt = match client {
                        Some(client) => recovery_from(&email, client),
                        None => recovery(&email),
                    };
                    match (limiter.admit_here(&attempt), model.admit(name, client, now)) {
                        (Ok(charge), Ok(receipts)) => flying.push((charge, receipts, client.is_some())),
                        (Err(refusal), Err((n, wait))) => {
                            prop_assert_eq!(refusal.limit(), NAMES[n]);
                            prop_assert_eq!(nanos(refusal.retry_after()), wait);
                        }
                        (ours, theirs) => {
                            prop_assert!(false, "memory {ours:?}, model {:?}", theirs.map(drop));
                        }
                    }
                }
                Step::Wait(gap) => clock.advance(gap),
                Step::Sweep => block_on(limiter.sweep()),
                Step::Accept(_) | Step::GiveBack(_) | Step::Keep(_) if flying.is_empty() => {}
                Step::Accept(index) => {
                    let (charge, receipts, _client) = flying.swap_remove(index.index(flying.len()));
                    charge.accepted_here();
                    model.accept(&receipts);
                }
                Step::GiveBack(index) => {
                    let (charge, receipts, client) = flying.swap_remove(index.index(flying.len()));
                    charge.give_back_here();
                    model.give_back(&receipts, client, now);
                }
                Step::Keep(index) => drop(flying.swap_remove(index.index(flying.len()))),
            }
        }
    }

    /// Whatever was given back in between, and in whatever order: the attempts that were kept
    /// would have been admitted had the others never been.
    #[test]
    fn what_is_given_back_never_opens_a_limit(steps in steps()) {
        let mut settings = email_only();
        settings.email = enforce(&[quota(3, 15), quota(4, 40)]);
        let (limiter, clock) = limiter(&settings);
        let mut kept: Vec<(u64, u8)> = Vec::new();
        let mut flying = Vec::new();
        for step in steps {
            let now = limiter.now();
            match step {
                Step::Attempt { email: name, .. } => {
                    if let Ok(charge) = limiter.admit_here(&recovery(&email(name))) {
                        kept.push((now, name));
                        flying.push((charge, (now, name)));
                        let mut replay = Plain { quotas: settings.email.quotas.clone(), ..Plain::default() };
                        for (at, name) in &kept {
                            prop_assert!(replay.charge(name.to_string(), *at).is_ok());
                        }
                    }
                }
                Step::Wait(gap) => clock.advance(gap / 40),
                Step::GiveBack(index) if !flying.is_empty() => {
                    let (charge, attempt) = flying.swap_remove(index.index(flying.len()));
                    charge.give_back_here();
                    let place = kept.iter().position(|kept| *kept == attempt).unwrap();
                    kept.remove(place);
                }
                Step::Sweep => block_on(limiter.sweep()),
                Step::Accept(_) | Step::GiveBack(_) | Step::Keep(_) => {}
            }
        }
    }
}

/// Runs what only yields.
fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work);
}

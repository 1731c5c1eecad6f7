//! What the limits promise, asked of the whole limiter.

use std::num::NonZeroUsize;

use governor::clock::FakeRelativeClock;
use secrecy::SecretString;

use super::*;
use crate::{
    config::{Policy as PolicySettings, Store},
    model::{CanonicalPhone, Quota, Subaddress, UserId},
};

mod bounds;
mod pauses;
mod races;
#[expect(clippy::arithmetic_side_effects, reason = "a model's small numbers")]
pub(in crate::limit) mod reference;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

pub(in crate::limit) fn quota(attempts: u32, per: u64) -> Quota {
    Quota::new(attempts.try_into().unwrap(), Duration::from_secs(per)).unwrap()
}

pub(in crate::limit) fn enforce(quotas: &[Quota]) -> PolicySettings {
    PolicySettings {
        quotas: quotas.to_vec(),
        mode: Mode::Enforce,
    }
}

/// As by default.
pub(in crate::limit) fn settings() -> Limits {
    let upstream = || enforce(&[quota(10, MINUTE)]);
    Limits {
        store: Store::Memory,
        contested: Vec::new(),
        max_keys: NonZeroUsize::new(1_000_000).unwrap(),
        key: None,
        fold_subaddress: false,
        email: enforce(&[quota(5, 15 * MINUTE), quota(20, DAY)]),
        email_client: enforce(&[quota(3, 15 * MINUTE), quota(6, DAY)]),
        client: enforce(&[quota(30, 15 * MINUTE)]),
        code: enforce(&[quota(10, 15 * MINUTE)]),
        send: enforce(&[quota(3, 10 * MINUTE), quota(10, DAY)]),
        upstream: vec![
            (Operation::Recover, upstream()),
            (Operation::LoginVerify, upstream()),
        ],
    }
}

/// Only emails are limited.
pub(in crate::limit) fn email_only() -> Limits {
    let off = || enforce(&[]);
    Limits {
        email_client: off(),
        client: off(),
        code: off(),
        send: off(),
        upstream: Vec::new(),
        ..settings()
    }
}

type FakeLimiter = Arc<Limiter<FakeRelativeClock>>;

fn limiter(settings: &Limits) -> (FakeLimiter, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let keys = HashKey::from_secret(&SecretString::from("a key for tests"));
    let limiter = Limiter::new(settings, keys, clock.clone()).unwrap();
    (Arc::new(limiter), clock)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(in crate::limit) fn email(name: impl fmt::Display) -> CanonicalEmail {
    CanonicalEmail::parse(&format!("{name}@example.com"), Subaddress::Keep).unwrap()
}

const fn attempt(operation: Operation) -> Attempt<'static> {
    Attempt {
        operation,
        caller: None,
        email: None,
        client: ClientAddress::Unknown,
        device: None,
        user: None,
        login_token: None,
        phone: None,
    }
}

pub(in crate::limit) fn recovery(email: &CanonicalEmail) -> Attempt<'_> {
    Attempt {
        email: Some(email),
        ..attempt(Operation::Recover)
    }
}

pub(in crate::limit) fn recovery_from(email: &CanonicalEmail, client: u8) -> Attempt<'_> {
    Attempt {
        client: ClientAddress::Sent([192, 0, 2, client].into()),
        ..recovery(email)
    }
}

fn refusal(limiter: &FakeLimiter, attempt: &Attempt<'_>) -> Refusal {
    *limiter.admit_here(attempt).unwrap_err()
}

/// How many of 100 attempts at once get through.
fn admitted(limiter: &FakeLimiter, attempt: &Attempt<'_>) -> usize {
    (0..100)
        .filter(|_| limiter.admit_here(attempt).is_ok())
        .count()
}

#[test]
fn the_sixth_guess_for_one_email_is_refused() {
    let (limiter, clock) = limiter(&settings());
    let (a, b) = (email("a"), email("b"));
    for left in (0..5).rev() {
        let charge = limiter.admit_here(&recovery(&a)).unwrap();
        let note = charge.note().unwrap();
        assert_eq!((note.name, note.remaining), ("email", left));
    }
    let refused = refusal(&limiter, &recovery(&a));
    assert_eq!(refused.limit(), Limit::Email);
    assert_eq!(refused.retry_after(), seconds(180));
    assert!(limiter.admit_here(&recovery(&b)).is_ok());

    clock.advance(seconds(179));
    assert_eq!(refusal(&limiter, &recovery(&a)).retry_after(), seconds(1));
    clock.advance(seconds(1));
    assert_eq!(admitted(&limiter, &recovery(&a)), 1);
}

#[test]
fn a_refusal_says_when_to_come_again() {
    let (limiter, clock) = limiter(&settings());
    let a = email("a");
    admitted(&limiter, &recovery(&a));
    clock.advance(Duration::from_millis(5_500));
    let headers: Vec<_> = refusal(&limiter, &recovery(&a))
        .headers()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("retry-after", "175"),
        (
            "ratelimit-policy",
            r#""email";q=5;w=900, "email";q=20;w=86400"#,
        ),
        ("ratelimit", r#""email";r=0;t=175"#),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers, expected);
}

#[test]
fn what_any_limit_refuses_uses_up_nothing_of_the_others() {
    let (limiter, _clock) = limiter(&settings());
    let owner = email("owner");
    let from_one_address = recovery_from(&owner, 1);
    assert_eq!(admitted(&limiter, &from_one_address), 3);
    assert_eq!(
        refusal(&limiter, &from_one_address).limit(),
        Limit::EmailClient
    );
    // the owner still has two of five, from elsewhere
    assert_eq!(admitted(&limiter, &recovery_from(&owner, 2)), 2);
    let refused = refusal(&limiter, &recovery_from(&owner, 3));
    let said: Vec<_> = refused.decisions().iter().collect();
    assert_eq!(said, [(Limit::Email, Decision::Refused)]);
}

#[test]
fn an_address_has_so_many_recoveries_for_all_emails() {
    let (limiter, _clock) = limiter(&settings());
    let through = (0..50)
        .filter(|n| limiter.admit_here(&recovery_from(&email(n), 1)).is_ok())
        .count();
    assert_eq!(through, 30);
    let keys = limiter.keys();
    let unseen = email("unseen");
    assert_eq!(
        refusal(&limiter, &recovery_from(&unseen, 1)).limit(),
        Limit::Client
    );
    assert_eq!(
        limiter.keys(),
        keys,
        "a refused attempt leaves no key behind"
    );
}

#[test]
fn the_vendors_limit_on_our_address_is_kept_by_operation() {
    let (limiter, _clock) = limiter(&settings());
    let through = (0..20)
        .filter(|n| limiter.admit_here(&recovery(&email(n))).is_ok())
        .count();
    assert_eq!(through, 10);
    let next = email("next");
    assert_eq!(refusal(&limiter, &recovery(&next)).limit(), Limit::Upstream);
    assert!(limiter.admit_here(&recovery_from(&next, 1)).is_ok());
    assert!(limiter.admit_here(&attempt(Operation::LoginVerify)).is_ok());
}

#[test]
fn codes_are_counted_by_device_else_user_else_login() {
    let (limiter, _clock) = limiter(&settings());
    let user = UserId::parse("u").unwrap();
    let by_login = Attempt {
        login_token: Some("t"),
        ..attempt(Operation::LoginEmailVerify)
    };
    let by_user = Attempt {
        user: Some(&user),
        ..by_login
    };
    let by_device = Attempt {
        device: Some("d"),
        ..by_user
    };
    for each in [by_device, by_user, by_login] {
        assert_eq!(admitted(&limiter, &each), 10);
        assert_eq!(refusal(&limiter, &each).limit(), Limit::Code);
    }
    let another_login = Attempt {
        login_token: Some("another"),
        ..by_device
    };
    assert_eq!(admitted(&limiter, &another_login), 0);
}

#[test]
fn an_id_is_one_however_it_is_spelled() {
    let (limiter, _clock) = limiter(&settings());
    let [small, large] = ["user-1", "User-1"].map(|user| UserId::parse(user).unwrap());
    let by_device = |device| Attempt {
        device: Some(device),
        ..attempt(Operation::LoginSmsVerify)
    };
    let by_user = |user| Attempt {
        user: Some(user),
        ..attempt(Operation::UserDisable)
    };
    assert_eq!(admitted(&limiter, &by_device("abc-1")), 10);
    assert_eq!(admitted(&limiter, &by_device("ABC-1")), 0);
    assert_eq!(admitted(&limiter, &by_user(&small)), 10);
    assert_eq!(admitted(&limiter, &by_user(&large)), 0);
}

#[test]
fn who_adds_a_factor_gets_no_new_guesses_at_another() {
    let (limiter, _clock) = limiter(&settings());
    let user = UserId::parse("u").unwrap();
    let of_user = |operation| Attempt {
        user: Some(&user),
        ..attempt(operation)
    };
    assert_eq!(admitted(&limiter, &of_user(Operation::UserDisable)), 10);
    let added = limiter.admit_here(&of_user(Operation::UserEnrollVerify));
    added.unwrap().accepted_here();
    assert_eq!(admitted(&limiter, &of_user(Operation::UserDisable)), 0);
    assert_eq!(
        admitted(&limiter, &of_user(Operation::UserEnrollVerify)),
        10
    );
}

#[test]
fn codes_that_are_sent_are_counted_by_device_user_or_number() {
    let (limiter, _clock) = limiter(&settings());
    let phones = ["+49 170 1", "+49-1701", "+49 170 2"];
    let phones = phones.map(|number| CanonicalPhone::parse(number).unwrap());
    let [number, same, another] = phones.each_ref().map(|phone| Attempt {
        phone: Some(phone),
        ..attempt(Operation::LoginSmsEnroll)
    });
    assert_eq!(admitted(&limiter, &number), 3);
    assert_eq!(refusal(&limiter, &same).limit(), Limit::Send);
    assert!(limiter.admit_here(&another).is_ok());
    assert_eq!(admitted(&limiter, &attempt(Operation::UserDevices)), 100);
}

#[test]
fn what_never_left_is_given_back_and_what_was_accepted_is_forgiven() {
    let (limiter, _clock) = limiter(&settings());
    let a = email("a");
    let from_1 = recovery_from(&a, 1);
    for _ in 0..50 {
        limiter.admit_here(&from_1).unwrap().give_back_here();
    }
    assert_eq!(limiter.keys(), 0);

    let kept = limiter.admit_here(&from_1).unwrap();
    drop(kept);
    assert_eq!(limiter.standing_here(&a)[0].remaining, 4);
    limiter.admit_here(&from_1).unwrap().accepted_here();
    assert_eq!(limiter.standing_here(&a)[0].remaining, 5);
    assert_eq!(limiter.keys(), 1, "the address's count stays");
    assert_eq!(admitted(&limiter, &from_1), 3);

    let device = Attempt {
        device: Some("d"),
        ..attempt(Operation::LoginSmsVerify)
    };
    assert_eq!(admitted(&limiter, &device), 10);
    let other = Attempt {
        device: Some("e"),
        ..device
    };
    let charge = limiter.admit_here(&other).unwrap();
    charge.accepted_here();
    assert_eq!(admitted(&limiter, &device), 0);
    assert_eq!(admitted(&limiter, &other), 10);
}

#[test]
fn an_accepted_recovery_clears_the_email_from_every_address() {
    let (limiter, _clock) = limiter(&settings());
    let (a, b) = (email("a"), email("b"));
    assert_eq!(admitted(&limiter, &recovery_from(&a, 1)), 3);
    assert_eq!(admitted(&limiter, &recovery_from(&b, 1)), 3);
    let from_another = limiter.admit_here(&recovery_from(&a, 2)).unwrap();
    from_another.accepted_here();
    assert_eq!(admitted(&limiter, &recovery_from(&a, 1)), 3);
    assert_eq!(admitted(&limiter, &recovery_from(&b, 1)), 0);

    // also where it came from nobody knows where
    limiter.admit_here(&recovery(&a)).unwrap().accepted_here();
    assert_eq!(admitted(&limiter, &recovery_from(&a, 1)), 3);
}

#[test]
fn nothing_is_given_back_to_a_count_that_began_later() {
    let (limiter, _clock) = limiter(&email_only());
    let a = email("a");
    let early = limiter.admit_here(&recovery(&a)).unwrap();
    limiter.admit_here(&recovery(&a)).unwrap().accepted_here();
    assert_eq!(admitted(&limiter, &recovery(&a)), 5);
    early.give_back_here();
    assert_eq!(admitted(&limiter, &recovery(&a)), 0);
}

#[test]
fn a_limit_that_observes_counts_and_refuses_nothing() {
    let mut settings = settings();
    settings.email.mode = Mode::Observe;
    settings.upstream.clear();
    let (limiter, _clock) = limiter(&settings);
    let a = email("a");
    assert_eq!(admitted(&limiter, &recovery(&a)), 100);
    let charge = limiter.admit_here(&recovery(&a)).unwrap();
    let said: Vec<_> = charge.decisions().iter().collect();
    assert_eq!(said, [(Limit::Email, Decision::Observed)]);
    let note = charge.note().unwrap();
    assert_eq!((note.remaining, note.would_refuse), (0, true));
    charge.accepted_here();
    assert_eq!(limiter.standing_here(&a)[0].remaining, 5);
}

#[test]
fn what_would_have_refused_is_told_before_what_has_nothing_left() {
    let mut settings = settings();
    settings.email = enforce(&[quota(4, 15 * MINUTE)]);
    settings.email_client.mode = Mode::Observe;
    let (limiter, _clock) = limiter(&settings);
    let a = email("a");
    let attempt = recovery_from(&a, 1);
    let note = || limiter.admit_here(&attempt).unwrap().note().unwrap();
    let notes = [(); 4].map(|()| note());
    let told = notes.map(|note| (note.name, note.remaining, note.would_refuse));
    assert_eq!(told[2], ("email_client", 0, false));
    assert_eq!(
        told[3],
        ("email_client", 0, true),
        "though email has none left either"
    );
}

#[test]
fn other_quotas_keep_the_counts() {
    let (old, clock) = limiter(&email_only());
    let a = email("a");
    assert_eq!(admitted(&old, &recovery(&a)), 5);
    let reload = |old: &FakeLimiter, quotas: &[Quota]| {
        let mut settings = email_only();
        settings.email = enforce(quotas);
        Arc::new(old.reload(&settings).unwrap())
    };

    let more = reload(&old, &[quota(6, 15 * MINUTE), quota(20, DAY)]);
    assert_eq!(
        refusal(&more, &recovery(&a)).retry_after(),
        seconds(150),
        "what was used up stays so, and comes back faster"
    );
    let three = reload(
        &more,
        &[quota(20, DAY), quota(9, 60 * MINUTE), quota(6, 15 * MINUTE)],
    );
    assert_eq!(admitted(&three, &recovery(&a)), 0);
    drop((old, more));
    assert_eq!(three.keys(), 1);
    let one = reload(&three, &[quota(1, MINUTE)]);
    assert_eq!(refusal(&one, &recovery(&a)).retry_after(), seconds(MINUTE));
    clock.advance(seconds(MINUTE));
    assert_eq!(admitted(&one, &recovery(&a)), 1);

    let five = [1, 2, 3, 4, 5].map(|n| quota(n, MINUTE));
    let mut settings = email_only();
    settings.email = enforce(&five);
    let error = one.reload(&settings).err().unwrap();
    assert!(error.to_string().contains("limits.email"), "{error}");
}

#[tokio::test]
async fn an_email_can_be_forgiven_from_every_address() {
    let (limiter, _clock) = limiter(&settings());
    let (a, b) = (email("a"), email("b"));
    for client in 0..2 {
        admitted(&limiter, &recovery_from(&a, client));
        admitted(&limiter, &recovery_from(&b, client));
    }
    limiter.forgive(&a).await.unwrap();
    assert_eq!(admitted(&limiter, &recovery_from(&a, 0)), 3);
    assert_eq!(admitted(&limiter, &recovery_from(&b, 0)), 0);
    let standing = limiter.standing_here(&a);
    assert_eq!(standing[0].remaining, 2);
    assert_eq!(standing[1].whole_in, seconds(3 * DAY / 20));
}

#[test]
fn what_a_request_holds_may_go_to_any_task() {
    fn sends<T: Send + Sync + 'static>() {}
    sends::<Arc<Limiter>>();
    sends::<Charge>();
    sends::<Refusal>();
    assert!(size_of::<Charge>() <= 496, "{}", size_of::<Charge>());
}

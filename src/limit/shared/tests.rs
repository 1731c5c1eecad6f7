//! The shared store over a real server: the arithmetic, the races, the refunds. Outages, several
//! processes and clusters are the integration tests' matter.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers, and microseconds of this century"
)]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Wake, Waker},
};

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use secrecy::SecretString;

use super::{
    super::{
        HashKey, Limits,
        tests::{
            email, email_only, enforce, quota, recovery, recovery_from,
            reference::{Model, NAMES, Step, nanos, steps},
            settings,
        },
    },
    *,
};
use crate::{
    config::{HostPort, Servers, SharedStore, Store as StoreSetting},
    model::CanonicalEmail,
};

#[path = "../../../tests/it/support/redis.rs"]
#[expect(clippy::print_stderr, dead_code, reason = "the integration tests' too")]
mod server;

use server::Redis;

type TestLimiter = Arc<Limiter<FakeRelativeClock>>;

fn shared(redis: &Redis, prefix: &str) -> SharedStore {
    SharedStore {
        servers: Servers::One(HostPort {
            host: "127.0.0.1".to_owned(),
            port: redis.port,
        }),
        tls: false,
        database: 0,
        username: None,
        password: None,
        roots: Arc::new(rustls::RootCertStore::empty()),
        ca_file: None,
        prefix: prefix.into(),
        timeout: Duration::from_secs(5),
        on_failure: OnStoreFailure::Deny,
    }
}

/// A replica: nothing but the store is shared with others.
fn replica(redis: &Redis, prefix: &str, settings: &Limits) -> (TestLimiter, FakeRelativeClock) {
    let store = shared(redis, prefix);
    let link = StoreLink::open(&store).unwrap();
    let settings = Limits {
        store: StoreSetting::Shared(store),
        ..settings.clone()
    };
    let clock = FakeRelativeClock::default();
    let keys = HashKey::from_secret(&SecretString::from("a key for tests"));
    let limiter = Limiter::new(&settings, keys, clock.clone()).unwrap();
    (Arc::new(limiter.through(Some(link))), clock)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

async fn admitted(limiter: &TestLimiter, attempt: &Attempt<'_>) -> usize {
    let mut count = 0;
    for _ in 0..20 {
        count += usize::from(limiter.admit(attempt).await.is_ok());
    }
    count
}

/// Turns the server's clock, in microseconds.
fn turn(redis: &Redis, micros: u64) {
    redis.command(&["SET", "test-clock", &micros.to_string()]);
}

/// Where the test's clock starts: about the time that it is, as numbers then have that size.
const START: u64 = 1_790_000_000_000_000;

#[test]
fn store_and_model_agree_on_every_decision() {
    let Some(redis) = Redis::start() else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    let runtime = runtime();
    let cases = std::cell::Cell::new(0);
    let histories = (steps(), any::<bool>(), any::<bool>());
    let agree = runner.run(&histories, |(steps, tight, local)| {
        cases.set(cases.get() + 1);
        let mut settings = settings();
        if tight {
            settings.email = enforce(&[quota(2, 10), quota(3, 60)]);
            settings.email_client = enforce(&[quota(1, 7)]);
        }
        runtime.block_on(one_history(&redis, &settings, steps, cases.get(), local))
    });
    agree.unwrap();
}

async fn one_history(
    redis: &Redis,
    settings: &Limits,
    steps: Vec<Step>,
    case: usize,
    two: bool,
) -> Result<(), TestCaseError> {
    let prefix = format!("case-{case}");
    let replicas = [
        replica(redis, &prefix, settings).0,
        replica(redis, &prefix, settings).0,
    ];
    let mut model = Model::new(settings);
    let mut flying = Vec::new();
    let mut now = START;
    turn(redis, now);
    for (n, step) in steps.into_iter().enumerate() {
        let limiter = &replicas[if two { n % 2 } else { 0 }];
        match step {
            Step::Attempt {
                email: name,
                client,
            } => {
                let email = email(name);
                let attempt = match client {
                    Some(client) => recovery_from(&email, client),
                    None => recovery(&email),
                };
                let said = limiter.admit(&attempt).await;
                match (said, model.admit(name, client, now * 1_000)) {
                    (Ok(charge), Ok(receipts)) => flying.push((charge, receipts, client.is_some())),
                    (Err(Denied::Limit(refusal)), Err((n, wait))) => {
                        prop_assert_eq!(refusal.limit(), NAMES[n]);
                        prop_assert_eq!(nanos(refusal.retry_after()), wait);
                    }
                    (ours, theirs) => {
                        prop_assert!(false, "store {ours:?}, model {:?}", theirs.map(drop));
                    }
                }
            }
            Step::Wait(gap) => {
                now += nanos(gap) / 1_000;
                turn(redis, now);
            }
            Step::Accept(_) | Step::GiveBack(_) | Step::Keep(_) if flying.is_empty() => {}
            Step::Accept(index) => {
                let (charge, receipts, _client) = flying.swap_remove(index.index(flying.len()));
                charge.accepted().await;
                model.accept(&receipts);
            }
            Step::GiveBack(index) => {
                let (charge, receipts, client) = flying.swap_remove(index.index(flying.len()));
                charge.give_back().await;
                model.give_back(&receipts, client, now * 1_000);
            }
            Step::Keep(index) => drop(flying.swap_remove(index.index(flying.len()))),
            Step::Sweep => {
                redis.command(&["SCRIPT", "FLUSH"]);
            }
        }
    }
    Ok(())
}

#[test]
fn keys_are_hashes_under_the_prefix_and_all_of_them_end() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "mine", &settings());
        let a = email("someone");
        drop(limiter.admit(&recovery_from(&a, 1)).await.unwrap());
        drop(limiter.admit(&recovery(&a)).await.unwrap());
        limiter
            .pause(Operation::Recover, None, Duration::from_secs(2))
            .await;
        limiter.forgive(&a).await.unwrap();
        drop(limiter.admit(&recovery_from(&a, 1)).await.unwrap());
    });
    let keys = redis.command(&["KEYS", "*"]);
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("mine:"), "{key}");
        assert!(
            !key.contains("someone") && !key.contains("192.0.2"),
            "{key}"
        );
        let live: i64 = redis.command(&["PTTL", &key])[0].parse().unwrap();
        assert!(live > 0, "{key} lives for ever");
        let longest = 86_400_000 + 3_700_000;
        assert!(live <= longest, "{key} lives {live} ms");
    }
}

#[test]
fn three_hundred_guesses_at_once_over_three_replicas_let_the_quota_through() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let replicas = [(); 3].map(|()| replica(&redis, "race", &email_only()).0);
        let mut guessing = tokio::task::JoinSet::new();
        for n in 0..300 {
            let limiter = Arc::clone(&replicas[n % 3]);
            guessing.spawn(async move { limiter.admit(&recovery(&email("a"))).await.is_ok() });
        }
        let admitted = guessing.join_all().await;
        assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 5);
    });
}

#[test]
fn what_one_replica_counts_forgives_and_pauses_holds_for_all() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (one, _) = replica(&redis, "many", &settings());
        let (other, _) = replica(&redis, "many", &settings());
        let a = email("a");
        assert_eq!(admitted(&one, &recovery_from(&a, 1)).await, 3);
        assert_eq!(other.standing(&a).await.unwrap()[0].remaining, 2);
        assert_eq!(admitted(&other, &recovery_from(&a, 1)).await, 0);
        assert_eq!(admitted(&other, &recovery_from(&a, 2)).await, 2);
        one.forgive(&a).await.unwrap();
        assert_eq!(other.standing(&a).await.unwrap()[0].remaining, 5);
        assert_eq!(admitted(&other, &recovery_from(&a, 1)).await, 3);
        let right = one.admit(&recovery_from(&a, 2)).await.unwrap();
        right.accepted().await;
        assert_eq!(admitted(&other, &recovery_from(&a, 1)).await, 3);

        other
            .pause(Operation::Recover, None, Duration::from_secs(100))
            .await;
        let b = email("b");
        let paused = one.admit(&recovery(&b)).await.unwrap_err();
        let Denied::Limit(refusal) = paused else {
            panic!()
        };
        assert_eq!(refusal.limit(), Limit::Upstream);
        assert!(refusal.retry_after() > Duration::from_secs(90));
        drop(one.admit(&recovery_from(&b, 3)).await.unwrap());
    });
}

#[test]
fn a_call_that_gives_back_and_is_made_again_gives_back_once() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "again", &email_only());
        let a = email("a");
        // a moment later it would weigh less than what one more attempt needs
        turn(&redis, START);
        let first = limiter.admit(&recovery(&a)).await.unwrap();
        let second = limiter.admit(&recovery(&a)).await.unwrap();
        drop(limiter.admit(&recovery(&a)).await.unwrap());
        let client = redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let scripts = scripts::Scripts::new();
        for (charge, id, remaining) in [(&first, 1, 3), (&first, 1, 3), (&second, 2, 4)] {
            let given = scripts.give_back(&mut connection, &charge.shared, id);
            given.await.unwrap();
            assert_eq!(limiter.standing(&a).await.unwrap()[0].remaining, remaining);
        }
    });
}

#[test]
fn who_leaves_during_a_decision_is_not_charged() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "left", &email_only());
        let a = email("a");
        limiter.standing(&a).await.unwrap();
        let attempt = recovery(&a);
        for _ in 0..20 {
            let mut asking = Box::pin(limiter.admit(&attempt));
            let polled = futures_poll_once(&mut asking).await;
            assert!(
                polled.is_pending(),
                "nothing is known before the store has answered"
            );
        }
        // the last of them may still be under way
        until_nothing_is_counted(&limiter, &a).await;
    });
}

#[test]
fn who_leaves_once_the_decision_is_made_is_not_charged() {
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "left-late", &email_only());
        let a = email("a");
        limiter.standing(&a).await.unwrap();
        let attempt = recovery(&a);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let mut asking = Box::pin(limiter.admit(&attempt));
        let polled = asking.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        while !woken.0.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        assert_eq!(limiter.standing(&a).await.unwrap()[0].remaining, 4);
        drop(asking);
        until_nothing_is_counted(&limiter, &a).await;
    });
}

async fn until_nothing_is_counted(limiter: &TestLimiter, email: &CanonicalEmail) {
    let whole = async {
        while limiter.standing(email).await.unwrap()[0].remaining < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), whole)
        .await
        .unwrap();
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))
    })
    .await
}

#[test]
fn a_node_that_never_answers_keeps_nobody_from_the_rest_of_its_cluster() {
    let Some(nodes) = Redis::cluster() else {
        return;
    };
    // the kernel takes connections for it, and that is all
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [silent.local_addr().unwrap().port(), nodes[0].port];
    let servers = ports.map(|port| HostPort {
        host: "127.0.0.1".to_owned(),
        port,
    });
    let store = SharedStore {
        servers: Servers::Cluster(servers.to_vec()),
        ..shared(&nodes[0], "silent")
    };
    runtime().block_on(StoreLink::try_once(&store)).unwrap();
}

#[test]
fn other_quotas_count_on_from_the_nearest_period() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (old, _) = replica(&redis, "quotas", &email_only());
        let a = email("a");
        assert_eq!(admitted(&old, &recovery(&a)).await, 5);
        let mut settings = email_only();
        settings.email = enforce(&[quota(3, 600), quota(20, 86_400)]);
        let (new, _) = replica(&redis, "quotas", &settings);
        assert_eq!(admitted(&new, &recovery(&a)).await, 0);
        let standing = new.standing(&a).await.unwrap();
        assert!(standing[0].whole_in <= Duration::from_secs(600));
        assert_eq!(standing[1].remaining, 15);
    });
}

#[test]
fn a_clock_that_is_put_back_locks_nobody_out_for_longer_than_a_period() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "clock", &email_only());
        let a = email("a");
        turn(&redis, START);
        assert_eq!(admitted(&limiter, &recovery(&a)).await, 5);
        turn(&redis, START - 86_400_000_000 * 365);
        assert_eq!(admitted(&limiter, &recovery(&a)).await, 0);
        turn(&redis, START - 86_400_000_000 * 365 + 900_000_000);
        assert_eq!(limiter.standing(&a).await.unwrap()[0].remaining, 5);
    });
}

#[test]
fn one_caller_gets_half_of_what_the_vendor_grants_to_all() {
    let Some(redis) = Redis::start() else { return };
    let mut settings = settings();
    settings.contested = vec![Operation::Recover];
    let names = ["noisy", "quiet"].map(crate::model::CallerName::new);
    runtime().block_on(async {
        let (limiter, _clock) = replica(&redis, "fair", &settings);
        let mut through = HashMap::new();
        for n in 0..40 {
            for name in [&names[0], &names[0], &names[0], &names[1]] {
                let email = email(format!("{}{n}", name.as_str()));
                let attempt = Attempt {
                    caller: Some(name),
                    ..recovery(&email)
                };
                let admitted = limiter.admit(&attempt).await;
                *through.entry(name.as_str()).or_insert(0) += i32::from(admitted.is_ok());
                if let Err(Denied::Limit(refusal)) = admitted {
                    let ours = [Limit::Upstream, Limit::UpstreamShare];
                    assert!(ours.contains(&refusal.limit()));
                }
            }
        }
        assert_eq!(through, HashMap::from([("noisy", 5), ("quiet", 5)]));
    });
}

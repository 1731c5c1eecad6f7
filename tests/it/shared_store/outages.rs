//! The store hangs, dies and comes back.

use std::time::{Duration, Instant};

use http::Method;
use mfa_gateway::{
    route::Operation,
    sandbox::world::seed::{ADA, GRACE},
};
use tokio::task::JoinSet;

use super::{by_email, events, guess, guesses_left, one, until_metric};
use crate::support::{Call, Redis, eventually, free_port, patience};

#[tokio::test]
async fn without_its_store_a_gateway_goes_on_from_what_it_has_seen() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let (rig, other) = (one(&redis).start().await, one(&redis).start().await);
    for _ in 0..2 {
        other.call(guess(ADA.email)).await.assert_passed(401);
    }
    rig.call(guess(ADA.email)).await.assert_passed(401);
    redis.kill();
    // it has seen three, two of them another's
    assert_eq!(guesses_left(&rig, ADA.email).await, 2);
    assert_eq!(guesses_left(&rig, GRACE.email).await, 5);
    until_metric(&rig, "mfa_gateway_limit_store_up 0\n").await;
    eventually("its record", || {
        (events(&rig, "store-lost") == 1).then_some(())
    })
    .await;

    redis.restart();
    until_metric(&rig, "mfa_gateway_limit_store_up 1\n").await;
    eventually("its record", || {
        (events(&rig, "store-back") == 1).then_some(())
    })
    .await;
    assert_eq!(
        events(&rig, "store-lost"),
        1,
        "told once, not once a request"
    );
    // Both count together again. Nobody has asked the other one meanwhile, so each of its threads may
    // yet find out, by one request, that its connection is gone.
    for n in 0..10 {
        let email = format!("user-{n}@acme.example");
        let left = guesses_left(&rig, &email).await;
        if (left, guesses_left(&other, &email).await) == (5, 0) {
            return;
        }
    }
    panic!("they count apart");
}

#[tokio::test]
async fn a_store_that_hangs_costs_one_time_out_and_no_more() {
    let Some(redis) = Redis::start() else { return };
    let rig = one(&redis)
        .set("limits.redis.timeout", "'1s'")
        .start()
        .await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    redis.pause();
    // each of the gateway's threads may find out for itself; this connection stays on one
    let mut connection = rig.connect(http::Version::HTTP_11).await;
    let mut slow = 0;
    for n in 0..20 {
        let began = Instant::now();
        let email = format!("user-{n}@acme.example");
        let reply = connection.send(guess(&email)).await.unwrap();
        reply.assert_passed(401);
        slow += usize::from(began.elapsed() >= Duration::from_secs(1));
    }
    assert_eq!(slow, 1);
    redis.resume();
    until_metric(&rig, "mfa_gateway_limit_store_up 1\n").await;
    assert_eq!(guesses_left(&rig, GRACE.email).await, 5);
}

#[tokio::test]
async fn a_store_that_takes_writes_but_decides_nothing_is_tried_ever_more_rarely() {
    let Some(redis) = Redis::start() else { return };
    let rig = one(&redis).start().await;
    redis.command(&["ACL", "SETUSER", "default", "-@scripting"]);
    // each of the gateway's threads has its own pauses; this connection stays on one
    let mut connection = rig.connect(http::Version::HTTP_11).await;
    let began = Instant::now();
    while events(&rig, "store-lost") < 5 {
        assert!(began.elapsed() < patience(), "it isn't lost any more");
        until_metric(&rig, "mfa_gateway_limit_store_up 1\n").await;
        connection.send(guess(ADA.email)).await.unwrap();
    }
    // 0.1 s, 0.2 s, 0.4 s and 0.8 s between them, each at most a quarter less
    assert!(began.elapsed() >= Duration::from_millis(1_125));
}

#[tokio::test]
async fn a_store_that_comes_and_goes_under_load_never_opens_a_gateways_own_count() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let rig = one(&redis)
        .set("limits.redis.timeout", "'200ms'")
        .start()
        .await;
    let mut sending = JoinSet::new();
    for round in 0..3 {
        for n in 0..100 {
            let client = rig.client.clone();
            let email = format!("user-{round}-{}@acme.example", n % 4);
            sending.spawn(async move { client.send(guess(&email)).await.unwrap().status.as_u16() });
        }
        match round {
            0 => redis.pause(),
            1 => redis.resume(),
            _ => redis.kill(),
        }
    }
    let statuses = sending.join_all().await;
    assert!(
        statuses.iter().all(|status| [401, 429].contains(status)),
        "{statuses:?}"
    );
    let passed = statuses.iter().filter(|&&status| status == 401).count();
    // 12 emails, 5 each; an email whose guesses the store's loss divided has them twice at most
    assert!((60..=120).contains(&passed), "{passed}");
}

#[tokio::test]
async fn on_demand_nothing_limited_passes_without_the_store() {
    let port = free_port();
    let rig = by_email(&format!("'redis://127.0.0.1:{port}'"))
        .set("limits.on_store_failure", "'deny'")
        .start()
        .await;
    let refused = rig.call(guess(ADA.email)).await;
    refused.assert_refused(503, "limits-unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(rig.vendor.count(Operation::Recover), 0);
    let devices = Call::of(Operation::UserDevices).on_behalf_of(&ADA);
    rig.call(devices).await.assert_passed(200);
    assert_eq!(rig.ask_admin(Method::GET, "/readyz").await.status, 200);
}

#[tokio::test]
async fn on_demand_all_passes_without_the_store() {
    let port = free_port();
    let rig = by_email(&format!("'redis://127.0.0.1:{port}'"))
        .set("limits.on_store_failure", "'allow'")
        .start()
        .await;
    for _ in 0..8 {
        rig.call(guess(ADA.email)).await.assert_passed(401);
    }
}

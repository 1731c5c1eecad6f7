//! One count for all gateways.

use http::StatusCode;
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::Fault,
        world::seed::{ADA, BARBARA, GRACE},
    },
};
use tokio::task::JoinSet;

use super::{events, guess, guesses_left, metric, one};
use crate::support::{Redis, recover};

#[tokio::test]
async fn three_hundred_guesses_at_once_through_three_gateways_let_five_through() {
    let Some(redis) = Redis::start() else { return };
    let rigs = [
        one(&redis).start().await,
        one(&redis).start().await,
        one(&redis).start().await,
    ];
    let mut sending = JoinSet::new();
    for n in 0..300 {
        let client = rigs[n % 3].client.clone();
        sending.spawn(async move { client.send(guess(ADA.email)).await.unwrap().status.as_u16() });
    }
    let statuses = sending.join_all().await;
    let passed = statuses.iter().filter(|&&status| status == 401).count();
    let refused = statuses.iter().filter(|&&status| status == 429).count();
    assert_eq!((passed, refused), (5, 295));
    let sent: u64 = rigs
        .iter()
        .map(|rig| rig.vendor.count(Operation::Recover))
        .sum();
    assert_eq!(sent, 5);

    // a restart forgets nothing
    drop(rigs);
    let again = one(&redis).start().await;
    assert_eq!(guesses_left(&again, ADA.email).await, 0);
    assert_eq!(guesses_left(&again, GRACE.email).await, 5);
}

#[tokio::test]
async fn scripts_may_be_flushed_at_any_time() {
    let Some(redis) = Redis::start() else { return };
    let rig = one(&redis).start().await;
    for _ in 0..5 {
        rig.call(guess(ADA.email)).await.assert_passed(401);
        redis.command(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(guesses_left(&rig, ADA.email).await, 0);
    assert!(metric(&rig, "mfa_gateway_limit_store_up 1\n").await);
    assert_eq!(events(&rig, "store-lost"), 0);
}

#[tokio::test]
async fn what_was_accepted_or_never_left_is_given_back_in_the_store() {
    let Some(redis) = Redis::start() else { return };
    let (rig, other) = (one(&redis).start().await, one(&redis).start().await);
    rig.gateway.logged("credential renewed", 1).await;
    rig.vendor.misbehave(Fault::RefuseConnections);
    for _ in 0..8 {
        rig.call(guess(ADA.email))
            .await
            .assert_refused(502, "upstream-unreachable");
    }
    rig.vendor.behave();
    for _ in 0..4 {
        rig.call(guess(BARBARA.email)).await.assert_passed(401);
    }
    let code = BARBARA.recovery_code.unwrap();
    rig.call(recover(BARBARA.email, code))
        .await
        .assert_passed(200);
    assert_eq!(guesses_left(&other, ADA.email).await, 5);
    assert_eq!(guesses_left(&other, BARBARA.email).await, 5);
}

#[tokio::test]
async fn the_vendors_no_pauses_all_gateways() {
    let Some(redis) = Redis::start() else { return };
    let (rig, other) = (one(&redis).start().await, one(&redis).start().await);
    rig.vendor
        .misbehave(Fault::Status(StatusCode::TOO_MANY_REQUESTS).once());
    rig.call(guess(ADA.email)).await.assert_passed(429);
    let paused = other.call(guess(GRACE.email)).await;
    paused.assert_refused(429, "rate-limited");
    let seconds: u64 = paused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(other.vendor.count(Operation::Recover), 0);
}

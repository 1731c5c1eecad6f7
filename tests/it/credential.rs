//! The environment's credential, seen from outside: who waits for it, and how often it is fetched.

use std::{fs, time::Duration};

use http::{Method, StatusCode};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Endpoint, Fault},
        world::seed::ADA,
    },
};

use crate::support::{Call, Rig, eventually, recover};

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

fn of_exchange(fault: Fault) -> mfa_gateway::sandbox::vendor::Misbehaviour {
    fault.at(Endpoint::TokenExchange)
}

#[tokio::test]
async fn five_hundred_requests_at_the_start_cause_one_exchange() {
    let slow = of_exchange(Fault::Slow(Duration::from_secs(1)));
    let rig = Rig::builder()
        .start_before(|vendor| vendor.misbehave(slow))
        .await;
    let replies = rig.call_all((0..500).map(|_| devices())).await;
    for reply in replies {
        reply.assert_passed(200);
    }
    assert_eq!(rig.vendor.count(Endpoint::TokenExchange), 1);
}

#[tokio::test]
async fn a_request_waits_for_the_first_credential_and_no_longer_than_it_may() {
    let rig = Rig::builder()
        .set("frontegg.request_timeout", "'1s'")
        .quota("email", 1)
        .start_before(|vendor| vendor.misbehave(of_exchange(Fault::Hang)))
        .await;
    for _ in 0..2 {
        let reply = rig.call(recover(ADA.email, "wrong")).await;
        reply.assert_refused(503, "credential-unavailable");
        let stages: Vec<_> = rig
            .records(&reply)
            .iter()
            .map(|record| record.stage().to_owned())
            .collect();
        assert_eq!(stages, ["admitted", "completed"]);
        assert_eq!(rig.received(&reply).len(), 0);
    }
    rig.vendor.behave();
    // nothing of the attempts had left: they were given back
    loop {
        let reply = rig.call(recover(ADA.email, "wrong")).await;
        if reply.code().as_deref() != Some("credential-unavailable") {
            break reply.assert_passed(401);
        }
    }
}

#[tokio::test]
async fn an_exchange_that_fails_is_tried_again_one_at_a_time_whatever_the_load() {
    let down = of_exchange(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)).times(2);
    let rig = Rig::builder()
        .start_before(|vendor| vendor.misbehave(down))
        .await;
    let replies = rig.call_all((0..50).map(|_| devices())).await;
    for reply in replies {
        reply.assert_passed(200);
    }
    assert_eq!(rig.vendor.count(Endpoint::TokenExchange), 3);
    rig.gateway.logged("credential not renewed", 2).await;
}

#[tokio::test]
async fn a_credential_that_is_still_good_survives_a_renewal_that_fails() {
    let rig = Rig::start().await;
    rig.call(devices()).await.assert_passed(200);
    rig.vendor
        .misbehave(of_exchange(Fault::Status(StatusCode::BAD_GATEWAY)));
    let unauthorized = Fault::Status(StatusCode::UNAUTHORIZED).at(Operation::LoginVerify);
    rig.vendor.misbehave(unauthorized.once());
    rig.call(Call::of(Operation::LoginVerify))
        .await
        .assert_passed(401);
    let failed = rig.gateway.logged("credential not renewed", 2).await;
    assert_eq!(failed[0]["usable"], true);
    rig.call(devices()).await.assert_passed(200);
}

#[tokio::test]
async fn a_credential_is_renewed_before_it_expires() {
    // the part of it that is left then is more than a busy machine is late
    let life = Duration::from_secs(16);
    let rig = Rig::builder()
        .vendor(|vendor| vendor.token_lifetime = life)
        .start()
        .await;
    rig.vendor.until(|vendor| vendor.tokens_issued() == 2).await;
    let exchanges = rig.vendor.received();
    let pause = exchanges[1].at.duration_since(exchanges[0].at).unwrap();
    assert!(pause < life, "{pause:?}");
    let reply = rig.call(devices()).await;
    reply.assert_passed(200);
    assert_eq!(rig.received(&reply).len(), 1);
}

#[tokio::test]
async fn a_key_file_that_is_replaced_is_read_again() {
    let rig = Rig::start().await;
    rig.call(devices()).await.assert_passed(200);
    rig.vendor.rotate_secret("another-key");
    // as Kubernetes does it: the new file takes the old one's name
    fs::write(rig.path("api-key.new"), "another-key\n").unwrap();
    fs::rename(rig.path("api-key.new"), rig.path("api-key")).unwrap();
    rig.vendor.until(|vendor| vendor.tokens_issued() == 2).await;
    rig.call(devices()).await.assert_passed(200);
    let asked = rig.vendor.received();
    let last = asked
        .iter()
        .rev()
        .find(|asked| asked.endpoint == Endpoint::TokenExchange);
    assert_eq!(last.unwrap().json()["secret"], "another-key");
}

#[tokio::test]
async fn a_key_that_the_vendor_rejects_is_told_at_the_start_and_to_the_operator() {
    let rig = Rig::builder()
        .set("frontegg.request_timeout", "'1s'")
        .start_before(|vendor| vendor.rotate_secret("another-key"))
        .await;
    rig.call(devices())
        .await
        .assert_refused(503, "credential-unavailable");
    let started = rig.ask_admin(Method::GET, "/startupz").await;
    assert_eq!(started.status, StatusCode::SERVICE_UNAVAILABLE);
    let told = rig.gateway.logged("credential not renewed", 1).await;
    let error = told[0]["error"].as_str().unwrap();
    assert!(error.contains("401"), "{error}");
}

#[tokio::test]
async fn a_renewal_that_fails_and_one_that_works_again_are_recorded_once_each() {
    let down = of_exchange(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)).times(3);
    let rig = Rig::builder()
        .start_before(|vendor| vendor.misbehave(down))
        .await;
    rig.call(devices()).await.assert_passed(200);
    let story = eventually("the credential is back", || {
        let story = rig.event_names();
        story
            .contains(&"credential-back".to_owned())
            .then_some(story)
    })
    .await;
    assert_eq!(story, ["start", "credential-failed", "credential-back"]);
    let (_, failed) = rig.events().swap_remove(1);
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("503"), "{error}");
}

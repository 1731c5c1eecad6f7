//! The issuer's keys: rotated, away, in a file.

use std::{fs, sync::Arc};

use http::StatusCode;
use mfa_gateway::sandbox::{
    tokens::Forgery,
    vendor::{Endpoint, Fault},
    world::seed::ADA,
};
use rustix::process::Signal;
use tokio::{sync::watch, task::JoinSet};

use super::{believing, claims, devices, token};
use crate::support::Rig;

#[tokio::test]
async fn keys_are_rotated_under_load_without_an_error() {
    let rig = Arc::new(believing().set("limits.mode", "'observe'").start().await);
    let (answers, mut answered) = watch::channel(0_usize);
    let stop = Arc::new(watch::Sender::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (rig, answers, stop) = (Arc::clone(&rig), answers.clone(), stop.subscribe());
        clients.spawn(async move {
            while !*stop.borrow() {
                let reply = rig.client.send(devices(&token(&rig, &ADA))).await.unwrap();
                reply.assert_passed(200);
                answers.send_modify(|count| *count += 1);
            }
        });
    }
    let before = answered
        .wait_for(|count| *count >= 20)
        .await
        .map(|count| *count);
    rig.vendor.rotate_user_keys();
    let enough = before.unwrap() + 40;
    answered.wait_for(|count| *count >= enough).await.unwrap();
    stop.send_replace(true);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(rig.vendor.count(Endpoint::Jwks), 2);
}

#[tokio::test]
async fn whoever_makes_keys_up_drives_no_fetches() {
    let rig = believing()
        .set("subject.user_token.algorithms", "['RS256', 'ES256']")
        .start()
        .await;
    let said = claims(&rig, &ADA);
    rig.call(devices(&rig.vendor.mint(&said).unwrap()))
        .await
        .assert_passed(200);
    for _ in 0..20 {
        let forged = rig.vendor.forge(Forgery::UnknownKey, &said).unwrap();
        let reply = rig.call(devices(&forged)).await;
        reply.assert_refused(401, "token-invalid");
    }
    assert!(rig.vendor.count(Endpoint::Jwks) <= 2);
}

#[tokio::test]
async fn an_outage_is_survived_on_the_keys_in_hand() {
    let rig = believing().start().await;
    rig.call(devices(&token(&rig, &ADA)))
        .await
        .assert_passed(200);
    rig.vendor
        .misbehave(Fault::Status(StatusCode::SERVICE_UNAVAILABLE).at(Endpoint::Jwks));
    let forged = rig.vendor.forge(Forgery::UnknownKey, &claims(&rig, &ADA));
    let reply = rig.call(devices(&forged.unwrap())).await;
    reply.assert_refused(401, "token-invalid");
    for _ in 0..5 {
        rig.call(devices(&token(&rig, &ADA)))
            .await
            .assert_passed(200);
    }
}

#[tokio::test]
async fn before_the_first_keys_requests_wait_and_then_say_why() {
    let rig = believing()
        .set("frontegg.request_timeout", "'1s'")
        .start_before(|vendor| vendor.misbehave(Fault::Hang.at(Endpoint::Jwks)))
        .await;
    let reply = rig.call(devices(&token(&rig, &ADA))).await;
    reply.assert_refused(503, "keys-unavailable");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&seconds));
    // whoever needs no token is served
    let login = crate::support::recover(ADA.email, "wrong").for_nobody();
    assert_eq!(rig.call(login).await.code(), None);
    rig.vendor.behave();
    loop {
        let reply = rig.call(devices(&token(&rig, &ADA))).await;
        if reply.code().is_none() {
            return;
        }
        reply.assert_refused(503, "keys-unavailable");
    }
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let builder = believing();
    let file = builder.file("jwks.json", "{}");
    let rig = builder
        .set("subject.user_token.jwks_file", &format!("'{file}'"))
        .set("frontegg.request_timeout", "'1s'")
        .start()
        .await;
    let publish = |rig: &Rig| {
        let keys = rig.vendor.user_keys().unwrap();
        let next = rig.path("jwks.next");
        fs::write(&next, keys.to_string()).unwrap();
        fs::rename(next, &file).unwrap();
    };
    publish(&rig);
    for count in 1..=2 {
        // a change is looked for every 5 s, and a file without keys is tried again sooner
        let changed = "keys to verify tokens with changed";
        rig.gateway.logged(changed, count).await;
        rig.call(devices(&token(&rig, &ADA)))
            .await
            .assert_passed(200);
        rig.vendor.rotate_user_keys();
        publish(&rig);
    }
    assert_eq!(rig.vendor.count(Endpoint::Jwks), 0);
}

#[tokio::test]
async fn a_reload_that_is_about_something_else_keeps_the_keys_in_hand() {
    let rig = believing().start().await;
    rig.call(devices(&token(&rig, &ADA)))
        .await
        .assert_passed(200);
    rig.vendor
        .misbehave(Fault::Status(StatusCode::SERVICE_UNAVAILABLE).at(Endpoint::Jwks));
    let configuration = rig.path("gateway.toml");
    let before = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, format!("frontegg.http2 = true\n{before}")).unwrap();
    rig.gateway.signal(Signal::HUP);
    let reloaded = rig.gateway.logged("configuration reloaded", 1).await;
    assert_eq!(reloaded[0]["changed"], "[\"frontegg.http2\"]");
    rig.call(devices(&token(&rig, &ADA)))
        .await
        .assert_passed(200);
}

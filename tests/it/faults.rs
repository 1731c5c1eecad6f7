//! A vendor that misbehaves: for each fault what the caller is told, and how often the vendor saw
//! the request. That the records say the same is checked for each call (see [`crate::support`]).

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{BadCertificate, Endpoint, Fault, GZIPPED},
        world::seed::{ADA, GRACE},
    },
};

use crate::support::{Builder, Call, Reply, Rig, eventually, recover};

const MIB: usize = 1024 * 1024;

/// What the caller is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The vendor's answer, with this status.
    Answer(u16),
    /// That the gateway got none, with this status and code.
    Refusal(u16, &'static str),
}

use Told::{Answer, Refusal};

const UNREACHABLE: Told = Refusal(502, "upstream-unreachable");
const TIMEOUT: Told = Refusal(504, "upstream-timeout");
const TOO_LARGE: Told = Refusal(502, "upstream-answer-too-large");

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

/// A proof that could be spent: never sent twice, whatever comes back.
fn disable() -> Call {
    Call::of(Operation::UserAuthenticatorDisable).on_behalf_of(&ADA)
}

fn assert_told(reply: &Reply, told: Told, fault: Fault) {
    match told {
        Answer(status) => {
            assert_eq!(reply.code(), None, "{fault:?}");
            assert_eq!(reply.status, status, "{fault:?}");
        }
        Refusal(status, code) => {
            assert_eq!(reply.status, status, "{fault:?}");
            assert_eq!(reply.code().as_deref(), Some(code), "{fault:?}");
        }
    }
}

fn impatient() -> Builder {
    Rig::builder()
        .set("frontegg.request_timeout", "'2s'")
        .quota("code", 1000)
}

/// Faults of an exchange, each over a new connection and over a used one.
async fn suffer(rig: &Rig) {
    let table = [
        (Fault::Reset, UNREACHABLE),
        (Fault::Close, UNREACHABLE),
        (Fault::Hang, TIMEOUT),
        (Fault::Slow(Duration::from_secs(60)), TIMEOUT),
        (
            Fault::Status(StatusCode::INTERNAL_SERVER_ERROR),
            Answer(500),
        ),
        (Fault::Status(StatusCode::BAD_GATEWAY), Answer(502)),
        (Fault::Status(StatusCode::SERVICE_UNAVAILABLE), Answer(503)),
        (Fault::Status(StatusCode::GATEWAY_TIMEOUT), Answer(504)),
        (Fault::Status(StatusCode::FORBIDDEN), Answer(403)),
        (Fault::Redirect, Answer(302)),
        (Fault::SwitchingProtocols, UNREACHABLE),
        (Fault::Large(MIB), Answer(200)),
        (Fault::Large(MIB + 1), TOO_LARGE),
        (Fault::Large(8 * MIB), TOO_LARGE),
        (Fault::Gzip, Answer(200)),
    ];
    for (fault, told) in table {
        for call in [devices(), disable(), disable().http2()] {
            rig.call(devices()).await.assert_passed(200);
            rig.vendor.misbehave(fault.once());
            let reply = rig.call(call).await;
            assert_told(&reply, told, fault);
            let received = rig.received(&reply).len();
            assert_eq!(received, 1, "{fault:?}: never sent twice");
        }
    }
    rig.call(devices()).await.assert_passed(200);
}

#[tokio::test]
async fn each_fault_of_an_exchange_is_told_and_nothing_is_sent_twice() {
    suffer(&impatient().start().await).await;
}

#[tokio::test]
async fn each_fault_of_an_exchange_is_told_and_nothing_is_sent_twice_over_http_2() {
    suffer(&impatient().set("frontegg.http2", "true").start().await).await;
}

#[tokio::test]
async fn what_the_vendor_says_is_passed_on_as_it_is() {
    let rig = Rig::start().await;
    rig.vendor.misbehave(Fault::Gzip.once());
    let gzip = rig.call(devices()).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert_eq!(gzip.body, GZIPPED);
    rig.vendor.misbehave(Fault::Redirect.once());
    let redirect = rig.call(devices()).await;
    redirect.assert_passed(302);
    assert!(!redirect.headers.contains_key("location"));
    let records = rig.records(&redirect);
    assert_eq!(records[1].outcome(), "failed", "only 2xx is a success");
    rig.vendor.misbehave(Fault::Large(MIB).once());
    assert_eq!(rig.call(devices()).await.body.len(), MIB);
    rig.vendor
        .misbehave(Fault::Slow(Duration::from_millis(300)).once());
    rig.call(devices()).await.assert_passed(200);
}

#[tokio::test]
async fn a_certificate_that_is_not_the_vendors_is_refused_and_the_attempt_given_back() {
    let bad = [
        BadCertificate::Expired,
        BadCertificate::Foreign,
        BadCertificate::WrongHost,
    ];
    for certificate in bad {
        let rig = Rig::builder().quota("email", 1).start().await;
        rig.gateway.logged("credential renewed", 1).await;
        rig.vendor.misbehave(Fault::Certificate(certificate));
        for _ in 0..3 {
            let reply = rig.call(recover(ADA.email, "wrong")).await;
            reply.assert_refused(502, "upstream-unreachable");
            assert_eq!(rig.vendor.count(Operation::Recover), 0);
        }
        rig.vendor.behave();
        rig.call(recover(ADA.email, "wrong"))
            .await
            .assert_passed(401);
        let warned = rig.gateway.logged("request refused", 3).await;
        assert_eq!(warned[0]["reason"], "upstream-unreachable");
    }
}

#[tokio::test]
async fn a_vendor_that_refuses_connections_is_told_and_nothing_arrives() {
    let rig = Rig::start().await;
    rig.gateway.logged("credential renewed", 1).await;
    rig.vendor.misbehave(Fault::RefuseConnections.times(2));
    for _ in 0..2 {
        rig.call(devices())
            .await
            .assert_refused(502, "upstream-unreachable");
    }
    rig.call(devices()).await.assert_passed(200);
    assert_eq!(rig.vendor.count(Operation::UserDevices), 1);
}

#[tokio::test]
async fn a_connection_that_the_vendor_closed_while_idle_is_replaced() {
    let rig = Rig::builder().quota("code", 1000).start().await;
    let mut connections = BTreeSet::new();
    for round in 1..=10 {
        for call in [devices(), disable()] {
            let reply = rig.call(call).await;
            assert_eq!(reply.code(), None, "{reply:?}");
            let received = rig.received(&reply);
            assert_eq!(received.len(), 1);
            connections.insert(received[0].connection);
        }
        rig.vendor.close_idle_connections();
        rig.vendor
            .until(|vendor| vendor.open_connections() == 0)
            .await;
        assert!(connections.len() >= round);
    }
}

#[tokio::test]
async fn a_connection_on_which_a_request_timed_out_is_not_used_again() {
    let rig = Rig::builder()
        .set("frontegg.request_timeout", "'500ms'")
        .start()
        .await;
    rig.call(devices()).await.assert_passed(200);
    rig.vendor.misbehave(Fault::Hang.once());
    let hung = rig.call(devices()).await;
    hung.assert_refused(504, "upstream-timeout");
    let next = rig.call(devices()).await;
    next.assert_passed(200);
    assert_ne!(
        rig.received(&hung)[0].connection,
        rig.received(&next)[0].connection
    );
}

#[tokio::test]
async fn a_401_where_nothing_can_be_spent_renews_the_credential_and_sends_once_more() {
    let rig = Rig::start().await;
    rig.gateway.logged("credential renewed", 1).await;
    // tokens of one second are the same
    rig.vendor.advance(Duration::from_secs(1));
    rig.vendor
        .misbehave(Fault::Status(StatusCode::UNAUTHORIZED).once());
    let reply = rig.call(devices()).await;
    reply.assert_passed(200);
    let received = rig.received(&reply);
    assert_eq!(received.len(), 2);
    assert_ne!(
        received[0].header("authorization"),
        received[1].header("authorization")
    );
    assert_eq!(rig.vendor.tokens_issued(), 2);
    // a renewal is forced once in ten seconds at most
    rig.vendor
        .misbehave(Fault::Status(StatusCode::UNAUTHORIZED).once());
    let reply = rig.call(devices()).await;
    reply.assert_passed(401);
    assert_eq!(rig.received(&reply).len(), 1);
    assert_eq!(rig.vendor.tokens_issued(), 2);
}

#[tokio::test]
async fn a_401_again_after_the_renewal_is_passed_on() {
    let rig = Rig::start().await;
    rig.vendor
        .misbehave(Fault::Status(StatusCode::UNAUTHORIZED).times(2));
    let reply = rig.call(devices()).await;
    reply.assert_passed(401);
    assert_eq!(rig.received(&reply).len(), 2);
}

#[tokio::test]
async fn a_401_that_may_mean_a_wrong_code_is_passed_on_and_the_credential_renewed_behind() {
    let rig = Rig::builder().quota("code", 1000).start().await;
    rig.gateway.logged("credential renewed", 1).await;
    rig.vendor.advance(Duration::from_secs(1));
    let code = GRACE.recovery_code.unwrap();
    rig.vendor
        .misbehave(Fault::Status(StatusCode::UNAUTHORIZED).once());
    let reply = rig.call(recover(GRACE.email, code)).await;
    reply.assert_passed(401);
    assert_eq!(
        rig.received(&reply).len(),
        1,
        "the code could have been spent"
    );
    rig.vendor
        .until(|vendor| vendor.count(Endpoint::TokenExchange) == 2)
        .await;
    rig.gateway.logged("credential renewed", 2).await;
    let first = rig.received(&reply)[0]
        .header("authorization")
        .map(str::to_owned);
    let next = rig.call(devices()).await;
    assert_ne!(
        rig.received(&next)[0].header("authorization"),
        first.as_deref()
    );
    // wrong codes cannot drive it
    for _ in 0..20 {
        rig.call(Call::of(Operation::LoginAuthenticatorVerify))
            .await
            .assert_passed(401);
    }
    assert_eq!(rig.vendor.count(Endpoint::TokenExchange), 2);
}

#[tokio::test]
async fn a_revoked_credential_is_replaced_without_the_caller_seeing_it() {
    let rig = Rig::start().await;
    rig.call(devices()).await.assert_passed(200);
    rig.vendor.revoke_tokens();
    let reply = rig.call(devices()).await;
    reply.assert_passed(200);
    assert_eq!(rig.received(&reply).len(), 2);
}

#[tokio::test]
async fn a_new_connection_is_made_when_the_vendor_comes_back() {
    let rig = impatient().start().await;
    rig.call(devices()).await.assert_passed(200);
    rig.vendor.misbehave(Fault::Reset.times(3));
    for _ in 0..3 {
        rig.call(devices())
            .await
            .assert_refused(502, "upstream-unreachable");
    }
    rig.call(devices()).await.assert_passed(200);
    eventually("nothing in flight", || {
        (rig.vendor.open_connections() <= 2).then_some(())
    })
    .await;
}

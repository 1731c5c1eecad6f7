//! An exchange that has begun is finished and recorded, though the caller leaves; a request that
//! is given up before is recorded too.

use std::time::Duration;

use http::Version;
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::Fault,
        world::seed::{BARBARA, GRACE, Person},
    },
};

use crate::support::{Call, Raw, Record, Rig, eventually, recover};

/// The last record of the request that its caller called so.
async fn ended(rig: &Rig, name: &str) -> Record {
    let last = || {
        rig.audit
            .called(name)
            .into_iter()
            .find(|record| record.stage() != "admitted")
    };
    eventually("the record of its end", last).await
}

async fn leave_in_the_middle(version: Version, person: &Person) {
    let rig = Rig::start().await;
    rig.vendor
        .misbehave(Fault::Slow(Duration::from_millis(500)).once());
    let code = person.recovery_code.unwrap();
    let call = recover(person.email, code)
        .version(version)
        .header("x-request-id", "left");
    let client = rig.client.clone();
    let caller = tokio::spawn(async move { client.send(call).await });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) == 1)
        .await;
    caller.abort();
    let record = ended(&rig, "left").await;
    assert_eq!(record.stage(), "completed");
    assert_eq!(record.outcome(), "succeeded");
    assert_eq!(record.status(), Some(200));
    assert_eq!(rig.audit.called("left").len(), 2);
    assert_eq!(rig.vendor.user(person.id).unwrap().recovery_code, None);
    assert_eq!(rig.vendor.count(Operation::Recover), 1);
}

#[tokio::test]
async fn an_exchange_is_finished_though_the_caller_leaves() {
    leave_in_the_middle(Version::HTTP_11, &BARBARA).await;
}

#[tokio::test]
async fn an_exchange_is_finished_though_the_caller_leaves_over_http_2() {
    leave_in_the_middle(Version::HTTP_2, &GRACE).await;
}

#[tokio::test]
async fn an_attempt_counts_though_the_caller_leaves() {
    let rig = Rig::builder().quota("email", 1).start().await;
    rig.vendor
        .misbehave(Fault::Slow(Duration::from_millis(300)).once());
    let call = recover(GRACE.email, "wrong").header("x-request-id", "left");
    let client = rig.client.clone();
    let caller = tokio::spawn(async move { client.send(call).await });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) == 1)
        .await;
    caller.abort();
    assert_eq!(ended(&rig, "left").await.status(), Some(401));
    rig.call(recover(GRACE.email, "wrong"))
        .await
        .assert_refused(429, "rate-limited");
}

/// A request whose body announces ten bytes and has one.
fn half(name: &str) -> String {
    let target = Call::of(Operation::UserDisable).target;
    format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-request-id: {name}\r\nfrontegg-user-id: ann\r\ncontent-length: 10\r\n\r\n{{"
    )
}

#[tokio::test]
async fn a_request_whose_caller_leaves_before_its_end_is_recorded_and_goes_nowhere() {
    let rig = Rig::builder().all_routes().start().await;
    let mut caller = Raw::open(&rig.client).await;
    caller.send(half("half")).await;
    let in_flight = "mfa_gateway_in_flight_requests 1";
    while !metrics(&rig).await.contains(in_flight) {}
    drop(caller);
    let record = ended(&rig, "half").await;
    assert_eq!(record.stage(), "refused");
    assert_eq!(record.operation(), "user.disable");
    assert_eq!(rig.audit.called("half").len(), 1);
    assert_eq!(rig.vendor.count(Operation::UserDisable), 0);
}

async fn metrics(rig: &Rig) -> String {
    let reply = rig.ask_admin(http::Method::GET, "/metrics").await;
    String::from_utf8(reply.body.into()).unwrap()
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_refused() {
    let rig = Rig::builder()
        .all_routes()
        .set("listen.body_timeout", "'200ms'")
        .start()
        .await;
    let mut caller = Raw::open(&rig.client).await;
    caller.send(half("slow")).await;
    let reply = caller.reply().await.unwrap();
    reply.assert_refused(408, "body-too-slow");
    rig.check(&Call::of(Operation::UserDisable), &reply);
    assert!(
        caller.reply().await.is_none(),
        "the rest of the body would be a request"
    );
}

#[tokio::test]
async fn a_head_that_takes_too_long_and_a_connection_without_a_request_are_closed() {
    let rig = Rig::builder()
        .set("listen.header_timeout", "'300ms'")
        .set("listen.idle_timeout", "'300ms'")
        .start()
        .await;
    for (bytes, status) in [
        ("", None),
        ("GET /", Some(408)),
        ("GET / HTTP/1.1\r\nhost: localhost\r\n", Some(408)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ] {
        let mut connection = Raw::open(&rig.client).await;
        connection.send(bytes).await;
        if let Some(status) = status {
            assert_eq!(connection.reply().await.unwrap().status, status);
        }
        connection.end().await;
    }
    let mut connection = Raw::open(&rig.client).await;
    connection
        .send("GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(connection.reply().await.unwrap().status, 404);
    connection.send("GET /").await;
    assert_eq!(connection.reply().await.unwrap().status, 408);
    connection.end().await;
}

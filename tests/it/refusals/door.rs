//! The door: room, `Host`, `Origin`, headers taken away, too many of them.

use http::{Method, Version};
use mfa_gateway::{route::Operation, sandbox::vendor::Fault};

use crate::support::{Call, Reply, Rig};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn devices() -> Call {
    Call::of(Operation::UserDevices)
}

/// Its one record names the operation, though the request came no further than the door.
fn assert_recorded(rig: &Rig, reply: &Reply) {
    let records = rig.records(reply);
    assert_eq!(records.len(), 1, "{reply:?}");
    assert_eq!(records[0].operation(), "user.devices");
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_to_loopback_is_refused() {
    let rig = Rig::start().await;
    for version in VERSIONS {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1",
        ] {
            let reply = rig.call(devices().version(version).host(host)).await;
            reply.assert_refused(421, "host-not-served");
            assert_recorded(&rig, &reply);
        }
        for host in [
            "localhost",
            "LOCALHOST:1",
            "app.localhost:8080",
            "127.0.0.2",
            "[::1]:80",
        ] {
            let reply = rig.call(devices().version(version).host(host)).await;
            assert_eq!(reply.code(), None, "{host}");
        }
    }
}

#[tokio::test]
async fn only_listed_hosts_are_served_whatever_their_port() {
    let rig = Rig::builder()
        .set("listen.allowed_hosts", "['mfa.internal']")
        .start()
        .await;
    for version in VERSIONS {
        let reply = rig
            .call(devices().version(version).host("MFA.internal:8443"))
            .await;
        assert_eq!(reply.code(), None);
        let reply = rig.call(devices().version(version).host("localhost")).await;
        reply.assert_refused(421, "host-not-served");
    }
}

#[tokio::test]
async fn a_unix_socket_serves_any_host() {
    let builder = Rig::builder();
    let address = format!("unix:{}/gateway.sock", builder.folder());
    let rig = builder.listen(&[&address]).start().await;
    let reply = rig.call(devices().host("anything.example")).await;
    assert_eq!(reply.code(), None);
}

#[tokio::test]
async fn there_is_exactly_one_host() {
    let rig = Rig::start().await;
    let authority_and_another = devices().http2().header("host", "127.0.0.1");
    let user_information = devices().host("someone@localhost");
    let two = devices()
        .header("host", "localhost")
        .also("host", "localhost");
    let empty = devices().header("host", "");
    for call in [authority_and_another, user_information, two, empty] {
        let reply = rig.call(call).await;
        reply.assert_refused(400, "host-missing");
        assert_recorded(&rig, &reply);
    }
}

#[tokio::test]
async fn another_origins_page_is_refused() {
    let rig = Rig::builder()
        .set("listen.allowed_origins", "['https://app.example']")
        .start()
        .await;
    for version in VERSIONS {
        let call = || devices().version(version);
        for call in [
            call().header("origin", "https://evil.example"),
            call().header("origin", "null"),
            call()
                .header("origin", "https://app.example")
                .also("origin", "https://evil.example"),
            call().header("sec-fetch-site", "cross-site"),
        ] {
            let reply = rig.call(call).await;
            reply.assert_refused(403, "origin-not-allowed");
            assert_recorded(&rig, &reply);
        }
        let reply = rig
            .call(call().header("origin", "https://app.example"))
            .await;
        assert_eq!(reply.code(), None);
    }
}

#[tokio::test]
async fn no_origin_is_allowed_unless_it_is_listed_and_options_never_is() {
    let rig = Rig::start().await;
    let origin = format!("http://{}", rig.addresses[0]);
    let reply = rig.call(devices().header("origin", &origin)).await;
    reply.assert_refused(403, "origin-not-allowed");
    let preflight = Call::new(Method::OPTIONS, &devices().target)
        .header("access-control-request-method", "GET");
    let reply = rig.call(preflight).await;
    reply.assert_refused(405, "method-not-allowed");
}

#[tokio::test]
async fn a_header_of_ours_cannot_be_taken_away_by_connection() {
    let rig = Rig::builder().forward(&["x-tried"]).start().await;
    for named in [
        "authorization",
        "close, Frontegg-Tenant-Id",
        "frontegg-user-id",
        "x-request-id",
        "keep-alive,x-mfa-gateway-key",
        "x-frontegg-forwarded-for",
        "cookie",
        "content-type",
        "host",
        "content-length",
        "x-tried",
        "traceparent",
    ] {
        let reply = rig.call(devices().header("connection", named)).await;
        reply.assert_refused(400, "header-not-allowed");
        assert_recorded(&rig, &reply);
    }
    for named in [
        "keep-alive",
        "close",
        "Keep-Alive, X-Other",
        "TE, close",
        "upgrade",
    ] {
        let reply = rig.call(devices().header("connection", named)).await;
        assert_eq!(reply.code(), None, "{named}");
    }
}

#[tokio::test]
async fn a_connection_stays_http() {
    let rig = Rig::start().await;
    for protocol in ["websocket", "h2c", "TLS/1.0"] {
        let call = devices()
            .header("upgrade", protocol)
            .header("connection", "upgrade");
        let reply = rig.call(call).await;
        reply.assert_refused(400, "header-not-allowed");
    }
}

#[tokio::test]
async fn more_headers_than_are_read_are_refused() {
    let rig = Rig::builder().set("listen.max_headers", "20").start().await;
    let mut call = devices();
    for number in 0..30 {
        call = call.header(&format!("x-filler-{number}"), "1");
    }
    let reply = rig.call(call.clone().http2()).await;
    reply.assert_refused(431, "headers-too-large");
    // hyper refuses it by itself over HTTP/1.1, in few words
    let reply = rig.client.send(call).await.unwrap();
    assert_eq!(reply.status, 431);
    assert!(
        rig.vendor
            .received()
            .iter()
            .all(|received| received.header("x-filler-0").is_none())
    );
}

#[tokio::test]
async fn a_head_of_more_than_32_kib_is_refused() {
    let rig = Rig::start().await;
    let call = devices().header("x-filler", &"x".repeat(40 * 1024));
    let reply = rig.client.send(call.clone()).await.unwrap();
    assert_eq!(reply.status, 431);
    match rig.client.send(call.http2()).await {
        Ok(reply) => assert_eq!(reply.status, 431),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(
        rig.vendor
            .received()
            .iter()
            .all(|received| received.header("x-filler").is_none())
    );
}

#[tokio::test]
async fn one_request_more_than_are_served_at_once_is_refused() {
    let rig = Rig::builder()
        .set("listen.max_in_flight", "2")
        .start()
        .await;
    rig.vendor.misbehave(Fault::Hang.times(2));
    let mut held = Vec::new();
    for _ in 0..2 {
        let client = rig.client.clone();
        held.push(tokio::spawn(async move { client.send(devices()).await }));
    }
    rig.vendor
        .until(|vendor| vendor.count(Operation::UserDevices) == 2)
        .await;
    let reply = rig.call(devices()).await;
    reply.assert_refused(503, "overloaded");
    assert_recorded(&rig, &reply);
    assert_eq!(reply.header("retry-after"), Some("1"));
    for call in held {
        call.abort();
    }
}

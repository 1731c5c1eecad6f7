//! What the gateway is for: all 41 operations, unchanged but for what it must change.

use http::Version;
use mfa_gateway::route::{Operation, SubjectRule};

use crate::support::{Builder, Call, Reply, Rig, recover};

/// Lets every operation through, as often as a test likes.
fn everything() -> Builder {
    let plenty = "{ attempts = 1000, per = '1s' }";
    Rig::builder()
        .all_routes()
        .set("listen.base_path", "'/frontegg'")
        .quota("email", 1000)
        .quota("code", 1000)
        .quota("send", 1000)
        .set("limits.upstream.recover", plenty)
        .set("limits.upstream.'login.verify'", plenty)
}

/// The vendor had the call once, as its caller meant it.
fn assert_sent(rig: &Rig, call: &Call, reply: &Reply, operation: Operation) {
    let name = operation.name();
    let received = rig.received(reply);
    assert_eq!(received.len(), 1, "{name}");
    let received = &received[0];
    assert_eq!(received.target, call.target);
    assert_eq!(received.method, call.method);
    let (tenant, user) = match operation.facts().subject {
        SubjectRule::Nobody => (None, None),
        SubjectRule::TenantIfKnown => (Some("tenant-1"), None),
        SubjectRule::User | SubjectRule::UserAndTenant => (Some("tenant-1"), Some("user-1")),
    };
    assert_eq!(received.header("frontegg-tenant-id"), tenant, "{name}");
    assert_eq!(received.header("frontegg-user-id"), user, "{name}");
    if operation == Operation::Recover {
        let anew = r#"{"recoveryCode":"recoveryCode-1","email":"someone@acme.example"}"#;
        assert_eq!(received.body, anew);
    } else {
        assert_eq!(received.body, call.body, "{name}");
    }
    assert_eq!(rig.records(reply)[0].operation(), name);
}

/// Calls every operation in both versions, with and without the base path.
async fn call_everything(rig: &Rig) {
    for &operation in Operation::ALL {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for base in ["", "/frontegg"] {
                let mut call = Call::of(operation).version(version);
                if !call.body.is_empty() {
                    // bytes go on as they came, blanks too
                    call.body = [b" \n", &*call.body, b"\t"].concat().into();
                }
                let target = format!("{base}{}", call.target);
                let reply = rig.call(call.clone().target(&target)).await;
                assert_eq!(reply.code(), None, "{}: {reply:?}", operation.name());
                assert_sent(rig, &call, &reply, operation);
            }
        }
    }
}

#[tokio::test]
async fn every_operation_passes_in_both_versions_with_and_without_the_base_path() {
    let rig = everything().start().await;
    call_everything(&rig).await;
    assert!(
        rig.vendor
            .received()
            .iter()
            .all(|received| received.version == Version::HTTP_11)
    );
}

#[tokio::test]
async fn every_operation_passes_to_a_vendor_that_speaks_http_2() {
    let rig = everything().set("frontegg.http2", "true").start().await;
    call_everything(&rig).await;
    let mut received = rig.vendor.received();
    received.retain(|received| received.header("x-request-id").is_some());
    assert!(
        received
            .iter()
            .all(|received| received.version == Version::HTTP_2)
    );
}

#[tokio::test]
async fn every_operation_passes_over_tls() {
    let rig = everything().tls().start().await;
    call_everything(&rig).await;
}

#[tokio::test]
async fn every_operation_passes_over_a_unix_socket() {
    let builder = everything();
    let address = format!("unix:{}/gateway.sock", builder.folder());
    let rig = builder.listen(&[&address]).start().await;
    call_everything(&rig).await;
}

#[tokio::test]
async fn an_operation_without_required_fields_takes_no_byte_and_an_empty_object_alike() {
    let rig = everything().start().await;
    let bare = Operation::ALL.iter().filter(|operation| {
        let facts = operation.facts();
        facts.takes_empty_body() && facts.method != http::Method::GET
    });
    for &operation in bare {
        for body in ["", "{}"] {
            let call = Call::of(operation)
                .header("content-type", "application/json")
                .body(body);
            let reply = rig.call(call).await;
            assert_eq!(reply.code(), None, "{}", operation.name());
            assert_eq!(rig.received(&reply)[0].body, body, "{}", operation.name());
        }
    }
}

#[tokio::test]
async fn what_recover_sends_is_written_anew_from_its_two_fields() {
    let rig = everything().start().await;
    let call = recover("x", "x").body(
        "\u{20}{\"\\u0065mail\" : \" Ada@ACME.example \", \"recoveryCode\": \"a\\u0062c\\\"\" }",
    );
    let reply = rig.call(call).await;
    let anew = r#"{"recoveryCode":"abc\"","email":" Ada@ACME.example "}"#;
    assert_eq!(rig.received(&reply)[0].body, anew);
}

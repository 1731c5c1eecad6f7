//! Who calls, and on whose behalf.

use mfa_gateway::route::Operation;

use crate::support::{Builder, Call, Rig};

const KEY: &str = "x-mfa-gateway-key";

/// Two callers: one for everything, one for a tenant's devices.
fn two_callers() -> Builder {
    let builder = Rig::builder().all_routes();
    let all = builder.file("all", "console-key\n");
    let bound = builder.file("bound", "portal-key");
    builder.tables(&format!(
        "[[callers]]\nname = 'console'\ntoken_file = '{all}'\n\
         [[callers]]\nname = 'portal'\ntoken_file = '{bound}'\n\
         operations = ['user.*', 'self-service', 'management']\ntenants = ['tenant-1']\n"
    ))
}

fn console(operation: Operation) -> Call {
    Call::of(operation).header(KEY, "console-key")
}

fn portal(operation: Operation) -> Call {
    Call::of(operation).header(KEY, "portal-key")
}

#[tokio::test]
async fn an_unknown_caller_is_refused_before_the_body_is_read() {
    let rig = two_callers().start().await;
    let call = || Call::of(Operation::Recover).body(vec![b'x'; 200_000]);
    for call in [
        call(),
        call().header(KEY, ""),
        call().header(KEY, "wrong"),
        call().header(KEY, "console-keys"),
        call().header(KEY, "console-key").also(KEY, "console-key"),
        call().header(KEY, "console-key").also(KEY, "portal-key"),
        call().header("authorization", "Bearer console-key"),
    ] {
        let reply = rig.call(call.http2()).await;
        reply.assert_refused(401, "caller-unknown");
        assert_eq!(
            reply.header("www-authenticate"),
            Some("ApiKey header=\"x-mfa-gateway-key\"")
        );
        assert_eq!(
            rig.records(&reply)[0].0["unmapped"]["caller"],
            serde_json::Value::Null
        );
    }
}

#[tokio::test]
async fn a_known_caller_is_named_in_the_record_and_their_key_stays_here() {
    let rig = two_callers().start().await;
    for (call, name) in [
        (console(Operation::Recover), "console"),
        (console(Operation::UserUnenroll), "console"),
        (portal(Operation::UserDevices), "portal"),
    ] {
        let reply = rig.call(call).await;
        assert_eq!(reply.code(), None);
        assert_eq!(rig.received(&reply)[0].header(KEY), None);
        for record in rig.records(&reply) {
            assert_eq!(record.0["unmapped"]["caller"], name);
        }
    }
}

#[tokio::test]
async fn a_caller_does_only_what_is_theirs() {
    let rig = two_callers().start().await;
    for operation in [Operation::Recover, Operation::LoginVerify] {
        let reply = rig.call(portal(operation)).await;
        reply.assert_refused(403, "caller-not-allowed");
        assert_eq!(rig.records(&reply)[0].0["unmapped"]["caller"], "portal");
    }
}

#[tokio::test]
async fn a_caller_of_one_tenant_acts_for_no_other_and_not_for_the_environment() {
    let rig = two_callers().start().await;
    for operation in [
        Operation::ConfigGet,
        Operation::ConfigUpdate,
        Operation::StrategiesGet,
        Operation::StrategiesSet,
        Operation::PolicyEnvironmentGet,
        Operation::UserUnenroll,
    ] {
        let reply = rig.call(portal(operation)).await;
        reply.assert_refused(403, "caller-not-allowed");
    }
    for operation in [
        Operation::UserDevices,
        Operation::PolicyGet,
        Operation::UserSmsDisable,
    ] {
        let other = portal(operation).header("frontegg-tenant-id", "tenant-2");
        rig.call(other)
            .await
            .assert_refused(403, "subject-not-allowed");
        let none = portal(operation).without("frontegg-tenant-id");
        rig.call(none).await.assert_refused(400, "subject-missing");
        let theirs = rig.call(portal(operation)).await;
        assert_eq!(theirs.code(), None, "{theirs:?}");
    }
}

#[tokio::test]
async fn the_subject_is_there_well_formed_and_once() {
    let rig = Rig::builder().all_routes().start().await;
    let devices = || Call::of(Operation::UserDevices);
    let long = "x".repeat(129);
    for call in [
        devices().without("frontegg-user-id"),
        devices().header("frontegg-user-id", ""),
        devices().header("frontegg-user-id", "a b"),
        devices().header("frontegg-user-id", &long),
        devices().header("frontegg-user-id", "ä"),
        devices().also("frontegg-user-id", "user-1"),
        devices().also("frontegg-user-id", "user-2"),
        devices().also("frontegg-tenant-id", "tenant-2"),
        devices().header("frontegg-tenant-id", "a\tb"),
        Call::of(Operation::UserSmsDisable).without("frontegg-tenant-id"),
        Call::of(Operation::PolicyGet).also("frontegg-tenant-id", "tenant-2"),
    ] {
        let reply = rig.call(call).await;
        reply.assert_refused(400, "subject-missing");
    }
    let reply = rig.call(devices().without("frontegg-tenant-id")).await;
    assert_eq!(reply.code(), None);
}

#[tokio::test]
async fn another_tenant_than_the_guards_is_refused_whatever_the_operation() {
    let rig = Rig::builder()
        .all_routes()
        .set("subject.tenant", "'tenant-1'")
        .start()
        .await;
    for operation in [
        Operation::UserDevices,
        Operation::PolicyGet,
        Operation::Recover,
        Operation::ConfigGet,
    ] {
        let other = Call::of(operation).header("frontegg-tenant-id", "tenant-2");
        rig.call(other)
            .await
            .assert_refused(403, "subject-not-allowed");
        assert_eq!(rig.call(Call::of(operation)).await.code(), None);
    }
    let none = Call::of(Operation::UserDevices).without("frontegg-tenant-id");
    let reply = rig.call(none).await;
    let received = &rig.received(&reply)[0];
    assert_eq!(received.header("frontegg-tenant-id"), Some("tenant-1"));
}

#[tokio::test]
async fn a_fixed_subject_is_what_leaves_whatever_the_caller_says() {
    let rig = Rig::builder()
        .all_routes()
        .set("subject.from", "'fixed'")
        .set("subject.tenant", "'tenant-9'")
        .set("subject.user", "'user-9'")
        .start()
        .await;
    for call in [
        Call::of(Operation::UserDevices),
        Call::of(Operation::UserDevices)
            .without("frontegg-user-id")
            .without("frontegg-tenant-id"),
    ] {
        let reply = rig.call(call).await;
        let received = &rig.received(&reply)[0];
        assert_eq!(received.header("frontegg-user-id"), Some("user-9"));
        assert_eq!(received.header("frontegg-tenant-id"), Some("tenant-9"));
    }
}

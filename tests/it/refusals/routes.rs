//! Which paths and methods are routes, and which of them are let through.

use http::{Method, Version};
use mfa_gateway::route::Operation;

use crate::support::{Call, Rig, recover};

const RECOVER: &str = "/identity/resources/auth/v1/user/mfa/recover";

/// Fails unless the target is no route, in each version of HTTP that can say it.
async fn assert_no_route(rig: &Rig, target: &str) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        if target == "*" && version == Version::HTTP_2 {
            continue;
        }
        let call = Call::of(Operation::UserAuthenticatorDisable).target(target);
        let reply = rig.call(call.version(version)).await;
        reply.assert_refused(404, "route-not-found");
        assert_eq!(rig.records(&reply).len(), 0, "{target}");
    }
}

#[tokio::test]
async fn only_the_exact_path_is_a_route() {
    let rig = Rig::builder()
        .all_routes()
        .set("listen.base_path", "'/frontegg'")
        .start()
        .await;
    for target in [
        "/",
        "/livez",
        "/auth/vendor/",
        "/identity/resources/auth/v1/user",
        "*",
        "/identity/resources/auth/v1/user/mfa/recover/",
        "/identity/resources/auth/v1/user/mfa//recover",
        "//identity/resources/auth/v1/user/mfa/recover",
        "/identity/resources/auth/v1/user/mfa/./recover",
        "/identity/resources/auth/v1/user/mfa/x/../recover",
        "/identity/resources/auth/v1/user/mfa/%72ecover",
        "/identity/resources/auth/v1/user/mfa%2frecover",
        "/identity/resources/auth/v1/user/mfa/Recover",
        "/identity/resources/auth/v1/user/mfa/recover;v=1",
        "/identity/resources/auth/v1/user/mfa/recover%00",
        "/frontegg/frontegg/identity/resources/auth/v1/user/mfa/recover",
        "/frontegg%2fidentity/resources/auth/v1/user/mfa/recover",
        "/fronteggidentity/resources/auth/v1/user/mfa/recover",
        "/identity/resources/users/v1/mfa/authenticator//disable/verify",
        "/identity/resources/users/v1/mfa/authenticator/a/b/disable/verify",
    ] {
        assert_no_route(&rig, target).await;
    }
}

#[tokio::test]
async fn a_parameter_is_a_plain_word() {
    let rig = Rig::start().await;
    let path = |id: &str| {
        Call::of(Operation::UserAuthenticatorDisable)
            .target
            .replace("device-1", id)
    };
    let long = "x".repeat(129);
    for id in [
        ".", "..", "%2e%2e", "a%2fb", "a;b", "a+b", "%C3%A4", "a%20b", &long,
    ] {
        assert_no_route(&rig, &path(id)).await;
    }
    for id in ["x", "A-z_0.9", "...", &long[1..]] {
        let call = Call::of(Operation::UserAuthenticatorDisable).target(&path(id));
        let reply = rig.call(call).await;
        assert_eq!(reply.code(), None, "{id}");
        assert_eq!(rig.received(&reply)[0].target, path(id));
    }
}

#[tokio::test]
async fn a_literal_segment_is_no_parameter() {
    let rig = Rig::builder().all_routes().start().await;
    let target = "/identity/resources/auth/v1/user/mfa/sms/enroll";
    let reply = rig
        .call(Call::of(Operation::LoginSmsRequest).target(target))
        .await;
    reply.assert_refused(400, "invalid-body");
    assert_eq!(rig.records(&reply)[0].operation(), "login.sms.enroll");
}

#[tokio::test]
async fn another_method_is_told_the_right_ones() {
    let rig = Rig::start().await;
    for (method, target, allow) in [
        (Method::GET, RECOVER, "POST"),
        (Method::HEAD, RECOVER, "POST"),
        (Method::OPTIONS, RECOVER, "POST"),
        (Method::TRACE, RECOVER, "POST"),
        (
            Method::POST,
            "/identity/resources/users/v1/mfa/devices",
            "GET",
        ),
        (
            Method::DELETE,
            "/identity/resources/configurations/v1/mfa-policy",
            "GET, PATCH, POST, PUT",
        ),
        (Method::from_bytes(b"PROPFIND").unwrap(), RECOVER, "POST"),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let call = Call::new(method.clone(), target).version(version);
            if method == Method::HEAD {
                // without its body it is no problem document
                let reply = rig.client.send(call).await.unwrap();
                assert_eq!((reply.status.as_u16(), reply.body.len()), (405, 0));
                assert_ne!(reply.header("content-length"), Some("0"));
                continue;
            }
            let reply = rig.call(call).await;
            reply.assert_refused(405, "method-not-allowed");
            let mut methods: Vec<_> = reply.header("allow").unwrap().split(", ").collect();
            methods.sort_unstable();
            assert_eq!(methods.join(", "), allow);
        }
    }
}

#[tokio::test]
async fn what_the_configuration_does_not_let_through_is_refused() {
    let rig = Rig::start().await;
    for operation in [
        Operation::UserDisable,
        Operation::UserEnroll,
        Operation::UserSmsEnroll,
        Operation::PolicyGet,
        Operation::StrategiesSet,
        Operation::UserUnenroll,
    ] {
        let reply = rig.call(Call::of(operation)).await;
        reply.assert_refused(403, "route-not-allowed");
        let records = rig.records(&reply);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].operation(), operation.name());
    }
}

#[tokio::test]
async fn no_query_goes_on_but_the_one_token_of_remember_device() {
    let rig = Rig::start().await;
    let remember = Call::of(Operation::LoginRememberDevice).target;
    let path = remember.split('?').next().unwrap();
    for target in [
        format!("{RECOVER}?"),
        format!("{RECOVER}?a=b"),
        path.to_owned(),
        format!("{path}?"),
        format!("{path}?mfaToken="),
        format!("{path}?mfaToken=a&mfaToken=b"),
        format!("{path}?mfaToken=a&x=y"),
        format!("{path}?x=y&mfaToken=a"),
        format!("{path}?mfatoken=a"),
        format!("{path}?mfaToken=a;x=y"),
        format!("{path}?mfa%54oken=a"),
    ] {
        let operation = if target.starts_with(RECOVER) {
            Operation::Recover
        } else {
            Operation::LoginRememberDevice
        };
        let reply = rig.call(Call::of(operation).target(&target)).await;
        reply.assert_refused(400, "query-not-allowed");
        assert_eq!(
            rig.records(&reply)[0].operation(),
            operation.name(),
            "{target}"
        );
    }
    let target = format!("{path}?mfaToken=a%20b.c-d_e~f");
    let reply = rig
        .call(Call::of(Operation::LoginRememberDevice).target(&target))
        .await;
    assert_eq!(reply.code(), None);
    assert_eq!(rig.received(&reply)[0].target, target);
}

#[tokio::test]
async fn the_base_path_is_served_only_where_it_is_configured() {
    let rig = Rig::start().await;
    let call = recover("a@b.example", "x").target(&format!("/frontegg{RECOVER}"));
    let reply = rig.call(call).await;
    reply.assert_refused(404, "route-not-found");
}

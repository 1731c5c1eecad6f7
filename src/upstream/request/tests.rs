//! What leaves, leaves once, and nothing else does.

use proptest::{collection::vec, prelude::*};

use super::{
    super::names::{FORWARDED_FOR, HEADERS_VERIFIER, VENDOR_ID},
    *,
};
use crate::{config::SecretSource, credential::bearer_for_tests, net::testing::Ca};

fn blueprint(forward: &[&str], cookies: &[&str]) -> Blueprint {
    let mut settings = Ca::new().settings(([127, 0, 0, 1], 8443).into());
    settings.environment_id = Some(HeaderValue::from_static("env-1"));
    settings.application_id = Some(HeaderValue::from_static("app-1"));
    settings.vendor_host = Some(HeaderValue::from_static("host-1"));
    settings.client_ip_secret = Some(SecretSource::Inline("shared".into()));
    let proof = AddressProof::read(&settings).unwrap();
    let headers = Headers {
        forward: forward.iter().map(|name| name.parse().unwrap()).collect(),
        cookies: cookies
            .iter()
            .map(|text| Pattern::new((*text).to_owned()))
            .collect(),
    };
    Blueprint::new(&settings, &headers, proof)
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn build(
    blueprint: &Blueprint,
    operation: Operation,
    caller_headers: &HeaderMap,
) -> UpstreamRequest {
    build_in(blueprint, operation, caller_headers, None)
}

/// Of a user whose address is known, in a trace or in none.
fn build_in(
    blueprint: &Blueprint,
    operation: Operation,
    caller_headers: &HeaderMap,
    trace: Option<Onward>,
) -> UpstreamRequest {
    let outgoing = Outgoing {
        operation,
        path_and_query: &PathAndQuery::from_static("/identity/x?mfaToken=a%20b"),
        tenant: Some(&TenantId::parse("tenant-1").unwrap()),
        user: Some(&UserId::parse("user-1").unwrap()),
        client: Some(IpAddr::from([203, 0, 113, 9])),
        request_id: RequestId::new(),
        caller_headers,
        trace,
        body: &Bytes::from_static(b"{}"),
    };
    blueprint.build(
        outgoing,
        Credential::Environment(&bearer_for_tests("Bearer ours")),
    )
}

#[test]
fn the_path_is_as_it_came_and_names_no_host() {
    let request = build(&blueprint(&[], &[]), Operation::Recover, &HeaderMap::new());
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.target, "/identity/x?mfaToken=a%20b");
}

#[test]
fn what_names_a_credential_a_subject_or_an_address_is_ours_alone() {
    let caller = map(&[
        ("authorization", "Bearer theirs"),
        ("x-access-token", "theirs"),
        ("frontegg-tenant-id", "theirs"),
        ("frontegg-user-id", "theirs"),
        ("frontegg-environment-id", "theirs"),
        ("frontegg-vendor-host", "theirs"),
        ("x-request-id", "theirs"),
        ("x-forwarded-for", "theirs"),
        ("x-frontegg-forwarded-for", "theirs"),
        ("accept-encoding", "theirs"),
        ("host", "theirs"),
        ("accept", "application/json"),
    ]);
    let every: Vec<&str> = caller.keys().map(HeaderName::as_str).collect();
    let request = build(&blueprint(&every, &[]), Operation::UserDisable, &caller);
    let headers = request.headers();
    assert_eq!(headers[AUTHORIZATION], "Bearer ours");
    assert_eq!(headers[TENANT_ID], "tenant-1");
    assert_eq!(headers[USER_ID], "user-1");
    assert_eq!(headers[ENVIRONMENT_ID], "env-1");
    assert_eq!(headers[CONTENT_LENGTH], "2");
    assert!(headers[AUTHORIZATION].is_sensitive());
    let theirs: Vec<_> = headers
        .iter()
        .filter(|(_, value)| *value == "theirs")
        .collect();
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!(
        theirs[0].0, "accept-encoding",
        "configured, and nobody's secret"
    );
}

#[test]
fn the_operation_decides_which_subject_headers_leave() {
    let blueprint = blueprint(&[], &[]);
    for (operation, tenant, user) in [
        (Operation::Recover, false, false),
        (Operation::PolicyGet, true, false),
        (Operation::UserDevices, true, true),
        (Operation::UserSmsDisable, true, true),
    ] {
        let request = build(&blueprint, operation, &HeaderMap::new());
        let headers = request.headers();
        assert_eq!(headers.contains_key(TENANT_ID), tenant, "{operation:?}");
        assert_eq!(headers.contains_key(USER_ID), user, "{operation:?}");
    }
}

#[test]
fn only_matching_cookies_leave_in_one_header() {
    let blueprint = blueprint(&[], &["fe_*", "exact"]);
    let caller = map(&[
        ("cookie", "session=secret; fe_refresh=a=b;exact=1"),
        ("cookie", "nameless; exacter=2; fe_device=\"q\""),
    ]);
    let request = build(&blueprint, Operation::Recover, &caller);
    let sent = request.headers();
    let cookies: Vec<_> = sent.get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["fe_refresh=a=b; exact=1; fe_device=\"q\""]);
    assert!(cookies[0].is_sensitive());

    let caller = map(&[("cookie", "session=secret")]);
    let request = build(&blueprint, Operation::Recover, &caller);
    assert!(!request.headers().contains_key(COOKIE));
}

#[test]
fn nothing_secret_prints() {
    let caller = map(&[("cookie", "fe_a=canary")]);
    let outgoing = Outgoing {
        operation: Operation::LoginRememberDevice,
        path_and_query: &PathAndQuery::from_static("/identity/x?mfaToken=canary"),
        tenant: None,
        user: None,
        client: None,
        request_id: RequestId::new(),
        caller_headers: &caller,
        trace: None,
        body: &Bytes::from_static(b"canary"),
    };
    let request = blueprint(&[], &["*"]).build(
        outgoing,
        Credential::Environment(&bearer_for_tests("canary")),
    );
    assert_eq!(format!("{request:?}"), "GET /identity/x");
}

proptest! {
    #[test]
    fn no_name_outside_the_list_leaves_and_exactly_one_authorization(
        caller in vec(
            (
                "x-extra|[a-z-]{1,20}|(frontegg|x-frontegg|x|proxy)-[a-z-]{1,15}|authorization|cookie|host|\
                 accept|content-type|frontegg-tenant-id|frontegg-user-id|x-request-id|connection|\
                 traceparent|tracestate|x-frontegg-forwarded-for|frontegg-vendor-id",
                "[!-~]([ -~]{0,20}[!-~])?",
            ),
            0..30,
        ),
        forward in vec("[a-z]{1,6}|authorization|host|cookie|frontegg-user-id|x-extra|x-extra", 0..6),
        operation in proptest::sample::select(Operation::ALL),
        traced in any::<bool>(),
        is_root in any::<bool>(),
    ) {
        let headers: Vec<_> = caller.iter().map(|(n, v)| (&**n, &**v)).collect();
        let forward: Vec<_> = forward.iter().map(String::as_str).collect();
        let blueprint = blueprint(&forward, &["fe_*"]);
        let traceparent = HeaderValue::from_static("ours");
        let trace = traced.then_some(Onward { traceparent, is_root });
        let sent = build_in(&blueprint, operation, &map(&headers), trace).headers();
        let ours = [
            APPLICATION_ID, AUTHORIZATION, CONTENT_LENGTH, COOKIE, ENVIRONMENT_ID, FORWARDED_FOR,
            HEADERS_VERIFIER, RequestId::HEADER, TENANT_ID, USER_ID, VENDOR_HOST, VENDOR_ID,
        ];
        for name in sent.keys() {
            let forwarded = forward.contains(&name.as_str()) && !OURS.contains(name);
            prop_assert!(
                ours.contains(name) || FORWARDED_ALWAYS.contains(name) || forwarded,
                "{}", name
            );
        }
        let authorization: Vec<_> = sent.get_all(AUTHORIZATION).iter().collect();
        prop_assert_eq!(authorization, ["Bearer ours"]);
        let all = |headers: &HeaderMap| headers.get_all("x-extra").iter().count();
        prop_assert!(all(&sent) <= all(&map(&headers)));
        for name in &OURS {
            prop_assert!(sent.get_all(name).iter().count() <= 1, "{}", name);
        }
        if traced {
            let traceparent: Vec<_> = sent.get_all(TRACEPARENT).iter().collect();
            prop_assert_eq!(traceparent, ["ours"]);
            prop_assert!(!is_root || !sent.contains_key(TRACESTATE));
        }
    }
}

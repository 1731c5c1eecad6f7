//! What holds of every answer, of its audit records, and of what the vendor saw of it.

use std::collections::BTreeSet;

use http::HeaderMap;
use mfa_gateway::{route::Operation, sandbox::vendor::Received};
use serde_json::Value;

use super::{Call, Record, Reply, Rig};

/// Headers of answers: the vendor's that are passed on, ours, and those of HTTP itself.
const PASSED: &[&str] = &[
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "etag",
    "frontegg-trace-id",
    "retry-after",
    "set-cookie",
    "www-authenticate",
    "x-request-id",
    "connection",
    "content-length",
];

/// And those that only a refusal has.
const OF_REFUSALS: &[&str] = &["allow", "proxy-status", "ratelimit", "ratelimit-policy"];

/// Headers of requests to the vendor.
const SENT: &[&str] = &[
    "accept",
    "accept-language",
    "authorization",
    "content-length",
    "content-type",
    "cookie",
    "frontegg-application-id",
    "frontegg-environment-id",
    "frontegg-tenant-id",
    "frontegg-user-id",
    "frontegg-vendor-host",
    "host",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-frontegg-framework",
    "x-frontegg-sdk",
    "x-request-id",
];

/// The codes with which the gateway says no, with the only status of each.
pub(crate) const CODES: &[(&str, u16)] = &[
    ("audit-unavailable", 503),
    ("body-too-large", 413),
    ("body-too-slow", 408),
    ("caller-not-allowed", 403),
    ("caller-unknown", 401),
    ("credential-unavailable", 503),
    ("header-not-allowed", 400),
    ("headers-too-large", 431),
    ("host-missing", 400),
    ("host-not-served", 421),
    ("invalid-body", 400),
    ("keys-unavailable", 503),
    ("method-not-allowed", 405),
    ("origin-not-allowed", 403),
    ("limits-unavailable", 503),
    ("overloaded", 503),
    ("query-not-allowed", 400),
    ("rate-limited", 429),
    ("route-not-allowed", 403),
    ("route-not-found", 404),
    ("subject-missing", 400),
    ("subject-not-allowed", 403),
    ("token-invalid", 401),
    ("unsupported-media-type", 415),
    ("upstream-answer-too-large", 502),
    ("upstream-timeout", 504),
    ("upstream-unreachable", 502),
];

/// Codes of requests for which an exchange with the vendor had begun.
const OF_EXCHANGES: &[&str] = &[
    "credential-unavailable",
    "upstream-answer-too-large",
    "upstream-timeout",
    "upstream-unreachable",
];

/// The names of header fields.
fn header_names(headers: &HeaderMap) -> BTreeSet<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

#[track_caller]
pub(super) fn check(rig: &Rig, call: &Call, reply: &Reply) {
    let refusal = reply.code();
    for name in header_names(&reply.headers) {
        let known = PASSED.contains(&name)
            || name.starts_with("x-rate-limit-") && refusal.is_none()
            || OF_REFUSALS.contains(&name) && refusal.is_some();
        assert!(known, "{name} is no header of an answer: {reply:?}");
    }
    match &refusal {
        Some(code) => check_refusal(reply, code),
        None => assert!(!reply.headers.contains_key("proxy-status"), "{reply:?}"),
    }
    let received = rig.received(reply);
    for request in &received {
        check_sent(rig, call, reply, request);
    }
    if rig.audited {
        check_records(
            &rig.records(reply),
            reply,
            refusal.as_deref(),
            received.len(),
        );
    }
    if refusal.is_some_and(|code| !OF_EXCHANGES.contains(&&*code)) {
        assert_eq!(
            received.len(),
            0,
            "a refused request reached the vendor: {reply:?}"
        );
    }
}

#[track_caller]
fn check_refusal(reply: &Reply, code: &str) {
    let status = reply.status.as_u16();
    assert!(CODES.contains(&(code, status)), "{code} with {status}");
    let problem = reply.json();
    let member = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(member("type"), format!("urn:mfa-gateway:{code}"));
    assert_eq!(problem["status"], status);
    assert!(!member("title").is_empty());
    assert!(!member("detail").is_empty());
    assert_eq!(member("request_id"), reply.request_id());
    assert_eq!(problem["errors"], Value::from(vec![member("detail")]));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let proxy_status = reply.header("proxy-status").unwrap();
    assert!(
        proxy_status.starts_with("mfa-gateway; error="),
        "{proxy_status}"
    );
    assert_eq!(
        reply.headers.contains_key("allow"),
        code == "method-not-allowed"
    );
    assert_eq!(
        reply.headers.contains_key("www-authenticate"),
        status == 401,
        "RFC 9110, section 15.5.2: {reply:?}"
    );
    let limited = code == "rate-limited";
    assert_eq!(reply.headers.contains_key("ratelimit"), limited);
    // a pause that the vendor asked for has no quota
    assert!(limited || !reply.headers.contains_key("ratelimit-policy"));
    if status == 429 || code == "credential-unavailable" {
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds > 0);
    }
}

#[track_caller]
fn check_sent(rig: &Rig, call: &Call, reply: &Reply, request: &Received) {
    for (name, _value) in &request.headers {
        let known = SENT.contains(&name.as_str())
            || rig
                .forwarded
                .iter()
                .any(|forwarded| name == forwarded.as_str());
        assert!(known, "{name} went to the vendor");
    }
    let all = |wanted: &str| {
        let fields = request.headers.iter().filter(|(name, _)| name == wanted);
        fields.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let authorizations = all("authorization");
    assert_eq!(authorizations.len(), 1);
    assert!(authorizations[0].as_bytes().starts_with(b"Bearer "));
    let theirs = call.headers.get_all("authorization");
    assert!(
        rig.passes_tokens || theirs.iter().all(|value| value != authorizations[0]),
        "the caller's own credential left"
    );
    assert_eq!(all("x-request-id"), [reply.request_id()]);
    let Some(operation) = operation_of(request) else {
        panic!("no MFA operation was asked for: {request:?}");
    };
    assert_eq!(request.method, operation.facts().method);
}

fn operation_of(request: &Received) -> Option<Operation> {
    use mfa_gateway::sandbox::vendor::Endpoint;
    match request.endpoint {
        Endpoint::Operation(operation) => Some(operation),
        Endpoint::FirstFactor
        | Endpoint::Jwks
        | Endpoint::Me
        | Endpoint::Tenants
        | Endpoint::TokenExchange
        | Endpoint::Unknown => None,
    }
}

/// A request that went to the vendor has two records, a refused one of a known route has one,
/// and the last one says what the caller was told.
#[track_caller]
fn check_records(records: &[Record], reply: &Reply, refusal: Option<&str>, received: usize) {
    let stages: Vec<_> = records.iter().map(Record::stage).collect();
    let Some(last) = records.last() else {
        let unknown = ["route-not-found", "method-not-allowed"];
        // what is refused at the door may be for no route at all
        let at_the_door = [
            "host-missing",
            "host-not-served",
            "origin-not-allowed",
            "header-not-allowed",
            "headers-too-large",
            "overloaded",
        ];
        let code = refusal.unwrap_or_default();
        assert!(
            unknown.contains(&code) || at_the_door.contains(&code),
            "no record of {reply:?}"
        );
        return;
    };
    assert_eq!(last.status(), Some(reply.status.as_u16()), "{last:?}");
    assert_eq!(last.reason(), refusal, "{last:?}");
    if stages == ["refused"] {
        assert_eq!(received, 0, "refused, yet the vendor saw it: {last:?}");
        assert_eq!(last.outcome(), "refused");
        assert_eq!(last.0["action_id"], 2);
        return;
    }
    assert_eq!(stages, ["admitted", "completed"], "{records:?}");
    assert_eq!(records[0].outcome(), "pending");
    assert_eq!(records[0].0["status_id"], 99);
    let expected = match (refusal, reply.status.as_u16()) {
        (Some(_), _) => "failed",
        (None, 200..300) => "succeeded",
        (None, 400..500) => "denied",
        (None, _) => "failed",
    };
    assert_eq!(last.outcome(), expected, "{last:?}");
    if refusal.is_none() {
        assert_eq!(
            last.upstream_status(),
            Some(u64::from(reply.status.as_u16()))
        );
    }
}

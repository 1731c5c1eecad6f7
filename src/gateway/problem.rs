//! How a no is written: RFC 9457 `application/problem+json`, with the two fields in which the
//! vendor's clients look for a message, and `Proxy-Status` (RFC 9209).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::Full;
use serde::Serialize;

use super::{
    REQUEST_ID,
    rejection::{Facts, Rejection},
};
use crate::{model::RequestId, route::RouteError};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: Type,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(rename = "request_id")]
    request_id: &'a str,
    errors: [&'a str; 1],
    error_code: &'static str,
}

/// The problem's type as a URN of ours.
struct Type(&'static str);

impl Serialize for Type {
    fn serialize<S: serde::Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_str(&format_args!("urn:mfa-gateway:{}", self.0))
    }
}

/// Renders a no.
pub(super) fn problem(rejection: &Rejection, request_id: RequestId) -> Response<Full<Bytes>> {
    let facts = rejection.facts();
    let mut response = Response::new(Full::new(body(rejection, &facts, request_id)));
    *response.status_mut() = facts.status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, request_id.to_header());
    let mut set = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(
        PROXY_STATUS,
        &format!(
            "mfa-gateway; error={}; details=\"{}\"",
            facts.proxy_error, facts.code
        ),
    );
    if let Some(seconds) = rejection.retry_after() {
        set(header::RETRY_AFTER, &seconds.to_string());
    }
    if let Some(challenge) = rejection.challenge() {
        set(header::WWW_AUTHENTICATE, &challenge);
    }
    match rejection {
        Rejection::Limit(refusal) => headers.extend(refusal.headers()),
        Rejection::Route(RouteError::MethodNotAllowed { allow }) => set(header::ALLOW, allow),
        Rejection::Audit(_)
        | Rejection::Body(_)
        | Rejection::Caller(..)
        | Rejection::Client(_)
        | Rejection::Credential(_)
        | Rejection::Entrance(_)
        | Rejection::LimitStore(_)
        | Rejection::Keys(_)
        | Rejection::Route(_)
        | Rejection::Subject(_)
        | Rejection::Upstream(_) => {}
    }
    response
}

fn body(rejection: &Rejection, facts: &Facts, request_id: RequestId) -> Bytes {
    let detail = rejection.detail();
    let problem = Problem {
        r#type: Type(facts.code),
        title: facts.title,
        status: facts.status.as_u16(),
        detail: &detail,
        request_id: request_id.as_str(),
        errors: [&detail],
        error_code: facts.code,
    };
    // strings and a number always serialise; without a body the status still says no
    serde_json::to_vec(&problem).map_or_else(|_impossible| Bytes::new(), Bytes::from)
}

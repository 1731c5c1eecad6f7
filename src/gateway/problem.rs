//! How a no is written: RFC 9457 `application/problem+json`, with the two fields in which the
//! vendor's clients look for a message, and `Proxy-Status` (RFC 9209).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::Full;

use super::rejection::{Facts, Rejection};
use crate::{
    json::{number, raw, text, word},
    model::RequestId,
    route::RouteError,
};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// Headers of a usual refusal, so that the map need not grow.
const USUALLY: usize = 8;
/// Bytes of a usual refusal's body.
const USUAL_BODY: usize = 512;

/// Renders a no.
pub(super) fn problem(rejection: &Rejection, request_id: RequestId) -> Response<Full<Bytes>> {
    let facts = rejection.facts();
    let mut response = Response::new(Full::new(body(rejection, &facts, request_id)));
    *response.status_mut() = facts.status;
    let headers = response.headers_mut();
    headers.reserve(USUALLY);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RequestId::HEADER, request_id.to_header());
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let (error, code) = (facts.proxy_error, facts.code);
    set(
        PROXY_STATUS,
        ["mfa-gateway; error=", error, "; details=\"", code, "\""].concat(),
    );
    if let Some(seconds) = rejection.retry_after() {
        set(header::RETRY_AFTER, seconds.to_string());
    }
    if let Some(challenge) = rejection.challenge() {
        set(header::WWW_AUTHENTICATE, challenge);
    }
    match rejection {
        Rejection::Limit(refusal) => {
            for (name, value) in refusal.headers() {
                headers.insert(name, value);
            }
        }
        Rejection::Route(RouteError::MethodNotAllowed { allow }) => {
            set(header::ALLOW, allow.clone());
        }
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
    let mut out = Vec::with_capacity(USUAL_BODY);
    raw(&mut out, "{\"type\":\"urn:mfa-gateway:");
    raw(&mut out, facts.code);
    word(&mut out, "\",\"title\":", facts.title);
    number(&mut out, ",\"status\":", facts.status.as_u16());
    text(&mut out, ",\"detail\":", &detail);
    text(&mut out, ",\"request_id\":", request_id.as_str());
    text(&mut out, ",\"errors\":[", &detail);
    word(&mut out, "],\"errorCode\":", facts.code);
    raw(&mut out, "}");
    out.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::subject::SubjectError;

    #[tokio::test]
    async fn a_no_is_one_json_object_with_the_words_of_both_readers() {
        let id = RequestId::new();
        let missing = SubjectError::Missing(HeaderName::from_static("x-tenant-id"));
        let rejection = Rejection::Subject(missing);
        let response = problem(&rejection, id);

        assert_eq!(
            response.headers()["proxy-status"],
            "mfa-gateway; error=http_request_error; details=\"subject-missing\""
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let detail = rejection.detail();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({
                "type": "urn:mfa-gateway:subject-missing",
                "title": "Subject missing",
                "status": 400,
                "detail": detail,
                "request_id": id.as_str(),
                "errors": [detail],
                "errorCode": "subject-missing",
            })
        );
    }
}

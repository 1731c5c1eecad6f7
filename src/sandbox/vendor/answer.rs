//! What the stand-in answers: the vendor's success and error bodies.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, SET_COOKIE},
};
use http_body_util::Full;
use serde_json::{Value, json};

use super::super::{clock::timestamp, random, tokens::TokenError};

const TRACE_ID: HeaderName = HeaderName::from_static("frontegg-trace-id");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-rate-limit-reset");

/// An answer before it is HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A status and nothing else, as many of the vendor's operations answer.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A JSON body.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        let mut answer = Self::empty(status);
        answer.body = body.to_string().into();
        answer.set(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        answer
    }

    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    /// Adds a cookie like the vendor's: for the whole host, and not for scripts.
    pub(super) fn set_cookie(&mut self, name: &str, value: &str) {
        let cookie = format!("{name}={value}; Path=/; HttpOnly; Secure; SameSite=None");
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            self.headers.append(SET_COOKIE, cookie);
        }
    }

    /// Every answer of the vendor's has a trace id.
    pub(super) fn into_response(mut self) -> Response<Full<Bytes>> {
        if let Ok(id) = HeaderValue::try_from(random::token()) {
            self.set(TRACE_ID, id);
        }
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Why the vendor says no.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
    code: Option<&'static str>,
    /// When to come back, in seconds since 1970; zero where it doesn't say.
    reset: u64,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            code: None,
            reset: 0,
        }
    }

    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Over a limit until `reset`.
    pub(super) fn too_many(reset: u64) -> Self {
        Self {
            reset,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        }
    }

    pub(super) const fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        tracing::error!(%error, "the sandbox's vendor can't sign");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut body = json!({"errors": [refusal.message]});
        if let (Some(code), Some(members)) = (refusal.code, body.as_object_mut()) {
            members.insert("errorCode".to_owned(), code.into());
        }
        let mut answer = Self::json(refusal.status, &body);
        let reset = timestamp(refusal.reset).to_string();
        if let (1.., Ok(reset)) = (refusal.reset, HeaderValue::try_from(reset)) {
            answer.set(RATE_LIMIT_RESET, reset);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_vendors_shape() {
        let refusal = Refusal::bad_request("no such thing").with_code("ER-1");
        let answer = Answer::from(refusal);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer.body,
            r#"{"errorCode":"ER-1","errors":["no such thing"]}"#
        );
        assert!(!answer.headers.contains_key(RATE_LIMIT_RESET));
        assert!(answer.into_response().headers().contains_key(TRACE_ID));
    }

    #[test]
    fn a_limit_says_when_it_ends_as_rfc_3339() {
        let answer = Answer::from(Refusal::too_many(1_800_000_000));
        assert_eq!(answer.headers[RATE_LIMIT_RESET], "2027-01-15T08:00:00Z");
    }
}

//! What comes back: the vendor's answer, whole, with the headers that go on to the caller.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, DATE, ETAG, RETRY_AFTER,
        SET_COOKIE, WWW_AUTHENTICATE,
    },
};
use jiff::Timestamp;

use crate::model::{retry_after, whole_seconds};

/// Bytes of an answer's body that are taken.
pub const MAX_ANSWER: usize = 1024 * 1024;

/// The vendor's answer.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The headers that go on, beside those that begin with [`RATE_LIMIT`]. The others speak for
/// the vendor's origin (HSTS, CORS, `Alt-Svc`) or for one connection.
static PASSED: [HeaderName; 10] = [
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    DATE,
    ETAG,
    RETRY_AFTER,
    SET_COOKIE,
    TRACE_ID,
    WWW_AUTHENTICATE,
];

const TRACE_ID: HeaderName = HeaderName::from_static("frontegg-trace-id");
const RATE_LIMIT: &str = "x-rate-limit-";

fn passes(name: &HeaderName) -> bool {
    PASSED.contains(name) || name.as_str().starts_with(RATE_LIMIT)
}

/// Headers that go on: the others that it is offered stay here.
#[derive(Debug, Default)]
pub(super) struct Passed(HeaderMap);

impl Passed {
    /// Of all that was received.
    pub(super) fn of(received: HeaderMap) -> Self {
        let mut passed = Self::default();
        let mut current = None;
        // a name comes once, with the first of its values
        for (name, value) in received {
            current = name.or(current);
            if let Some(name) = &current {
                let Ok(()) = passed.offer(name.clone(), value);
            }
        }
        passed
    }

    /// # Errors
    /// Where it goes on, and `value` can't be read.
    pub(super) fn offer<V>(&mut self, name: HeaderName, value: V) -> Result<(), V::Error>
    where
        V: TryInto<HeaderValue>,
    {
        if passes(&name) {
            self.0.append(name, value.try_into()?);
        }
        Ok(())
    }
}

impl Reply {
    pub(super) fn new(status: StatusCode, passed: Passed, body: Bytes) -> Self {
        Self {
            status,
            headers: passed.0,
            body,
        }
    }

    /// As it came.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Only those that go on to the caller.
    #[cfg(test)]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Bytes of its body.
    pub(super) const fn length(&self) -> usize {
        self.body.len()
    }

    /// The vendor's own id of the request.
    #[must_use]
    pub fn trace_id(&self) -> Option<&HeaderValue> {
        self.headers.get(&TRACE_ID)
    }

    /// For an answer to a request too many: how long to wait, also written into `retry-after`.
    ///
    /// The vendor says when to come back in `X-Rate-Limit-Reset`, an RFC 3339 time; what stands
    /// before it may say so in `Retry-After`. Where neither does, a minute.
    pub fn pause(&mut self, now: Timestamp) -> Duration {
        const UNSAID: Duration = Duration::from_secs(60);
        let wait = self
            .until_reset(now)
            .or_else(|| retry_after(&self.headers, now));
        let wait = wait.unwrap_or(UNSAID);
        let told = HeaderValue::from(whole_seconds(wait));
        self.headers.insert(RETRY_AFTER, told);
        wait
    }

    /// Nothing, where the time has passed.
    fn until_reset(&self, now: Timestamp) -> Option<Duration> {
        let reset = self.headers.get("x-rate-limit-reset")?.to_str().ok()?;
        let reset: Timestamp = reset.parse().ok()?;
        Some(Duration::try_from(reset.duration_since(now)).unwrap_or_default())
    }

    /// Status, headers and body, as they go on to the caller.
    #[must_use]
    pub fn into_parts(self) -> (StatusCode, HeaderMap, Bytes) {
        (self.status, self.headers, self.body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn reply(headers: &[(&str, &str)]) -> Reply {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let mut received = HeaderMap::new();
        for (name, value) in headers {
            received.append(name, value);
        }
        Reply::new(StatusCode::OK, Passed::of(received), Bytes::new())
    }

    #[test]
    fn the_vendors_reset_becomes_a_number_of_seconds() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        for (reset, retry_after, seconds) in [
            (Some("2026-01-01T00:00:31Z"), None, 31),
            (Some("2026-01-01T02:00:31+02:00"), None, 31),
            (Some("2026-01-01T00:00:31Z"), Some("7"), 31),
            (Some("2025-12-31T23:00:00Z"), None, 1),
            (Some("2026-01-01T00:00:00.6Z"), None, 1),
            (Some("soon"), None, 60),
            (Some("soon"), Some("7"), 7),
            (None, Some("7"), 7),
            (None, Some("0"), 1),
            (None, Some("-7"), 60),
            (None, Some("Thu, 01 Jan 2026 00:00:31 GMT"), 31),
            (None, None, 60),
        ] {
            let headers = [("x-rate-limit-reset", reset), ("retry-after", retry_after)];
            let headers = headers.map(|(name, value)| Some((name, value?)));
            let headers: Vec<_> = headers.into_iter().flatten().collect();
            let mut reply = reply(&headers);
            let wait = reply.pause(now);
            assert!(wait <= Duration::from_secs(seconds), "{headers:?}");
            let told: Vec<_> = reply.headers().get_all(RETRY_AFTER).iter().collect();
            assert_eq!(told, [&seconds.to_string()], "{headers:?}");
        }
    }

    #[test]
    fn what_speaks_for_another_origin_or_connection_stays_here() {
        let reply = reply(&[
            ("content-type", "application/json"),
            ("strict-transport-security", "max-age=1"),
            ("access-control-allow-origin", "*"),
            ("alt-svc", "h3"),
            ("connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("server", "x"),
            ("x-rate-limit-reset", "2026-01-01T00:00:00Z"),
            ("x-rate", "1"),
            ("frontegg-trace-id", "abc"),
        ]);
        let names: Vec<_> = reply.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            ["content-type", "x-rate-limit-reset", "frontegg-trace-id"]
        );
        assert_eq!(reply.trace_id().unwrap(), "abc");
    }

    #[test]
    fn every_cookie_is_passed_in_its_order() {
        let reply = reply(&[
            ("set-cookie", "a=1"),
            ("x-drop", "1"),
            ("set-cookie", "b=2"),
            ("x-drop", "2"),
            ("set-cookie", "c=3"),
        ]);
        let cookies: Vec<_> = reply.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1", "b=2", "c=3"]);
        assert_eq!(reply.headers().len(), 3);
    }

    proptest! {
        #[test]
        fn no_name_outside_the_list_goes_back(
            headers in vec(("(x-rate-limit-)?[a-z-]{1,20}|set-cookie|etag|date", "[ -~]{0,9}"), 0..20),
        ) {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (&**n, v.trim())).collect();
            for name in reply(&headers).headers().keys() {
                prop_assert!(passes(name), "{}", name);
            }
        }
    }
}

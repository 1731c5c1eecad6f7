//! A request's body: read whole and bounded, then checked against the route table.
//!
//! [`read`] promises at most `max` bytes within a time; [`check`] that what goes on has one
//! reading: one JSON object in UTF-8, no name twice at any level, nothing after it, every
//! proof there and not blank. What `recover` sends is written anew from its checked fields.
//! Who the body is about is told as [`Checked`]'s fields, so that nobody parses it again. What
//! nobody reads, as its request is refused, is left to [`pass_over`].

mod json;
mod strict;

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Version, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::{runtime::Handle, time::timeout};

pub use json::{Checked, Fault};

use crate::{
    model::{Repeated, Subaddress, single},
    route::{Facts, Operation},
};

/// For so long the rest of a refused request's body is passed over.
const PASS_OVER: Duration = Duration::from_secs(1);

/// Why there is no body to go on.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The caller stopped sending, or sent what is no HTTP body.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    /// It is not what the operation takes.
    #[error("the body is refused: {0}")]
    Invalid(#[from] Fault),
    /// It took longer than `listen.body_timeout`.
    #[error("the body did not come within {0:?}")]
    Slow(Duration),
    /// It is longer than `listen.max_body`.
    #[error("the body is longer than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// It is not plain `application/json` in UTF-8.
    #[error("the body is not application/json in UTF-8 without a content coding")]
    UnsupportedMediaType,
}

/// Reads a whole body of at most `max` bytes within `limit`.
///
/// # Errors
/// [`BodyError::TooLarge`] before a byte is read where `Content-Length` says so.
pub async fn read(
    incoming: &mut Incoming,
    max: usize,
    limit: Duration,
) -> Result<Bytes, BodyError> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = incoming.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > max) {
        return Err(BodyError::TooLarge { max });
    }
    let mut whole = pin!(collect(incoming, max));
    // nearly always it has come with the head, and no timer is needed
    if let Poll::Ready(whole) = poll_fn(|task| Poll::Ready(whole.as_mut().poll(task))).await {
        return whole;
    }
    timeout(limit, whole)
        .await
        .map_err(|_elapsed| BodyError::Slow(limit))?
}

/// One frame, the usual case, is passed on as it is; only several are copied together.
async fn collect(incoming: &mut Incoming, max: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else {
            continue; // trailers say nothing that we would read
        };
        if first
            .len()
            .saturating_add(joined.len())
            .saturating_add(data.len())
            > max
        {
            return Err(BodyError::TooLarge { max });
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&first);
            joined.extend_from_slice(&data);
            first = Bytes::new();
        }
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

/// Takes what is still to come of a refused request's body and keeps nothing of it. Otherwise
/// whoever is still sending finds the connection closed, and perhaps no answer.
///
/// HTTP/2 ends a stream without that, and who waits to be told to send doesn't send.
pub fn pass_over(head: &Parts, mut incoming: Incoming) {
    let waits = head.headers.contains_key(header::EXPECT);
    if incoming.is_end_stream() || head.version == Version::HTTP_2 || waits {
        return;
    }
    let rest = async move { while let Some(Ok(_frame)) = incoming.frame().await {} };
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn(timeout(PASS_OVER, rest)));
    }
}

/// What the operation's check needs to know of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Further fields that `recover` may carry.
    pub recover_extra_fields: Vec<String>,
    /// How an email's plus-tag counts.
    pub subaddress: Subaddress,
}

/// Checks a body against the route table.
///
/// # Errors
/// [`BodyError::UnsupportedMediaType`], or [`BodyError::Invalid`] with the first fault found.
pub fn check(
    facts: &Facts,
    rules: &Rules,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Checked, BodyError> {
    let content_type = single(headers, &header::CONTENT_TYPE);
    let content_type = content_type.map_err(|Repeated| BodyError::UnsupportedMediaType)?;
    if body.is_empty() && facts.takes_empty_body() {
        // the vendor's client says application/json here and sends no byte
        return Ok(Checked::empty());
    }
    if facts.method == http::Method::GET {
        return Err(Fault::Unwanted.into());
    }
    if !content_type.is_some_and(is_json) || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(BodyError::UnsupportedMediaType);
    }
    let checked = if facts.operation == Operation::Recover {
        json::recover(facts, rules, &body)?
    } else {
        json::check(facts, rules, body)?
    };
    Ok(checked)
}

/// Whether this is `application/json` in UTF-8 (RFC 8259).
fn is_json(content_type: &HeaderValue) -> bool {
    if content_type == "application/json" {
        return true; // as nearly everybody writes it
    }
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    // SECURITY: some readers take `charset = utf-7` for what it looks like, and find other fields in
    // that. JSON has no other parameter.
    let is_utf_8 = |parameter: &str| {
        ["", "charset=utf-8", "charset=\"utf-8\""]
            .iter()
            .any(|known| parameter.trim().eq_ignore_ascii_case(known))
    };
    essence.eq_ignore_ascii_case("application/json") && parts.all(is_utf_8)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Whether a body is read of which the head says this.
    fn is_read(headers: &HeaderMap) -> bool {
        let (facts, body) = (Operation::UserDisable.facts(), r#"{"token":"123456"}"#);
        match check(facts, &Rules::default(), headers, Bytes::from(body)) {
            Ok(_checked) => true,
            Err(BodyError::UnsupportedMediaType) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn plain(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        is_read(&headers)
    }

    #[test]
    fn only_json_in_utf_8_is_plain() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json;",
        ] {
            assert!(plain(&[good]), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json; charset=utf-16",
            "application/json; charset = utf-7",
            "application/json; charset =utf-8",
            "application/json; charset= utf-7",
            "application/json; charset=",
            "application/json; charset=\"utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset*=utf-8''utf-7",
            "application/json; x=\"; charset=utf-7\"",
            "application/json; x=\"\\\"; charset=utf-8",
            "application/json; utf-7",
            "application/json; version=1",
            "application/x-www-form-urlencoded",
            "application/json, text/plain",
        ] {
            assert!(!plain(&[bad]), "{bad}");
        }
        assert!(!plain(&[]), "none");
        assert!(!plain(&["application/json", "application/json"]), "two");
    }

    #[test]
    fn a_content_coding_is_not_read() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_read(&headers));
    }

    #[test]
    fn an_empty_body_is_enough_where_no_field_is_required() {
        let headers = HeaderMap::new();
        let rules = Rules::default();
        let devices = Operation::UserDevices.facts();
        assert!(
            check(devices, &rules, &headers, Bytes::new())
                .unwrap()
                .bytes
                .is_empty()
        );
        let mut twice = HeaderMap::new();
        for value in ["application/json", "text/plain"] {
            twice.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        let refused = check(devices, &rules, &twice, Bytes::new());
        assert!(matches!(refused, Err(BodyError::UnsupportedMediaType)));
        let refused = check(devices, &rules, &headers, Bytes::from_static(b"{}"));
        assert!(matches!(refused, Err(BodyError::Invalid(Fault::Unwanted))));
        let disable = Operation::UserDisable.facts();
        let refused = check(disable, &rules, &headers, Bytes::new());
        assert!(matches!(refused, Err(BodyError::UnsupportedMediaType)));
    }
}

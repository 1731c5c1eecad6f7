//! Headers that must have one reading: ours are not taken away, single ones are not doubled.
//!
//! What goes on is a list of its own ([`crate::upstream`]); here is what makes a request refused.

use http::{HeaderMap, HeaderName, header};

use super::entrance::{EntranceError, SEC_FETCH_SITE};
use crate::{
    model::{Repeated, single},
    telemetry::traces::TRACEPARENT,
};

/// Headers that go on as they come, of which there can be only one. Those that are read are
/// counted where that is done.
static SINGLE: [HeaderName; 2] = [header::USER_AGENT, TRACEPARENT];

/// Read at the door itself, beside those that the gateway passes on or sets.
static READ_HERE: [HeaderName; 3] = [header::CONTENT_ENCODING, header::ORIGIN, SEC_FETCH_SITE];

/// Names of headers that the gateway reads or sets, so that nobody else may take them away.
///
/// A `Connection` field makes the fields that it names hop-by-hop: a proxy in between drops
/// them (RFC 9110 7.6.1). Named there, one of ours would be read by some and not by others.
#[derive(Debug)]
pub(super) struct PrivateHeaders(Vec<HeaderName>);

impl PrivateHeaders {
    pub(super) fn new(read: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(read.into_iter().chain(READ_HERE.iter().cloned()).collect())
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), EntranceError> {
        if headers.contains_key(header::UPGRADE) {
            return Err(EntranceError::HeaderNotAllowed("upgrade"));
        }
        for field in headers.get_all(header::CONNECTION) {
            let text = field
                .to_str()
                .map_err(|_bytes| EntranceError::HeaderNotAllowed("connection"))?;
            if text.split(',').any(|token| self.names(token.trim())) {
                return Err(EntranceError::HeaderNotAllowed("connection"));
            }
        }
        Ok(())
    }

    fn names(&self, token: &str) -> bool {
        let starts = |prefix: &str| {
            token
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        starts("frontegg-")
            || starts("x-frontegg-")
            || self
                .0
                .iter()
                .any(|name| token.eq_ignore_ascii_case(name.as_str()))
    }
}

/// Of a doubled header the vendor might read one and we the other.
pub(super) fn check_single(headers: &HeaderMap) -> Result<(), EntranceError> {
    for name in &SINGLE {
        single(headers, name).map_err(|Repeated| EntranceError::HeaderDoubled(name.as_str()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_header_of_ours_is_not_taken_away() {
        let private = PrivateHeaders::new([header::AUTHORIZATION]);
        for value in [
            "Authorization",
            "close, frontegg-tenant-id",
            "X-Frontegg-Sdk",
            "origin",
            "Sec-Fetch-Site",
        ] {
            assert_eq!(
                private.check(&map(&[("connection", value)])),
                Err(EntranceError::HeaderNotAllowed("connection")),
                "{value}"
            );
        }
        let harmless = map(&[("connection", "keep-alive, TE, x-other")]);
        assert_eq!(private.check(&harmless), Ok(()));
        assert_eq!(
            private.check(&map(&[("upgrade", "websocket")])),
            Err(EntranceError::HeaderNotAllowed("upgrade"))
        );
    }

    #[test]
    fn what_must_be_single_is_not_doubled() {
        for name in ["user-agent", "traceparent"] {
            assert_eq!(check_single(&map(&[(name, "x")])), Ok(()));
            assert_eq!(
                check_single(&map(&[(name, "x"), (name, "x")])),
                Err(EntranceError::HeaderDoubled(name))
            );
        }
    }
}

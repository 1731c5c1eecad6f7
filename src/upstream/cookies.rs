//! Which cookies leave.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::COOKIE};

use crate::config::Pattern;

/// The cookies whose names match, in one header; a browser sends many that are the app's own.
pub(super) fn matching(patterns: &[Pattern], caller: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    for header in caller.get_all(COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            if takes(patterns, pair) {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(pair);
            }
        }
    }
    if kept.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(kept)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn takes(patterns: &[Pattern], pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next();
    let name = name.filter(|name| name.len() < pair.len());
    let name = name.and_then(|name| str::from_utf8(name).ok());
    name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
}

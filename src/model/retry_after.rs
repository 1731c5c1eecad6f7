//! How long to wait before coming again: what others say, and how we say it.

use std::time::Duration;

use http::{HeaderMap, header::RETRY_AFTER};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

static DATES: DateTimeParser = DateTimeParser::new();

/// What `Retry-After` says, a number of seconds or a date (RFC 9110, section 10.2.3): nothing where
/// the date has passed; `None` where it says neither. The obsolete forms of dates aren't read.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DATES.parse_timestamp(said).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// A wait as it is told: rounded up, so that who comes back then is not refused again; at least 1.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    let more = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(more).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seconds_or_a_date() {
        let now = "2026-01-01T00:00:01Z".parse().unwrap();
        for (said, heard) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Thu, 01 Jan 2026 00:00:31 GMT", Some(30)),
            ("Wed, 31 Dec 2025 23:59:59 GMT", Some(0)),
            ("Fri, 01 Jan 2026 00:00:31 GMT", None), // it was a Thursday
            ("Thursday, 01-Jan-26 00:00:31 GMT", None),
            ("-7", None),
            ("7.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
            assert_eq!(
                retry_after(&headers, now),
                heard.map(Duration::from_secs),
                "{said}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_enough() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(
                whole_seconds(Duration::from_millis(millis)),
                told,
                "{millis}"
            );
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }
}

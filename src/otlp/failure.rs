//! Why a collector did not take a message.

use std::{error::Error, time::Duration};

use http::{HeaderMap, StatusCode};
use hyper_util::client::legacy;
use jiff::Timestamp;

use crate::{
    model::retry_after,
    net::{ConnectError, root_cause},
};

/// A collector did not take a message, or did not say that it has.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The connection broke before the whole answer was there.
    #[error("the collector's connection broke: {}", root_cause(&**.0))]
    Broken(Box<dyn Error + Send + Sync>),
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// It took only a part.
    #[error("the collector rejected {rejected} records: {message:?}")]
    Rejected {
        /// How many it did not take.
        rejected: i64,
        /// Why, in its words.
        message: String,
    },
    /// It answered with another status than success.
    #[error("the collector answered {status}{}", mend(*status))]
    Status {
        /// The status.
        status: StatusCode,
        /// When to come again.
        retry_after: Option<Duration>,
    },
    /// It took too long.
    #[error("the collector gave no answer in time")]
    Timeout,
    /// It answered with success, but not as a collector does.
    #[error(
        "what answered is no collector: set telemetry.otlp_endpoint to one's OTLP/HTTP port, usually 4318"
    )]
    Unreadable,
}

/// The longest that a collector's word is heeded: a slip there must not silence us for a day.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Failure {
    pub(super) fn of(error: legacy::Error) -> Self {
        match ConnectError::cause_of(&error) {
            Some(connect) => Self::Connect(connect.clone()),
            None => Self::Broken(error.into()),
        }
    }

    pub(super) fn answered(status: StatusCode, headers: &HeaderMap) -> Self {
        let wish = retry_after(headers, Timestamp::now());
        Self::Status {
            status,
            retry_after: wish.map(|wait| wait.min(LONGEST_WAIT)),
        }
    }

    /// Whether the same message may well be taken in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Connect(_) => true,
            Self::Rejected { .. } | Self::Timeout | Self::Unreadable => false,
            Self::Status { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
        }
    }

    /// How long to leave the collector alone, where it says so; a minute at most.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Broken(_)
            | Self::Connect(_)
            | Self::Rejected { .. }
            | Self::Timeout
            | Self::Unreadable => None,
        }
    }
}

fn mend(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => ": let it take records without a credential, from here",
        404 | 405 => ": set telemetry.otlp_endpoint to its base, without /v1/…",
        413 => ": let it take bodies of 2 MiB",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn what_may_be_tried_again_is_what_the_protocol_names() {
        for code in 400..600 {
            let status = StatusCode::from_u16(code).unwrap();
            let failure = Failure::answered(status, &HeaderMap::new());
            let passing = [429, 502, 503, 504].contains(&code);
            assert_eq!(failure.is_passing(), passing, "{code}");
            assert_eq!(failure.retry_after(), None);
        }
    }

    #[test]
    fn a_collectors_wish_is_heeded_within_a_bound() {
        for (said, heard) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("86400", Some(60)),
            ("Fri, 31 Dec 2100 00:00:00 GMT", Some(60)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, said.parse().unwrap());
            let failure = Failure::answered(StatusCode::SERVICE_UNAVAILABLE, &headers);
            assert_eq!(
                failure.retry_after(),
                heard.map(Duration::from_secs),
                "{said}"
            );
        }
    }
}

//! Why there is no answer, and whether the vendor may have had the request.

use std::error::Error;

use crate::net::{ConnectError, root_cause};

/// There is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The answer's body is longer than is taken.
    #[error("the vendor's answer is longer than 1 MiB")]
    AnswerTooLarge,
    /// What came back is no HTTP.
    #[error("the vendor's answer is malformed: {}", root_cause(&**.0))]
    BadAnswer(Box<dyn Error + Send + Sync>),
    /// The connection broke before the whole answer was there.
    #[error("the connection to the vendor broke: {}", root_cause(&**.0))]
    Broken(Box<dyn Error + Send + Sync>),
    /// No byte of the request left.
    #[error(transparent)]
    NotSent(NotSent),
    /// The vendor answered 101 to a request that asked for nothing of the kind.
    #[error("the vendor's answer switches protocols (101), which was not asked for")]
    SwitchedProtocols,
    /// The vendor did not answer in time.
    #[error("the vendor did not answer in time")]
    Timeout,
}

/// Why no byte of a request left.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// There was no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The connection was there, but ended before the request's turn came.
    #[error("the connection to the vendor ended before it was used: {}", root_cause(&**.0))]
    Dropped(Box<dyn Error + Send + Sync>),
    /// The deadline passed before there was one.
    #[error("no connection to the vendor before the request's deadline")]
    Timeout,
}

impl UpstreamError {
    /// Whether a byte of the request may have left, and the vendor may have acted on it.
    #[must_use]
    pub const fn may_have_left(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::AnswerTooLarge
            | Self::BadAnswer(_)
            | Self::Broken(_)
            | Self::SwitchedProtocols
            | Self::Timeout => true,
        }
    }
}

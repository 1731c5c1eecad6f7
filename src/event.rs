//! What happened to one request, as data. The audit log writes it, the metrics count it,
//! so the two can't disagree. Nothing here is a secret: no code, token, cookie or query.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, StatusCode};

use crate::{
    model::{CallerName, Region, RequestId, TenantId, UserId},
    route::Operation,
};

/// Who is at the other end of a connection: the calling app, not the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP, from here.
    Tcp(SocketAddr),
    /// Over a unix socket.
    Unix,
}

/// Which of a request's records this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is about to go to the vendor.
    Admitted,
    /// It went to the vendor, or was about to, and this is how it ended.
    Completed,
    /// It did not get that far.
    Refused,
}

/// How it ended, as far as it has. Each belongs to one [`Stage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The vendor said no (4xx).
    Denied,
    /// The vendor, or the way to it, failed (no answer, or one that is neither yes nor no).
    Failed,
    /// It has not ended yet.
    Pending,
    /// The gateway said no.
    Refused,
    /// The vendor said yes (2xx).
    Succeeded,
}

impl Outcome {
    /// Of which record it is the outcome.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::Pending => Stage::Admitted,
            Self::Denied | Self::Failed | Self::Succeeded => Stage::Completed,
            Self::Refused => Stage::Refused,
        }
    }

    /// As written in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Pending => "pending",
            Self::Refused => "refused",
            Self::Succeeded => "succeeded",
        }
    }
}

/// What was left of the limit that decided, or of the one with the least left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitNote {
    /// The policy's name.
    pub name: &'static str,
    /// Attempts left.
    pub remaining: u32,
    /// It would have said no, but only observes.
    pub would_refuse: bool,
}

/// What came back from the vendor.
#[derive(Clone, Debug)]
pub struct UpstreamNote {
    /// Which host.
    pub host: Arc<str>,
    /// Its status; `None` where no answer came.
    pub status: Option<StatusCode>,
    /// Its `frontegg-trace-id`.
    pub trace_id: Option<HeaderValue>,
    /// From the wish for a connection to the last byte in.
    pub duration: Duration,
}

/// One request, as far as it is known by now.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it came.
    pub start: SystemTime,
    /// Our id of it.
    pub request_id: RequestId,
    /// The caller's own id of it.
    pub caller_request_id: Option<HeaderValue>,
    /// The other end of its connection.
    pub peer: Peer,
    /// The user's address, where it is known.
    pub client: Option<IpAddr>,
    /// What it is for; `None` where it is no route of ours (no record then, only counts).
    pub operation: Option<Operation>,
    /// Where the vendor keeps the data.
    pub region: Region,
    /// Who called.
    pub caller: Option<CallerName>,
    /// For which tenant.
    pub tenant: Option<TenantId>,
    /// For which user.
    pub user: Option<UserId>,
    /// The account, in the form that the audit log shows: the email's keyed hash, mask or plain text.
    pub email: Option<Box<str>>,
    /// The login token's keyed hash, where that is all there is.
    pub login: Option<Box<str>>,
    /// The path's device.
    pub device: Option<Box<str>>,
    /// What was left of the limits.
    pub limit: Option<LimitNote>,
    /// What came back.
    pub upstream: Option<UpstreamNote>,
    /// How it ended, and so which record this is.
    pub outcome: Outcome,
    /// The refusal's slug; `None` where the vendor answered.
    pub reason: Option<&'static str>,
    /// The answer's status; `None` while there is none, or where the caller had left.
    pub status: Option<StatusCode>,
    /// From its head to this record.
    pub duration: Duration,
}

impl Event {
    /// When this record's point was reached.
    #[must_use]
    pub fn end(&self) -> SystemTime {
        let end = self.start.checked_add(self.duration);
        end.unwrap_or(self.start)
    }
}

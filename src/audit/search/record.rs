//! One record, read.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audit::chain::Line;

/// A record of the log.
#[derive(Debug)]
pub struct Record {
    raw: Box<RawValue>,
    fields: Fields,
}

#[derive(Debug, Deserialize)]
struct Fields {
    metadata: Metadata,
    time: u64,
    status_code: Option<String>,
    message: Option<String>,
    count: Option<u64>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    duration: Option<u64>,
    user: Option<User>,
    actor: Option<Actor>,
    src_endpoint: Option<Endpoint>,
    unmapped: Unmapped,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    sequence: u64,
    correlation_uid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct User {
    uid: Option<String>,
    email_addr: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Actor {
    user: Option<User>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    ip: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct Unmapped {
    operation: Option<String>,
    stage: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    caller: Option<String>,
    caller_request_id: Option<String>,
    tenant: Option<String>,
    device: Option<String>,
    event: Option<String>,
    email: Option<String>,
    error: Option<String>,
    output: Option<String>,
    keys: Option<Vec<String>>,
}

impl Record {
    /// Reads a line; `None` where it is no record of ours.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        Line::parse(line)?;
        let raw: Box<RawValue> = serde_json::from_slice(line).ok()?;
        let fields = serde_json::from_str(raw.get()).ok()?;
        Some(Self { raw, fields })
    }

    /// As it was written.
    #[must_use]
    pub const fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// Its number in its chain.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.fields.metadata.sequence
    }

    /// When it was written.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        let since_1970 = Duration::from_millis(self.fields.time);
        let time = SystemTime::UNIX_EPOCH.checked_add(since_1970);
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// What was asked for; `None`: it is about the gateway itself.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.fields.unmapped.operation.as_deref()
    }

    /// What happened to the gateway itself.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.fields.unmapped.event.as_deref()
    }

    /// The operation, or what happened to the gateway.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.operation().or_else(|| self.event());
        name.unwrap_or_default()
    }

    /// What happened to the gateway itself, for people.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.fields.message.as_deref()
    }

    /// Whether it was written before the request went to the vendor.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.fields.unmapped.stage.as_deref() == Some("admitted")
    }

    pub(super) const fn is_of_a_request(&self) -> bool {
        self.fields.unmapped.operation.is_some()
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&str> {
        self.fields.unmapped.outcome.as_deref()
    }

    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.fields.status_code.as_deref()
    }

    /// The refusal's code.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.fields.unmapped.reason.as_deref()
    }

    /// Our id of the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.fields.metadata.correlation_uid.as_deref()
    }

    /// The caller's id of the request.
    #[must_use]
    pub fn caller_request_id(&self) -> Option<&str> {
        self.fields.unmapped.caller_request_id.as_deref()
    }

    /// The user's id, the account or the login.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let fields = &self.fields;
        let acting = fields.actor.as_ref().and_then(|actor| actor.user.as_ref());
        fields.user.as_ref().or(acting)?.uid.as_deref()
    }

    /// Whatever the account is called in it.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &str> {
        let address = self
            .fields
            .user
            .as_ref()
            .and_then(|user| user.email_addr.as_deref());
        let forgiven = self.fields.unmapped.email.as_deref();
        [self.user(), address, forgiven].into_iter().flatten()
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.fields.unmapped.tenant.as_deref()
    }

    /// The device's id.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.fields.unmapped.device.as_deref()
    }

    /// Who called.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.fields.unmapped.caller.as_deref()
    }

    /// The user's address, or the calling app's where that is unknown.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.fields.src_endpoint.as_ref()?.ip
    }

    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.fields.duration.map(Duration::from_millis)
    }

    /// How many refusals it stands for, and in how long.
    #[must_use]
    pub fn repeated(&self) -> Option<(u64, Duration)> {
        let (count, start, end) = (
            self.fields.count?,
            self.fields.start_time?,
            self.fields.end_time?,
        );
        Some((count, Duration::from_millis(end.saturating_sub(start))))
    }

    /// What else it says of the gateway itself.
    #[must_use]
    pub fn particulars(&self) -> Vec<(&'static str, String)> {
        let unmapped = &self.fields.unmapped;
        let keys = unmapped.keys.as_ref().map(|keys| keys.join(","));
        let particulars = [
            ("output", unmapped.output.clone()),
            ("email", unmapped.email.clone()),
            ("keys", keys),
            ("error", unmapped.error.clone()),
        ];
        let said = particulars.into_iter();
        said.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

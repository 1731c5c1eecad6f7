//! The form of a record: OCSF 1.8.0, as short as it can be, in one pass over one buffer.
//!
//! A body is what stands between the sequence number and the chain's fields: it begins inside
//! `metadata` and ends inside `unmapped`, which the chain closes. The parts that never change
//! are written out once, when the log is opened.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{
    classes::{class, is_api, severity, stage, status},
    control::Control,
};
use crate::{
    event::{Event, Outcome, Peer, Stage},
    json::{LONGEST, foreign, number, raw, string, string_to, word},
    route::{Audited, Operation},
};

/// An email has at most 254 bytes.
const LONGEST_EMAIL: usize = 254;
/// The longest text of an error.
const LONGEST_ERROR: usize = 256;
/// The most keys that a reload names.
const MOST_KEYS: usize = 32;

/// Refusals that share a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    /// How many.
    pub(super) count: u64,
    /// When the first was.
    pub(super) first: SystemTime,
    /// When the last was.
    pub(super) last: SystemTime,
}

/// Writes bodies.
pub(super) struct Form {
    /// The beginning of `metadata`.
    product: String,
    /// The end of a lifecycle record's `app`.
    app: String,
}

impl Form {
    /// Prepares what never changes.
    pub(super) fn new() -> Self {
        let product = concat!(
            r#"{"name":"mfa-gateway","vendor_name":"mfa-gateway","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        );
        Self {
            product: format!(r#""version":"1.8.0","product":{product}"#),
            app: format!(r#","app":{product}"#),
        }
    }

    /// Appends the body of one request's record.
    pub(super) fn event(&self, event: &Event, operation: Operation, out: &mut Vec<u8>) {
        self.request(event, operation, None, out);
    }

    /// Appends the body of a record that stands for several refusals, of which `event` is the
    /// first.
    pub(super) fn repeated(
        &self,
        event: &Event,
        operation: Operation,
        repeats: Repeats,
        out: &mut Vec<u8>,
    ) {
        self.request(event, operation, Some(repeats), out);
    }

    fn request(
        &self,
        event: &Event,
        operation: Operation,
        repeats: Option<Repeats>,
        out: &mut Vec<u8>,
    ) {
        let (facts, stage) = (operation.facts(), event.outcome.stage());
        raw(out, &self.product);
        if stage == Stage::Refused {
            raw(out, r#","profiles":["security_control"]"#);
        }
        raw(out, r#","correlation_uid":""#);
        raw(out, event.request_id.as_str());
        out.push(b'"');
        raw(out, class(facts.audited));
        if facts.audited == Audited::FactorStep {
            word(out, r#","activity_name":"#, facts.name);
        }
        raw(out, severity(facts.audited, event.outcome));
        if let Some(repeats) = repeats {
            number(out, r#","time":"#, milliseconds(repeats.last));
            number(out, r#","count":"#, repeats.count);
            number(out, r#","start_time":"#, milliseconds(repeats.first));
            number(out, r#","end_time":"#, milliseconds(repeats.last));
        } else {
            number(out, r#","time":"#, milliseconds(event.end()));
        }
        raw(out, status(event.outcome));
        if let Some(status) = event.status {
            string(out, r#","status_code":"#, status.as_str());
        }
        if let Some(reason) = event.reason {
            word(out, r#","status_detail":"#, reason);
        }
        if stage != Stage::Admitted {
            number(out, r#","duration":"#, whole_milliseconds(event.duration));
        }
        if stage == Stage::Refused {
            // denied, blocked
            raw(out, r#","action_id":2,"disposition_id":2"#);
        }
        parties(event, facts.audited, facts.name, out);
        Self::unmapped(event, facts.name, out);
    }

    /// What OCSF has no place for.
    fn unmapped(event: &Event, operation: &str, out: &mut Vec<u8>) {
        raw(out, r#","unmapped":{"operation":""#);
        raw(out, operation);
        raw(out, stage(event.outcome.stage()));
        word(out, r#","outcome":"#, event.outcome.as_str());
        word(out, r#","region":"#, event.region.as_str());
        if let Some(reason) = event.reason {
            word(out, r#","reason":"#, reason);
        }
        if let Some(caller) = &event.caller {
            string(out, r#","caller":"#, caller.as_str());
        }
        if let Some(id) = &event.caller_request_id {
            foreign(out, r#","caller_request_id":"#, id.as_bytes());
        }
        if let Some(tenant) = &event.tenant {
            string(out, r#","tenant":"#, tenant.as_str());
        }
        if let Some(device) = &event.device {
            string(out, r#","device":"#, device);
        }
        if let Some(limit) = event.limit {
            word(out, r#","limit":{"name":"#, limit.name);
            number(out, r#","remaining":"#, limit.remaining);
            raw(
                out,
                if limit.would_refuse {
                    r#","would_refuse":true}"#
                } else {
                    "}"
                },
            );
        }
        if let Some(upstream) = &event.upstream {
            string(out, r#","upstream":{"host":"#, &upstream.host);
            if let Some(status) = upstream.status {
                number(out, r#","status":"#, status.as_u16());
            }
            if let Some(trace) = &upstream.trace_id {
                foreign(out, r#","trace_id":"#, trace.as_bytes());
            }
            number(
                out,
                r#","duration":"#,
                whole_milliseconds(upstream.duration),
            );
            out.push(b'}');
        }
    }

    /// Appends the body of a lifecycle record.
    pub(super) fn control(&self, control: &Control<'_>, out: &mut Vec<u8>) {
        let words = control.words();
        let (activity, name) = words.activity;
        self.lifecycle(activity, name, words.succeeded, words.message, out);
        string(out, r#","unmapped":{"event":"#, words.event);
        match control {
            Control::CredentialFailed { error } | Control::StoreLost { error } => {
                string_to(out, r#","error":"#, error, LONGEST_ERROR);
            }
            Control::LimitsNotReset { email, by, error } => {
                string_to(out, r#","email":"#, email, LONGEST_EMAIL);
                string_to(out, r#","by":"#, by, LONGEST_ERROR);
                string_to(out, r#","error":"#, error, LONGEST_ERROR);
            }
            Control::LimitsReset { email, by } => {
                string_to(out, r#","email":"#, email, LONGEST_EMAIL);
                string_to(out, r#","by":"#, by, LONGEST_ERROR);
            }
            Control::OutputBack { output } => {
                string_to(out, r#","output":"#, output, LONGEST_ERROR);
            }
            Control::OutputLost { output, error } => {
                string_to(out, r#","output":"#, output, LONGEST_ERROR);
                string_to(out, r#","error":"#, error, LONGEST_ERROR);
            }
            Control::Reload { changed: keys } | Control::ReloadRefused { keys } => {
                list(keys, out);
            }
            Control::Start {
                chain,
                continued,
                torn,
            } => {
                string(out, r#","chain":"#, chain);
                raw(out, r#","continued":"#);
                raw(out, if *continued { "true" } else { "false" });
                if let Some(torn) = torn {
                    string_to(out, r#","torn":"#, torn, LONGEST_ERROR);
                }
            }
            Control::Checkpoint
            | Control::CredentialBack
            | Control::Drain
            | Control::Stop
            | Control::StoreBack => {}
        }
    }

    /// Appends the body of a header: what an output's records from here on follow.
    /// `missed` of the chain's records are not in this output, because it was lost.
    pub(super) fn header(&self, chain: &str, output: &str, missed: u64, out: &mut Vec<u8>) {
        self.lifecycle(99, "Log Header", true, "an output begins here", out);
        string(out, r#","unmapped":{"event":"header","chain":"#, chain);
        string(out, r#","output":"#, output);
        number(out, r#","missed":"#, missed);
    }

    fn lifecycle(&self, activity: u16, name: &str, good: bool, message: &str, out: &mut Vec<u8>) {
        raw(out, &self.product);
        raw(out, r#"},"class_uid":6002,"category_uid":6"#);
        number(out, r#","activity_id":"#, activity);
        number(
            out,
            r#","type_uid":"#,
            600_200_u32.saturating_add(activity.into()),
        );
        string(out, r#","activity_name":"#, name);
        raw(
            out,
            if good {
                r#","severity_id":1"#
            } else {
                r#","severity_id":3"#
            },
        );
        number(out, r#","time":"#, milliseconds(SystemTime::now()));
        let outcome = if good {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        };
        raw(out, status(outcome));
        string(out, r#","message":"#, message);
        raw(out, &self.app);
    }
}

/// Who did it to whom, from where.
fn parties(event: &Event, audited: Audited, operation: &'static str, out: &mut Vec<u8>) {
    let caller = event.caller.as_ref().map(|caller| caller.as_str());
    if is_api(audited) {
        string(out, r#","actor":{"app_name":"#, caller.unwrap_or("unknown"));
        if has_user(event) {
            user(event, out);
        }
        word(out, r#"},"api":{"operation":"#, operation);
        if let Some(status) = event.status {
            number(out, r#","response":{"code":"#, status.as_u16());
            out.push(b'}');
        }
        out.push(b'}');
    } else {
        user(event, out);
        if let Some(caller) = caller {
            string(out, r#","actor":{"app_name":"#, caller);
            out.push(b'}');
        }
    }
    endpoint(event, out);
}

fn user(event: &Event, out: &mut Vec<u8>) {
    raw(out, r#","user":{"#);
    let email = event.email.as_deref();
    if let Some(user) = &event.user {
        string(out, r#""uid":"#, user.as_str());
    } else if let Some(account) = email.or(event.login.as_deref()) {
        string_to(out, r#""uid":"#, account, LONGEST_EMAIL);
    } else {
        raw(out, r#""name":"unknown""#);
    }
    if let Some(email) = email.filter(|email| is_email_addr(email)) {
        string_to(out, r#","email_addr":"#, email, LONGEST_EMAIL);
    }
    out.push(b'}');
}

/// Where the request came from: the user's address if it is known, else the calling app's.
fn endpoint(event: &Event, out: &mut Vec<u8>) {
    raw(out, r#","src_endpoint":{"#);
    match (event.client, event.peer) {
        (Some(client), Peer::Tcp(peer)) => {
            address(client, r#""ip":"#, out);
            address(peer.ip(), r#","intermediate_ips":["#, out);
            out.push(b']');
        }
        (Some(client), Peer::Unix) => address(client, r#""ip":"#, out),
        (None, Peer::Tcp(peer)) => {
            address(peer.ip(), r#""ip":"#, out);
            // several connections share it
            if peer.port() != 0 {
                number(out, r#","port":"#, peer.port());
            }
        }
        (None, Peer::Unix) => raw(out, r#""name":"unix""#),
    }
    out.push(b'}');
}

fn address(ip: IpAddr, before: &str, out: &mut Vec<u8>) {
    use std::io::Write;

    raw(out, before);
    out.push(b'"');
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            for (index, part) in ip.octets().into_iter().enumerate() {
                number(out, if index == 0 { "" } else { "." }, part);
            }
        }
        IpAddr::V6(ip) => {
            // a buffer in memory takes everything
            let written = write!(out, "{ip}");
            debug_assert!(written.is_ok(), "a buffer in memory takes everything");
        }
    }
    out.push(b'"');
}

fn list(keys: &[&str], out: &mut Vec<u8>) {
    raw(out, r#","keys":["#);
    for (index, key) in keys.iter().take(MOST_KEYS).enumerate() {
        string_to(out, if index == 0 { "" } else { "," }, key, LONGEST);
    }
    out.push(b']');
}

const fn has_user(event: &Event) -> bool {
    event.user.is_some() || event.email.is_some() || event.login.is_some()
}

/// Whether OCSF takes the text for an `email_addr`: ASCII, and a dot in the domain. No hash has an
/// `@`, and no mask is ASCII.
fn is_email_addr(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let local_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-./=?^_`{|}~".contains(&byte);
    let domain_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let Some((first, rest)) = domain.split_once('.') else {
        return false;
    };
    !local.is_empty()
        && local.bytes().all(local_byte)
        && !first.is_empty()
        && first.bytes().all(domain_byte)
        && !rest.is_empty()
        && rest.bytes().all(|byte| domain_byte(byte) || byte == b'.')
}

/// Milliseconds since 1970, which is what OCSF calls a timestamp.
fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, whole_milliseconds)
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

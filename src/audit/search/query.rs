//! What is looked for.

use std::{net::IpAddr, time::SystemTime};

use super::{Hit, record::Record};
use crate::config::Pattern;

/// Everything that is given must be so.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The account, in any of these forms.
    pub accounts: Vec<Box<str>>,
    /// The user's id.
    pub user: Option<String>,
    /// The tenant's id.
    pub tenant: Option<String>,
    /// An operation, or several by a pattern.
    pub operation: Option<Pattern>,
    /// Who called.
    pub caller: Option<String>,
    /// How it ended; `pending`: it hasn't.
    pub outcome: Option<String>,
    /// The user's address, or the calling app's where that is unknown.
    pub client: Option<IpAddr>,
    /// Our id of the request, or the caller's.
    pub request_id: Option<String>,
    /// Not before this.
    pub since: Option<SystemTime>,
    /// Before this.
    pub until: Option<SystemTime>,
}

impl Query {
    /// Whether a line may be wanted, at the cost of looking for a few words in it.
    pub(super) fn may_want(&self, line: &[u8]) -> bool {
        let has = |word: &str| {
            // what JSON escapes is looked at properly
            let escaped = |byte: u8| matches!(byte, 0..=0x1f | b'"' | b'\\' | 0x7f);
            word.bytes().any(escaped) || memchr::memmem::find(line, word.as_bytes()).is_some()
        };
        let texts = [&self.user, &self.tenant, &self.caller, &self.request_id];
        texts.into_iter().flatten().all(|text| has(text))
            && (self.accounts.is_empty() || self.accounts.iter().any(|account| has(account)))
    }

    /// Whether a record is about what is looked for, however it ended.
    pub(super) fn wants(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        let account = |name: &str| self.accounts.iter().any(|account| **account == *name);
        let by_id = |wanted: &String| {
            record.request_id() == Some(wanted) || record.caller_request_id() == Some(wanted)
        };
        (record.is_of_a_request() || self.is_general())
            && (self.accounts.is_empty() || record.accounts().any(account))
            && is(&self.user, record.user())
            && is(&self.tenant, record.tenant())
            && is(&self.caller, record.caller())
            && self.request_id.as_ref().is_none_or(by_id)
            && self
                .client
                .is_none_or(|client| record.client() == Some(client))
            && self
                .operation
                .as_ref()
                .is_none_or(|wanted| record.operation().is_some_and(|name| wanted.matches(name)))
    }

    /// Whether a request ended as is looked for, when is looked for.
    pub(super) fn wants_end(&self, found: &Hit) -> bool {
        let Some(latest) = found.latest() else {
            return false;
        };
        let outcome = latest.outcome();
        let within = |record: &Record| {
            let time = record.time();
            self.since.is_none_or(|since| time >= since)
                && self.until.is_none_or(|until| time < until)
        };
        self.outcome
            .as_deref()
            .is_none_or(|wanted| outcome == Some(wanted))
            && found.records().any(within)
    }

    /// Whether only a time is given: then what happened to the gateway itself belongs to it.
    fn is_general(&self) -> bool {
        let texts = [
            &self.user,
            &self.tenant,
            &self.caller,
            &self.request_id,
            &self.outcome,
        ];
        texts.into_iter().all(Option::is_none) && self.operation.is_none() && self.client.is_none()
    }
}

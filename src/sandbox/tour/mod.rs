//! A tour of the main job: makes the calls through a gateway in front of the stand-in, over
//! real sockets, shows each request, answer and audit record, and checks what happened.
//!
//! `chapters` is the story. It is told from outside: of the gateway it knows only the
//! address and the audit log, so what it shows is what an operator sees.

mod chapters;
mod client;
mod page;
mod records;

use std::{io, net::SocketAddr, path::PathBuf};

use http::StatusCode;

pub use self::{client::CallError, page::Page};
use self::{
    client::{Answer, Call},
    records::{AuditFile, Chain, Record},
};
use super::vendor::{Endpoint, Received, Vendor};

/// A code of fewer characters may stand in a hash by chance, so it is searched for as a word.
const SURELY_UNIQUE: usize = 16;

/// The tour can't go on.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// The audit log can't be read.
    #[error("the audit log can't be read: {0}")]
    Audit(#[source] io::Error),
    /// The gateway gave no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The page can't be written.
    #[error("the tour can't be shown: {0}")]
    Page(#[from] io::Error),
}

/// A tour under way.
pub struct Tour<'a> {
    vendor: &'a Vendor,
    gateway: SocketAddr,
    audit: AuditFile,
    page: Page<'a>,
    /// Chapters begun.
    chapters: u32,
    held: u32,
    failed: u32,
    /// What must not be in the audit log: what it is, and its text.
    secrets: Vec<(&'static str, String)>,
}

/// A call and all that came of it.
struct Done {
    answer: Answer,
    records: Vec<Record>,
    /// What the stand-in received meanwhile, the token exchange not counted.
    received: Vec<Received>,
}

impl<'a> Tour<'a> {
    /// Through the gateway at this address, which stands in front of `vendor` and writes its
    /// audit log to a file.
    #[must_use]
    pub fn new(vendor: &'a Vendor, gateway: SocketAddr, audit: PathBuf, page: Page<'a>) -> Self {
        Self {
            vendor,
            gateway,
            audit: AuditFile(audit),
            page,
            chapters: 0,
            held: 0,
            failed: 0,
            secrets: vec![("the API key", vendor.credentials().secret)],
        }
    }

    /// Makes all calls. The gateway may end then.
    ///
    /// # Errors
    /// Where the tour can't go on; an expectation that fails is none.
    pub async fn walk(&mut self) -> Result<(), TourError> {
        chapters::tell(self).await
    }

    /// Looks back, once the gateway has ended; says whether every expectation held.
    ///
    /// # Errors
    /// Where the audit log can't be read, or the page not be written.
    pub fn look_back(mut self) -> Result<bool, TourError> {
        let log = self.audit.read().map_err(TourError::Audit)?;
        let chain = Chain::follow(&log);
        let received = self.vendor.received();
        let exchanges = self.vendor.count(Endpoint::TokenExchange);
        self.page.heading("Looking back")?;
        self.page.prose(
            "The gateway has drained and ended. Its audit log is a chain: each record has the \
             number after, and the hash of, the one before it. Keep the last of both elsewhere, \
             and nobody can cut the end off unnoticed.",
        )?;
        self.page.gap()?;
        self.page.fact("sequence", &chain.sequence.to_string())?;
        self.page.fact("hash", &chain.hash)?;
        self.page.gap()?;
        let calls = received.iter().filter(|one| is_call(one)).count();
        self.page.prose(&format!(
            "The stand-in saw {calls} requests of the MFA API, and {exchanges} exchanges of the \
             API key for the credential: the first at the start, later ones in the background, \
             because a 401 may mean a wrong code or a revoked credential. Wrong codes cause one \
             in 10 seconds at most.",
        ))?;
        self.page.gap()?;
        let whole = format!("the chain of {} records is whole", chain.records);
        self.expect(chain.whole && chain.records > 0, &whole)?;
        self.expect_no_secret(&log, &received)?;

        let (held, failed) = (self.held, self.failed);
        self.page.gap()?;
        let verdict = match failed {
            0 => format!("All {held} expectations held."),
            _ => format!(
                "{failed} of {} expectations FAILED.",
                held.saturating_add(failed)
            ),
        };
        self.page.prose(&verdict)?;
        Ok(failed == 0)
    }

    /// No secret that came by is in the audit log, nor an email.
    fn expect_no_secret(&mut self, log: &str, received: &[Received]) -> io::Result<()> {
        let tokens = received.iter().filter_map(|one| {
            let token = one.header("authorization")?.strip_prefix("Bearer ")?;
            Some(("the environment's credential", token.to_owned()))
        });
        let mut secrets = std::mem::take(&mut self.secrets);
        secrets.extend(tokens);
        secrets.dedup();
        let mut found: Vec<_> = secrets
            .iter()
            .filter(|(_what, secret)| holds(log, secret))
            .map(|(what, _secret)| *what)
            .collect();
        found.dedup();
        let count = secrets.len();
        let what = match found.as_slice() {
            [] => format!(
                "none of {count} secrets is in the audit log: credential, API key, codes, \
                 tokens, cookies, emails"
            ),
            found => format!("the audit log holds no secret; found: {}", found.join(", ")),
        };
        self.expect(found.is_empty(), &what)
    }

    fn chapter(&mut self, heading: &str, text: &str) -> io::Result<()> {
        self.chapters = self.chapters.saturating_add(1);
        self.page
            .heading(&format!("{} · {heading}", self.chapters))?;
        self.page.prose(text)
    }

    /// Makes a call and shows it, with all that came of it.
    async fn show(&mut self, call: &Call) -> Result<Done, TourError> {
        self.page.request(call)?;
        let done = self.make(call).await?;
        self.page.answer(&done.answer)?;
        self.page.records(&done.records)?;
        self.page.gap()?;
        Ok(done)
    }

    /// Makes a call.
    async fn make(&self, call: &Call) -> Result<Done, TourError> {
        let before = self.calls().len();
        let answer = call.send(self.gateway).await?;
        // both records are accepted before an answer goes out, so they are there now
        let id = answer.header("x-request-id");
        let records = self.audit.of_request(id).map_err(TourError::Audit)?;
        let mut received = self.calls();
        received.drain(..before.min(received.len()));
        Ok(Done {
            answer,
            records,
            received,
        })
    }

    /// The calls that reached the stand-in.
    fn calls(&self) -> Vec<Received> {
        let mut received = self.vendor.received();
        received.retain(is_call);
        received
    }

    /// Must not be in the audit log.
    fn secret(&mut self, what: &'static str, secret: &str) {
        self.secrets.push((what, secret.to_owned()));
    }

    fn expect(&mut self, holds: bool, what: &str) -> io::Result<()> {
        let count = if holds {
            &mut self.held
        } else {
            &mut self.failed
        };
        *count = count.saturating_add(1);
        self.page.check(holds, what)
    }

    /// The call went to the vendor, once, and both its records say so.
    fn expect_exchange(&mut self, done: &Done, status: StatusCode) -> io::Result<()> {
        let outcome = if status.is_success() {
            "succeeded"
        } else {
            "denied"
        };
        let answered = done.answer.status == status;
        self.expect(
            answered,
            &format!("the vendor's answer comes through: {status}"),
        )?;
        self.expect_received(done, 1)?;
        let stages: Vec<_> = done
            .records
            .iter()
            .map(|record| (record.stage(), record.outcome()))
            .collect();
        self.expect(
            stages == [("admitted", "pending"), ("completed", outcome)],
            &format!("two audit records: admitted before it left, then {outcome}"),
        )
    }

    fn expect_received(&mut self, done: &Done, expected: usize) -> io::Result<()> {
        let count = |count| match count {
            0 => "nothing".to_owned(),
            1 => "one request".to_owned(),
            more => format!("{more} requests"),
        };
        let received = done.received.len();
        let mut what = format!("{} reached the stand-in", count(received));
        if received != expected {
            what = format!("{what}, {} was expected", count(expected));
        }
        self.expect(received == expected, &what)
    }

    /// The gateway itself said no, for this reason, and nothing left.
    fn expect_refusal(&mut self, done: &Done, status: StatusCode, reason: &str) -> io::Result<()> {
        let problem = format!("urn:mfa-gateway:{reason}");
        self.expect(
            done.answer.status == status && done.answer.field("type") == problem,
            &format!("the gateway refuses: {} {reason}", status.as_u16()),
        )?;
        self.expect_received(done, 0)?;
        let recorded = match done.records.as_slice() {
            [record] => (record.stage(), record.reason()) == ("refused", reason),
            _ => false,
        };
        self.expect(recorded, "one audit record: refused, with the same reason")
    }
}

/// Whether it is for the MFA API.
const fn is_call(received: &Received) -> bool {
    matches!(received.endpoint, Endpoint::Operation(_))
}

/// Whether the log holds the secret.
fn holds(log: &str, secret: &str) -> bool {
    if secret.len() >= SURELY_UNIQUE {
        return log.contains(secret);
    }
    log.match_indices(secret).any(|(start, found)| {
        let end = start.saturating_add(found.len());
        let before = log.get(..start).and_then(|text| text.chars().next_back());
        let after = log.get(end..).and_then(|text| text.chars().next());
        let in_word = |near: Option<char>| near.is_some_and(char::is_alphanumeric);
        !in_word(before) && !in_word(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_found_as_a_word_and_a_long_one_anywhere() {
        assert!(holds(r#"{"code":"123456"}"#, "123456"));
        assert!(holds("123456", "123456"));
        assert!(!holds("0123456789abcdef", "123456"));
        assert!(holds("Bearerlong-secret-0001.", "long-secret-0001"));
        assert!(!holds("", "123456"));
    }
}

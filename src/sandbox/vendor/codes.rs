//! The codes that the vendor would send by SMS or email.

use tokio::sync::broadcast;

use super::super::locked::Locked;

/// How many codes are kept, and how many a slow subscriber may be behind.
const KEPT: usize = 1_000;

/// How a code goes to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// To the account's address.
    Email,
    /// To a phone.
    Sms,
}

/// A code under way to its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCode {
    /// How it goes.
    pub channel: Channel,
    /// The address or number, whole.
    pub to: String,
    /// Six digits.
    pub code: String,
}

/// What was sent.
#[derive(Debug)]
pub(super) struct Codes {
    kept: Locked<Vec<SentCode>>,
    sent: broadcast::Sender<SentCode>,
}

impl Codes {
    pub(super) fn new() -> Self {
        Self {
            kept: Locked::default(),
            sent: broadcast::Sender::new(KEPT),
        }
    }

    pub(super) fn send(&self, code: SentCode) {
        self.kept.with(|kept| {
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push(code.clone());
        });
        // it fails only where nobody listens, and nobody has to
        self.sent.send(code).unwrap_or_default();
    }

    pub(super) fn read(&self) -> Vec<SentCode> {
        self.kept.with(|kept| kept.clone())
    }

    pub(super) fn last_to(&self, to: &str) -> Option<String> {
        self.kept.with(|kept| {
            let sent = kept.iter().rev().find(|sent| sent.to == to)?;
            Some(sent.code.clone())
        })
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<SentCode> {
        self.sent.subscribe()
    }
}

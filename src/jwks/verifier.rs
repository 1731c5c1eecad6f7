//! What a request asks: is this token believed, and what does it say?

use std::{
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest;

use super::{
    Held, Keys, KeysError, Patience,
    seen::{Digest, Seen},
};
use crate::{
    jwt::{Compact, Expected, JwtError, Token},
    model::Signature,
};

/// Verifies the tokens of one issuer for one audience. Each worker has one of its own, so that
/// the lock on what was seen is never waited for.
#[derive(Debug)]
pub struct Verifier<T> {
    keys: Keys,
    /// `None`: as whoever has the keys says.
    issuer: Option<String>,
    audience: String,
    accepted: Vec<Signature>,
    seen: Mutex<Seen<T>>,
}

/// Why a token can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is nothing to verify it with, yet.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// It isn't good.
    #[error(transparent)]
    Token(#[from] JwtError),
}

impl<T: Token> Verifier<T> {
    /// Believes what `issuer` (`None`: whoever the keys are published for) signed for `audience`
    /// in one of the `accepted` ways.
    #[must_use]
    pub fn new(
        keys: Keys,
        issuer: Option<String>,
        audience: String,
        accepted: Vec<Signature>,
    ) -> Self {
        Self {
            keys,
            issuer,
            audience,
            accepted,
            seen: Mutex::default(),
        }
    }

    /// Reads a token. Waits for the first keys, and for newer ones where its key is unknown.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub async fn verify(&self, text: &str, patience: Patience) -> Result<T, VerifyError> {
        let digest = sha256(text);
        if let Some(held) = self.keys.in_hand()
            && let Some(token) = self.recall(&digest, &held)
        {
            return Ok(token);
        }
        let token = Compact::parse(text, &self.accepted)?;
        let held = self.keys.first(patience).await?;
        let (held, read) = match self.read(&token, &held) {
            Err(JwtError::UnknownKey) => match self.keys.after(held.version, patience).await {
                Some(newer) => {
                    let read = self.read(&token, &newer);
                    (newer, read)
                }
                None => (held, Err(JwtError::UnknownKey)),
            },
            read => (held, read),
        };
        let read = read?;
        self.seen().put(digest, held.version, read.clone());
        Ok(read)
    }

    fn read(&self, token: &Compact<'_>, held: &Held) -> Result<T, JwtError> {
        let published = &held.published;
        let issuer = self.issuer.as_deref().or(published.issuer.as_deref());
        let expected = Expected {
            issuer: issuer.ok_or(JwtError::Issuer)?,
            audience: &self.audience,
            now: now(),
        };
        T::read(&published.keys.verify(token)?, &expected)
    }

    fn recall(&self, digest: &Digest, held: &Held) -> Option<T> {
        let found = self.seen().get(digest, held.version)?;
        found.is_current(now()).then_some(found)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen<T>> {
        // a panic leaves it as good as it was: each entry was verified
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn sha256(text: &str) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    digest
}

//! The environment's credential: held, renewed, and never more than one exchange at a time.
//!
//! One task, the [`Refresher`], knows the secret and is the only writer. Requests hold
//! [`Credentials`], take the [`Bearer`] of the moment or wait for one within their deadline,
//! and may say that the vendor refused it; whether that is worth an exchange is decided here.
//! How it is kept fresh is in `crate::refresh`.

mod endpoint;
mod refresher;
#[cfg(test)]
mod tests;
mod token;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use tokio::time::Instant;

pub use endpoint::TokenEndpoint;
pub use refresher::{Exchange, Refresher};
pub use token::{ExchangeError, Key, Token};

use crate::{
    config::Frontegg,
    model::Deadline,
    net::SetupError,
    refresh::{self, Reader},
};

/// For fuzzing: reads any bytes as the token endpoint's answer.
#[cfg(any(test, fuzzing))]
pub(crate) fn token_answer(body: &[u8]) {
    if let Ok(token) = token::parse(body) {
        assert!(!token.lifetime().is_zero(), "it is never valid");
    }
}

/// Which of the credentials, in the order in which they were exchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

/// The value of `authorization` that speaks for the environment. It was usable when it was taken.
#[derive(Clone, Debug)]
pub struct Bearer {
    header: HeaderValue,
    generation: Generation,
}

impl Bearer {
    /// `Bearer …`, marked sensitive, so that it never prints.
    #[must_use]
    pub const fn as_header(&self) -> &HeaderValue {
        &self.header
    }

    /// To be told to [`Credentials::refuse`] if the vendor doesn't take it.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

/// There was no usable credential within the request's deadline.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no credential: {}", match trouble {
    Some(trouble) => trouble.to_string(),
    None => "the exchange has not ended yet".into(),
})]
pub struct CredentialError {
    /// Why the last exchange failed; `None` if none has ended.
    pub trouble: Option<Arc<ExchangeError>>,
    /// Until the next exchange is tried.
    pub retry_after: Duration,
}

/// How things stand, for probes and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// Until when the newest credential is good, even if that has passed; `None`: there never was one.
    pub held_until: Option<SystemTime>,
    /// Why the last exchange failed; `None` if it didn't.
    pub trouble: Option<Arc<ExchangeError>>,
    /// Exchanges that brought a token.
    pub renewed: u64,
    /// Exchanges that didn't.
    pub failed: u64,
}

impl Status {
    /// Whether the vendor said that the client id and key are wrong, rather than not answering.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.trouble
            .as_deref()
            .is_some_and(ExchangeError::is_rejection)
    }
}

/// The requests' side. Cloning is two reference counts; clones work from any thread's runtime.
#[derive(Clone, Debug)]
pub struct Credentials(Reader<Held, Arc<ExchangeError>>);

type State = refresh::State<Held, Arc<ExchangeError>>;

#[derive(Clone, Debug)]
struct Held {
    bearer: Bearer,
    expires: Instant,
    expires_at: SystemTime,
}

impl State {
    fn usable(&self) -> Option<&Bearer> {
        let held = self.held.as_ref()?;
        (Instant::now() < held.expires).then_some(&held.bearer)
    }

    fn is_current(&self, generation: Generation) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.bearer.generation == generation)
    }

    fn status(&self) -> Status {
        Status {
            held_until: self.held.as_ref().map(|held| held.expires_at),
            trouble: self.trouble.clone(),
            renewed: self.renewed,
            failed: self.failed,
        }
    }
}

impl Credentials {
    /// For the vendor as configured: the handle, and the task that does the work, to be spawned once.
    ///
    /// # Errors
    /// [`SetupError`] where the way to the vendor can't be taken as it is configured.
    pub fn new(settings: &Frontegg) -> Result<(Self, Refresher<TokenEndpoint>), SetupError> {
        let endpoint = TokenEndpoint::new(settings)?;
        Ok(Refresher::new(endpoint, settings.request_timeout))
    }

    /// The credential, as soon as there is a usable one.
    ///
    /// # Errors
    /// [`CredentialError`] if there is none before the deadline.
    pub async fn bearer(&self, deadline: Deadline) -> Result<Bearer, CredentialError> {
        let found = self.0.find(deadline, |state| state.usable().cloned());
        found.await.ok_or_else(|| {
            let state = self.0.state();
            CredentialError {
                trouble: state.trouble.clone(),
                retry_after: state.retry_after(),
            }
        })
    }

    /// Says that the vendor answered `401` to this credential. It stays in use until there is
    /// another, which is fetched at once; but at most every 10 s, because a wrong code may be
    /// answered with `401` too, and whoever guesses codes must not drive exchanges. Not at all
    /// while exchanges fail: then they are tried again soon anyway.
    pub fn refuse(&self, refused: Generation) {
        let now = self.0.state();
        if now.is_current(refused) && now.trouble.is_none() {
            self.0.force(&now);
        }
    }

    /// Refuses a credential and waits for the one after it: `None` if none comes, because the
    /// exchange failed, one was forced just before, or the deadline passed.
    pub async fn renewed_after(&self, refused: Generation, deadline: Deadline) -> Option<Bearer> {
        let ended = {
            let now = self.0.state();
            if !now.is_current(refused) {
                return now.usable().cloned();
            }
            // while exchanges fail, the next is near and none is forced, but it is waited for
            if now.trouble.is_none() && !self.0.force(&now) {
                return None;
            }
            now.ended()
        };
        let renewed = |state: &State| {
            let usable = state.usable();
            usable.filter(|bearer| bearer.generation > refused).cloned()
        };
        self.0.after(ended, deadline, renewed).await
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.state().status()
    }

    /// Waits until exchanges begin to fail, or work again: until it isn't as `failing` says. Never
    /// resolves once the refresher has stopped.
    pub async fn turned(&self, failing: bool) -> Status {
        let turned = |state: &State| {
            let other = state.ended() > 0 && state.trouble.is_some() != failing;
            other.then(|| state.status())
        };
        match self.0.wait(turned).await {
            Some(status) => status,
            None => std::future::pending().await,
        }
    }
}

/// A credential as it is taken, for the tests of what is done with it.
#[cfg(test)]
pub(crate) fn bearer_for_tests(value: &str) -> Bearer {
    let mut header = HeaderValue::from_str(value).expect("a test's own header");
    header.set_sensitive(true);
    Bearer {
        header,
        generation: Generation(1),
    }
}

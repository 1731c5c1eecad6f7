//! The environment's credential: held, renewed, and never more than one exchange at a time.
//!
//! One task, the [`Refresher`], knows the secret and is the only writer. Requests hold
//! [`Credentials`], take the [`Bearer`] of the moment or wait for one within their deadline,
//! and may say that the vendor refused it; whether that is worth an exchange is decided here.
//!
//! # Why a watch channel
//!
//! It is at once the cell (taking the token is a reference count), the wake-up (a request
//! waits for a usable one) and the reason why any number of waiting requests cause one
//! exchange: they can only wait. No mutex, no herd, one writer.

mod endpoint;
mod refresh;
#[cfg(test)]
mod tests;
mod token;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use tokio::{sync::watch, time::Instant};

pub use endpoint::TokenEndpoint;
pub use refresh::{Exchange, Refresher};
pub use token::{ExchangeError, Key, Token};

use crate::{config::Frontegg, model::Deadline, net::SetupError};

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
pub struct Credentials {
    state: watch::Receiver<State>,
    refused: watch::Sender<Generation>,
}

/// What the refresher publishes.
#[derive(Clone, Debug)]
struct State {
    held: Option<Held>,
    /// An exchange is under way.
    exchanging: bool,
    trouble: Option<Arc<ExchangeError>>,
    renewed: u64,
    failed: u64,
    /// When the next exchange is due.
    due: Instant,
    /// Before this, a refused credential is no reason for an exchange.
    forced_again: Instant,
}

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

    /// Whether an exchange may be forced now. While one is under way, or is being tried again
    /// after a failure, there is nothing to force.
    fn may_be_forced(&self, refused: Generation) -> bool {
        self.is_current(refused)
            && !self.exchanging
            && self.trouble.is_none()
            && Instant::now() >= self.forced_again
    }

    fn status(&self) -> Status {
        Status {
            held_until: self.held.as_ref().map(|held| held.expires_at),
            trouble: self.trouble.clone(),
            renewed: self.renewed,
            failed: self.failed,
        }
    }

    /// Exchanges that have ended, one way or the other.
    const fn ended(&self) -> u64 {
        self.renewed.saturating_add(self.failed)
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
        if let Some(bearer) = self.state.borrow().usable() {
            return Ok(bearer.clone());
        }
        let mut state = self.state.clone();
        let found = async {
            let state = state
                .wait_for(|state| state.usable().is_some())
                .await
                .ok()?;
            state.usable().cloned()
        };
        let found = deadline.run(found).await.ok().flatten();
        found.ok_or_else(|| self.lack())
    }

    fn lack(&self) -> CredentialError {
        let state = self.state.borrow();
        CredentialError {
            trouble: state.trouble.clone(),
            retry_after: state.due.saturating_duration_since(Instant::now()),
        }
    }

    /// Says that the vendor answered `401` to this credential. It stays in use until there is
    /// another, which is fetched at once; but at most every 10 s, because a wrong code may be
    /// answered with `401` too, and whoever guesses codes must not drive exchanges.
    pub fn refuse(&self, refused: Generation) {
        if self.state.borrow().may_be_forced(refused) {
            self.force(refused);
        }
    }

    /// Refuses a credential and waits for the one after it: `None` if none comes, because the
    /// exchange failed, one was forced just before, or the deadline passed.
    pub async fn renewed_after(&self, refused: Generation, deadline: Deadline) -> Option<Bearer> {
        let mut state = self.state.clone();
        let (ended, force) = {
            let now = state.borrow_and_update();
            if !now.is_current(refused) {
                return now.usable().cloned();
            }
            let force = now.may_be_forced(refused);
            if !force && !now.exchanging && now.trouble.is_none() {
                return None;
            }
            (now.ended(), force)
        };
        if force {
            self.force(refused);
        }
        let renewed = async {
            let state = state.wait_for(|state| state.ended() > ended).await.ok()?;
            let usable = state.usable().filter(|bearer| bearer.generation > refused);
            usable.cloned()
        };
        deadline.run(renewed).await.ok().flatten()
    }

    fn force(&self, refused: Generation) {
        self.refused.send_if_modified(|newest| {
            let newer = refused > *newest;
            *newest = refused.max(*newest);
            newer
        });
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.borrow().status()
    }

    /// Waits until exchanges begin to fail, or work again: until it isn't as `failing` says. Never
    /// resolves once the refresher has stopped.
    pub async fn turned(&self, failing: bool) -> Status {
        let mut state = self.state.clone();
        let other = |state: &State| state.ended() > 0 && state.trouble.is_some() != failing;
        let status = state.wait_for(other).await.map(|state| state.status());
        match status {
            Ok(status) => status,
            Err(_stopped) => std::future::pending().await,
        }
    }

    /// Waits until the first exchange has ended, well or not.
    pub async fn first_exchange(&self) {
        let mut state = self.state.clone();
        // an error means that the refresher is gone: then nothing will end any more
        if state.wait_for(|state| state.ended() > 0).await.is_err() {
            tracing::debug!("the refresher has stopped");
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

//! Whose tokens are believed: the keys of an issuer, held and renewed, and what they verify.
//!
//! One task, the [`Keeper`], fetches the keys and is the only writer. Requests hold [`Keys`] and
//! take those of the moment, or wait for the first within their [`Patience`]. A token of an unknown
//! key may be one of a new key: then the keys are fetched again, at most once in 30 s, and the
//! requests that want them wait for it. So a rotation is no error, and whoever makes tokens up
//! can't drive fetches. An outage changes nothing: the keys in hand stay until there are others.
//! How they are kept fresh is in `crate::refresh`.
//!
//! [`Verifier`] is what a request asks. It remembers what it has verified.

mod keeper;
mod seen;
mod source;
#[cfg(test)]
mod tests;
mod verifier;

use std::{sync::Arc, time::Duration};

pub use keeper::Keeper;
pub use source::{FetchError, Host, Place, Source};
pub use verifier::{Verifier, VerifyError, now};

use crate::{
    jwt::KeySet,
    model::Deadline,
    refresh::{self, Reader},
};

/// How long a token waits for the keys that verify it.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Until then: a fetch that fails is tried again in the meantime.
    Until(Deadline),
    /// Until then at most, and not beyond a fetch that failed while there are no keys.
    UntilFailure(Deadline),
}

impl Patience {
    const fn deadline(self) -> Deadline {
        let (Self::Until(deadline) | Self::UntilFailure(deadline)) = self;
        deadline
    }

    /// Whether there is nothing to wait for any more.
    fn ends(self, state: &State) -> bool {
        let failed = matches!(self, Self::UntilFailure(_)) && state.trouble.is_some();
        state.held.is_some() || failed
    }
}

/// What an issuer publishes.
#[derive(Debug)]
pub struct Published {
    keys: KeySet,
    /// Its name, where whoever has the keys says it.
    issuer: Option<String>,
    /// Of all this as text.
    digest: [u8; 32],
}

impl Published {
    /// How many keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.count()
    }

    /// Whose, where whoever has the keys says it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

/// Which of the published key sets, in the order in which they were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u64);

/// The requests' side. Cloning is two reference counts; clones work from any thread's runtime.
#[derive(Clone, Debug)]
pub struct Keys(Reader<Held, Arc<FetchError>>);

type State = refresh::State<Held, Arc<FetchError>>;

/// The keys in hand.
#[derive(Clone, Debug)]
struct Held {
    published: Arc<Published>,
    version: Version,
}

/// There are no keys yet.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no keys to verify tokens with: {}", match trouble {
    Some(trouble) => trouble.to_string(),
    None => "they have not been fetched yet".into(),
})]
pub struct KeysError {
    /// Why the last fetch failed; `None` if none has ended.
    pub trouble: Option<Arc<FetchError>>,
    /// Until the next fetch is tried.
    pub retry_after: Duration,
}

impl Keys {
    /// The keys in hand, if there are any.
    fn in_hand(&self) -> Option<Held> {
        self.0.state().held.clone()
    }

    /// The keys, as soon as there are any.
    async fn first(&self, patience: Patience) -> Result<Held, KeysError> {
        let found = |state: &State| patience.ends(state).then(|| state.held.clone());
        let found = self.0.find(patience.deadline(), found).await.flatten();
        found.ok_or_else(|| {
            let state = self.0.state();
            KeysError {
                trouble: state.trouble.clone(),
                retry_after: state.retry_after(),
            }
        })
    }

    /// The keys after these, because a token is of none of them: `None` if there are none, the
    /// fetch failed, one was forced just before, or the deadline passed.
    async fn after(&self, seen: Version, patience: Patience) -> Option<Held> {
        let newer = |state: &State| state.held.clone().filter(|held| held.version > seen);
        let ended = {
            let now = self.0.state();
            if let Some(held) = newer(&now) {
                return Some(held);
            }
            if !self.0.force(&now) {
                return None;
            }
            now.ended()
        };
        self.0.after(ended, patience.deadline(), newer).await
    }
}

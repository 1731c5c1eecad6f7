//! A value behind a lock that can't be held across an await.

use std::sync::{Mutex, PoisonError};

/// A value that many tasks change, each for the length of one closure.
#[derive(Debug, Default)]
pub(super) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Looks at or changes the value. A panic in another closure doesn't end the
    /// stand-in: the test that it belongs to has failed already.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

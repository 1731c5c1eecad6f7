//! What requests ask the configuration for. They read it without a lock, also where a reload
//! changes it: each asks for one thing at a time.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::config::{Audit as Config, EmailForm, OnFailure};

/// What `[audit]` says about requests.
#[derive(Default)]
pub(super) struct Policy {
    forgives: AtomicBool,
    /// 0: hash, 1: mask, 2: plain.
    email: AtomicU8,
    /// In milliseconds.
    timeout: AtomicU64,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        let policy = Self::default();
        policy.follow(config);
        policy
    }

    /// Becomes another.
    pub(super) fn follow(&self, config: &Config) {
        let forgives = match config.on_failure {
            OnFailure::Continue => true,
            OnFailure::Deny => false,
        };
        let email = match config.email {
            EmailForm::Hash => 0,
            EmailForm::Mask => 1,
            EmailForm::Plain => 2,
        };
        let timeout = u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX);
        self.forgives.store(forgives, Relaxed);
        self.email.store(email, Relaxed);
        self.timeout.store(timeout, Relaxed);
    }

    /// Whether a request goes on though no output accepts its record.
    pub(super) fn forgives(&self) -> bool {
        self.forgives.load(Relaxed)
    }

    /// How an email appears.
    pub(super) fn email(&self) -> EmailForm {
        match self.email.load(Relaxed) {
            1 => EmailForm::Mask,
            2 => EmailForm::Plain,
            _ => EmailForm::Hash,
        }
    }

    /// An output that takes longer has not accepted.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.load(Relaxed))
    }
}

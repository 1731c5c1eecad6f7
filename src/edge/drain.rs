//! Telling all connections, on all threads, that it is time to end, and waiting until they have.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::watch;

/// Ends connections gracefully. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<bool>);

impl Drain {
    /// Nobody is told yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// What one connection listens to.
    pub(super) fn word(&self) -> Word {
        Word(self.0.subscribe())
    }

    /// Tells all connections, and returns when the last has ended. It has no limit of its own.
    pub async fn complete(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// The word that it is time to end. Whoever holds one is waited for, so it is taken as soon as
/// a connection is accepted, and held until that has ended.
#[derive(Debug)]
pub(super) struct Word(watch::Receiver<bool>);

/// A connection's ear: ready once, when the word comes.
pub(super) enum Ear {
    Listening(Pin<Box<dyn Future<Output = Word> + Send>>),
    /// Heard; kept so that the connection's end is waited for.
    Told {
        _word: Word,
    },
}

impl Ear {
    pub(super) fn new(mut word: Word) -> Self {
        Self::Listening(Box::pin(async move {
            // that nobody is left to say it is a word too
            drop(word.0.wait_for(|told| *told).await.map(|_told| ()));
            word
        }))
    }

    pub(super) fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self::Listening(listening) = self else {
            return Poll::Pending;
        };
        listening
            .as_mut()
            .poll(cx)
            .map(|word| *self = Self::Told { _word: word })
    }
}

//! Telling all connections, on all threads, that it is time to end, and waiting until they have.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{sync::watch, task::unconstrained};

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
    Listening {
        /// Resolves when the word comes, and then wakes this task.
        word: Pin<Box<dyn Future<Output = Word> + Send>>,
        task: Option<Waker>,
        /// Tells whether it came.
        said: Word,
    },
    /// Heard; kept so that the connection's end is waited for.
    Told { _word: Word },
}

impl Ear {
    pub(super) fn new(word: Word) -> Self {
        let (said, mut word) = (Word(word.0.clone()), word);
        Self::Listening {
            // unconstrained: a poll that was put off would not be woken by the word
            word: Box::pin(unconstrained(async move {
                // that nobody is left to say it is a word too
                drop(word.0.wait_for(|told| *told).await.map(|_told| ()));
                word
            })),
            task: None,
            said,
        }
    }

    /// Asked each time that a connection moves, so it looks at the word itself only where it must.
    pub(super) fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self::Listening { word, task, said } = self else {
            return Poll::Pending;
        };
        let listens = task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if listens && matches!(said.0.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        *task = Some(cx.waker().clone());
        word.as_mut()
            .poll(cx)
            .map(|word| *self = Self::Told { _word: word })
    }
}

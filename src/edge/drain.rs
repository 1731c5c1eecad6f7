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

    /// For one connection. Whoever holds it is waited for.
    pub(super) fn signal(&self) -> DrainSignal {
        DrainSignal(self.0.subscribe())
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

/// Says that it is time to end. Whoever holds one is waited for, so it is taken as soon as a
/// connection is accepted, and held until that has ended.
#[derive(Debug)]
pub(super) struct DrainSignal(watch::Receiver<bool>);

impl DrainSignal {
    /// Resolves when it comes, or when nobody is left to send it.
    pub(super) async fn came(&self) {
        let mut signal = self.0.clone();
        drop(signal.wait_for(|told| *told).await.map(|_told| ()));
    }
}

/// A connection's side of it: ready once, when the signal comes.
pub(super) enum DrainListener {
    Listening {
        /// Resolves when the signal comes, and then wakes this task.
        signal: Pin<Box<dyn Future<Output = DrainSignal> + Send>>,
        task: Option<Waker>,
        /// Tells whether it came.
        seen: DrainSignal,
    },
    /// It came. Kept so that the connection's end is waited for.
    Draining { _signal: DrainSignal },
}

impl DrainListener {
    pub(super) fn new(signal: DrainSignal) -> Self {
        let (seen, signal) = (DrainSignal(signal.0.clone()), signal);
        Self::Listening {
            // unconstrained: a poll that was put off would not be woken by the signal
            signal: Box::pin(unconstrained(async move {
                signal.came().await;
                signal
            })),
            task: None,
            seen,
        }
    }

    /// Asked each time that a connection moves, so it polls the signal itself only where it must.
    pub(super) fn poll_signal(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self::Listening { signal, task, seen } = self else {
            return Poll::Pending;
        };
        let listens = task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if listens && matches!(seen.0.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        *task = Some(cx.waker().clone());
        signal
            .as_mut()
            .poll(cx)
            .map(|signal| *self = Self::Draining { _signal: signal })
    }
}

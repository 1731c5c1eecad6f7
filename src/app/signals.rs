//! What the outside tells the process.

use std::{io, sync::Arc};

use tokio::{
    signal::unix::{self, SignalKind},
    sync::watch,
};

/// A word from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Read the configuration again.
    Reload,
    /// Open the audit files again.
    Reopen,
    /// Drain and end.
    Stop,
}

/// Where words from outside come in: the process's signals, and `POST /quitquitquit`.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    pub(super) stop: Stop,
    user1: unix::Signal,
}

/// What says [`Signal::Stop`].
#[derive(Debug)]
pub(super) struct Stop {
    interrupt: unix::Signal,
    quit: Arc<watch::Sender<bool>>,
    quits: watch::Receiver<bool>,
    /// Whether a signal has said it.
    signalled: bool,
    terminate: unix::Signal,
}

impl Signals {
    /// Takes the signals over: from here on none of them ends the process by itself.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> io::Result<Self> {
        let (quit, quits) = watch::channel(false);
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            stop: Stop {
                interrupt: unix::signal(SignalKind::interrupt())?,
                quit: Arc::new(quit),
                quits,
                signalled: false,
                terminate: unix::signal(SignalKind::terminate())?,
            },
            user1: unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// Says [`Signal::Stop`] from inside, when `true` is sent.
    #[must_use]
    pub fn quit(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.stop.quit)
    }

    /// The next word.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::Reopen,
            () = self.stop.told() => Signal::Stop,
        }
    }
}

impl Stop {
    /// The first time.
    pub(super) async fn told(&mut self) {
        let quit = async {
            if self.quits.wait_for(|quit| *quit).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = end(&mut self.terminate, &mut self.interrupt) => self.signalled = true,
            () = quit => {}
        }
    }

    /// A second signal. The first may still come, where `POST /quitquitquit` began the end:
    /// Kubernetes sends it to a sidecar when the app has ended.
    pub(super) async fn told_again(&mut self) {
        if !self.signalled {
            end(&mut self.terminate, &mut self.interrupt).await;
            self.signalled = true;
        }
        end(&mut self.terminate, &mut self.interrupt).await;
    }
}

async fn end(terminate: &mut unix::Signal, interrupt: &mut unix::Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

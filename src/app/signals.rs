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
    interrupt: unix::Signal,
    quit: Arc<watch::Sender<bool>>,
    quits: watch::Receiver<bool>,
    /// Whether a signal has said [`Signal::Stop`].
    stopped: bool,
    terminate: unix::Signal,
    user1: unix::Signal,
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
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: Arc::new(quit),
            quits,
            stopped: false,
            terminate: unix::signal(SignalKind::terminate())?,
            user1: unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// Says [`Signal::Stop`] from inside, when `true` is sent.
    #[must_use]
    pub fn quit(&self) -> Arc<watch::Sender<bool>> {
        Arc::clone(&self.quit)
    }

    /// The next word.
    pub async fn next(&mut self) -> Signal {
        let quit = async {
            if self.quits.wait_for(|quit| *quit).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.user1.recv() => Signal::Reopen,
            () = end(&mut self.terminate, &mut self.interrupt) => {
                self.stopped = true;
                Signal::Stop
            }
            () = quit => Signal::Stop,
        }
    }

    /// A second signal that says [`Signal::Stop`]. The first may still come, where `POST
    /// /quitquitquit` began the end: Kubernetes sends it to a sidecar when the app has ended.
    pub(super) async fn again(&mut self) {
        if !self.stopped {
            end(&mut self.terminate, &mut self.interrupt).await;
            self.stopped = true;
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

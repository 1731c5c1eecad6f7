//! The only writer of the credential: when it is exchanged.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{Bearer, Credentials, ExchangeError, Generation, Held, State, Token};
use crate::model::{later, share};

/// How a token is fetched: over the network, or as a test has it.
pub trait Exchange: Send {
    /// Fetches one.
    fn exchange(&mut self) -> impl Future<Output = Result<Token, ExchangeError>> + Send;

    /// Ends when what is exchanged has changed since the last exchange. May be dropped at any time.
    fn keys_changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// The task that keeps the credential. Dropping it ends the supply.
#[derive(Debug)]
pub struct Refresher<E> {
    exchange: E,
    /// For one exchange.
    budget: Duration,
    state: watch::Sender<State>,
    refused: watch::Receiver<Generation>,
    /// Failures since the last success.
    failures: u32,
}

/// The earliest renewal after a success, so that tokens without a life can't make us busy.
const SHORTEST_LIFE: Duration = Duration::from_millis(500);
/// A failed exchange is tried again after this, growing,
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// to this.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Between two exchanges that are forced by a refusal.
const FORCED: Duration = Duration::from_secs(10);

impl<E: Exchange> Refresher<E> {
    /// The task and its handle. One exchange may take `budget`.
    #[must_use]
    pub fn new(exchange: E, budget: Duration) -> (Credentials, Self) {
        let now = Instant::now();
        let (state, states) = watch::channel(State {
            held: None,
            exchanging: false,
            trouble: None,
            renewed: 0,
            failed: 0,
            due: now,
            forced_again: now,
        });
        let (refusals, refused) = watch::channel(Generation::default());
        let credentials = Credentials {
            state: states,
            refused: refusals,
        };
        let refresher = Self {
            exchange,
            budget,
            state,
            refused,
            failures: 0,
        };
        (credentials, refresher)
    }

    /// Exchanges, waits until the next exchange is due, and so on for ever.
    pub async fn run(mut self) {
        loop {
            let due = self.renew().await;
            self.wait(due).await;
        }
    }

    /// One exchange. Says when the next one is due.
    async fn renew(&mut self) -> Instant {
        self.state.send_modify(|state| state.exchanging = true);
        // Its life is counted from here: the vendor's clock ran while the answer was on its way.
        let (asked, asked_at) = (Instant::now(), SystemTime::now());
        let answer = timeout(self.budget, self.exchange.exchange()).await;
        match answer.unwrap_or(Err(ExchangeError::Timeout)) {
            Ok(token) => self.hold(token, asked, asked_at),
            Err(error) => self.keep(error),
        }
    }

    fn hold(&mut self, token: Token, asked: Instant, asked_at: SystemTime) -> Instant {
        self.failures = 0;
        let life = token.lifetime;
        let due = later(asked, share(life, 0.75, 0.80));
        let due = due.max(later(Instant::now(), SHORTEST_LIFE));
        self.state.send_modify(|state| {
            state.exchanging = false;
            state.trouble = None;
            state.renewed = state.renewed.saturating_add(1);
            state.due = due;
            state.held = Some(Held {
                bearer: Bearer {
                    header: token.header,
                    generation: Generation(state.renewed),
                },
                expires: later(asked, life),
                expires_at: asked_at.checked_add(life).unwrap_or(asked_at),
            });
        });
        tracing::info!(lifetime = ?life, "credential renewed");
        due
    }

    /// After a failure: what is held stays as it is, good until it expires.
    fn keep(&mut self, error: ExchangeError) -> Instant {
        let pause = LAST_RETRY.min(FIRST_RETRY.saturating_mul(1 << self.failures.min(8)));
        self.failures = self.failures.saturating_add(1);
        let due = later(Instant::now(), share(pause, 0.9, 1.1));
        let usable = self.state.borrow().usable().is_some();
        tracing::warn!(error = %error, usable, "credential not renewed");
        self.state.send_modify(|state| {
            state.exchanging = false;
            state.trouble = Some(Arc::new(error));
            state.failed = state.failed.saturating_add(1);
            state.due = due;
        });
        due
    }

    /// Until the next exchange is due, the keys change or the vendor refuses the credential.
    async fn wait(&mut self, due: Instant) {
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.exchange.keys_changed() => {
                tracing::info!("the credential's keys have changed");
            }
            () = refusal(&mut self.refused, &self.state) => {
                tracing::info!("a 401 may mean that the credential was revoked: renewing it");
                let again = later(Instant::now(), FORCED);
                self.state.send_modify(|state| state.forced_again = again);
            }
        }
    }
}

/// Ends when the credential that is held is refused. An older one's refusal comes too late to count.
async fn refusal(refused: &mut watch::Receiver<Generation>, state: &watch::Sender<State>) {
    while refused.changed().await.is_ok() {
        let refused = *refused.borrow_and_update();
        if state.borrow().may_be_forced(refused) {
            return;
        }
    }
    pending::<()>().await;
}

//! The only writer of the credential: when it is exchanged.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, timeout};

use super::{Bearer, Credentials, ExchangeError, Generation, Held, Token};
use crate::{
    model::{later, share},
    refresh::{self, Cause, Pace, Writer},
};

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
    writer: Writer<Held, Arc<ExchangeError>>,
}

/// The earliest renewal after a success, so that tokens without a life can't make us busy.
const SHORTEST_LIFE: Duration = Duration::from_millis(500);
const PACE: Pace = Pace {
    last_retry: Duration::from_secs(5),
    forced: Duration::from_secs(10),
};

impl<E: Exchange> Refresher<E> {
    /// The task and its handle. One exchange may take `budget`.
    #[must_use]
    pub fn new(exchange: E, budget: Duration) -> (Credentials, Self) {
        let (writer, reader) = refresh::channel(PACE);
        let refresher = Self {
            exchange,
            budget,
            writer,
        };
        (Credentials(reader), refresher)
    }

    /// Goes on with the credential that another refresher has exchanged: it is as good as any that
    /// this one will.
    #[must_use]
    pub fn going_on_from(self, other: &Credentials) -> Self {
        self.writer.go_on_from(&other.0);
        self
    }

    /// Exchanges, waits until the next exchange is due, and so on for ever.
    pub async fn run(mut self) {
        loop {
            self.renew().await;
            match self.writer.next(self.exchange.keys_changed()).await {
                Cause::Changed => tracing::info!("the credential's keys have changed"),
                Cause::Due => {}
                Cause::Forced => {
                    tracing::info!("a 401 may mean that the credential was revoked: renewing it");
                }
            }
        }
    }

    /// One exchange.
    async fn renew(&mut self) {
        // Its life is counted from here: the vendor's clock ran while the answer was on its way.
        let (asked, asked_at) = (Instant::now(), SystemTime::now());
        let answer = timeout(self.budget, self.exchange.exchange()).await;
        match answer.unwrap_or(Err(ExchangeError::Timeout)) {
            Ok(token) => self.hold(token, asked, asked_at),
            Err(error) => {
                let usable = self.writer.state().usable().is_some();
                tracing::warn!(error = %error, usable, "credential not renewed");
                self.writer.fail(Arc::new(error));
            }
        }
    }

    fn hold(&mut self, token: Token, asked: Instant, asked_at: SystemTime) {
        let life = token.lifetime;
        let due = later(asked, share(life, 0.75, 0.80));
        let due = due.max(later(Instant::now(), SHORTEST_LIFE));
        let renewed = self.writer.state().renewed.saturating_add(1);
        let held = Held {
            bearer: Bearer {
                header: token.header,
                generation: Generation(renewed),
            },
            expires: later(asked, life),
            expires_at: asked_at.checked_add(life).unwrap_or(asked_at),
        };
        self.writer.hold(held, due);
        tracing::info!(lifetime = ?life, "credential renewed");
    }
}

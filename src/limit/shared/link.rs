//! One thread's connection to the shared store, and when not to use it.
//!
//! A connection that failed once (an error, or no answer in time) is not used again, and until a
//! new one has shown that the store takes writes in time, nobody asks: so an outage costs the
//! requests that were waiting when it began one time-out, and no later one anything. Where
//! only a part of it is bad, so that each new connection soon fails, new ones become rare.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{Cmd, RedisError, RedisResult};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    connect::{Connection, Dialer},
    scripts::Scripts,
};
use crate::model::{Deadline, share};

/// The first pause before a store that is away is tried again. Each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest such pause. After a connection that was good for longer they begin anew.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Between two looks at a connection that nobody may be using.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the shared store can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It can't, for this reason.
    Away(Arc<str>),
    /// It can.
    Usable,
}

/// The store can't be asked, or did not answer in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the shared store of the limits can't be used: {0}")]
pub struct StoreAway(pub(super) Arc<str>);

/// What all threads share of one store.
pub(super) struct Store {
    pub(super) scripts: Scripts,
    pub(super) prefix: Box<str>,
    pub(super) timeout: Duration,
    dialer: Dialer,
    /// How many links are without a connection.
    away: Mutex<usize>,
    told: watch::Sender<StoreState>,
}

/// One thread's way to the store.
pub(super) struct Link {
    pub(super) store: Arc<Store>,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    /// The first connection is being made.
    Begun,
    Lost(Arc<str>),
    Open(Connection, Number),
}

/// Which connection.
type Number = u64;

impl Store {
    pub(super) fn new(dialer: Dialer, prefix: &str, timeout: Duration) -> Self {
        Self {
            scripts: Scripts::new(),
            prefix: prefix.into(),
            timeout,
            dialer,
            away: Mutex::new(0),
            told: watch::Sender::new(StoreState::Usable),
        }
    }

    pub(super) fn states(&self) -> watch::Receiver<StoreState> {
        self.told.subscribe()
    }

    /// A connection over which the store has taken a write, as fast as decisions need it.
    async fn dial(&self) -> RedisResult<Connection> {
        let mut connection = self.dialer.dial().await?;
        timeout(self.timeout, self.probe(&mut connection))
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(connection)
    }

    /// For `check --connect`: whether it can be reached, and takes a write in time.
    pub(super) async fn try_once(&self) -> Result<(), StoreAway> {
        let dialed = self.dial().await;
        dialed
            .map(drop)
            .map_err(|error| StoreAway(describe(&error)))
    }

    async fn probe(&self, connection: &mut Connection) -> RedisResult<()> {
        let mut write = Cmd::new();
        write
            .arg("SET")
            .arg(format!("{}:probe", self.prefix))
            .arg(1)
            .arg("PX")
            .arg(1_000);
        write.query_async(connection).await
    }

    fn count_away(&self, count: impl FnOnce(usize) -> usize, why: &str) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *away;
        *away = count(before);
        match (before, *away) {
            (0, 0) => {}
            (0, _) => drop(self.told.send_replace(StoreState::Away(why.into()))),
            (_, 0) => drop(self.told.send_replace(StoreState::Usable)),
            (_, _) => {}
        }
    }
}

impl Link {
    /// A link whose connections belong to the runtime that calls this; they end with it.
    pub(super) fn open(store: &Arc<Store>) -> Arc<Self> {
        let link = Arc::new(Self {
            store: Arc::clone(store),
            state: watch::Sender::new(State::Begun),
        });
        let keeper = Keeper {
            store: Arc::clone(store),
            link: Arc::downgrade(&link),
            numbers: 0,
            is_counted: false,
        };
        drop(tokio::spawn(keeper.run()));
        link
    }

    /// Asks the store, within the time that a decision may take.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Scripts, &mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreAway> {
        let deadline = Deadline::after(self.store.timeout);
        let (mut connection, number) = self.connection(deadline).await?;
        let asked = question(&self.store.scripts, &mut connection);
        let error = match deadline.run(asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_elapsed) => io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        let why = describe(&error);
        self.lose(number, &why);
        Err(StoreAway(why))
    }

    /// This connection isn't used again.
    fn lose(&self, number: Number, why: &Arc<str>) {
        self.state.send_if_modified(|state| match state {
            State::Open(_, present) if *present == number => {
                *state = State::Lost(Arc::clone(why));
                true
            }
            State::Begun | State::Lost(_) | State::Open(..) => false,
        });
    }

    /// Waits for nothing but the first connection.
    async fn connection(&self, deadline: Deadline) -> Result<(Connection, Number), StoreAway> {
        let mut states = self.state.subscribe();
        let begun = |state: &State| !matches!(state, State::Begun);
        let state = match deadline.run(states.wait_for(begun)).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) | Err(_) => return Err(StoreAway("it is being connected to".into())),
        };
        match state {
            State::Open(connection, number) => Ok((connection, number)),
            State::Lost(why) => Err(StoreAway(why)),
            State::Begun => Err(StoreAway("it is being connected to".into())),
        }
    }
}

/// Keeps one link's connection: makes it, notices when it is lost, makes another.
struct Keeper {
    store: Arc<Store>,
    link: std::sync::Weak<Link>,
    numbers: Number,
    /// Whether this link counts among those that are away.
    is_counted: bool,
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = Duration::ZERO;
        while self.link.strong_count() > 0 {
            let good = match self.store.dial().await {
                Ok(connection) => {
                    self.count(false, "");
                    let opened = Instant::now();
                    if self.keep(connection).await.is_none() {
                        return;
                    }
                    opened.elapsed()
                }
                Err(error) => {
                    let why = describe(&error);
                    self.count(true, &why);
                    let Some(link) = self.link.upgrade() else {
                        return;
                    };
                    link.state.send_replace(State::Lost(why));
                    Duration::ZERO
                }
            };
            pause = pause_after(pause, good);
            // replicas that lost a store together don't come back to it together
            sleep(share(pause, 0.75, 1.25)).await;
        }
    }

    /// Lends the connection out until it is lost; `None` where nobody wants one any more. Looks
    /// after it meanwhile, so that it isn't for a request to find out.
    async fn keep(&mut self, connection: Connection) -> Option<()> {
        self.numbers = self.numbers.wrapping_add(1);
        let closed = connection.clone().closed();
        tokio::pin!(closed);
        let mut states = {
            let link = self.link.upgrade()?;
            link.state
                .send_replace(State::Open(connection, self.numbers));
            link.state.subscribe()
        };
        loop {
            tokio::select! {
                why = lost(&mut states) => {
                    self.count(true, &why?);
                    return Some(());
                }
                () = &mut closed => {
                    let why = "the connection was closed".into();
                    self.link.upgrade()?.lose(self.numbers, &why);
                    self.count(true, &why);
                    return Some(());
                }
                () = sleep(LOOK) => {
                    let link = self.link.upgrade()?;
                    let looked = link
                        .ask(async |_scripts: &Scripts, connection: &mut Connection| {
                            self.store.probe(connection).await
                        })
                        .await;
                    if let Err(error) = looked {
                        tracing::debug!(%error, "a look at the shared store failed");
                    }
                }
            }
        }
    }

    fn count(&mut self, away: bool, why: &str) {
        if away != self.is_counted {
            self.is_counted = away;
            let count = |links: usize| {
                if away {
                    links.saturating_add(1)
                } else {
                    links.saturating_sub(1)
                }
            };
            self.store.count_away(count, why);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.count(false, "");
    }
}

/// Why a connection was lost, once it is.
async fn lost(states: &mut watch::Receiver<State>) -> Option<Arc<str>> {
    let lost = |state: &State| matches!(state, State::Lost(_));
    match &*states.wait_for(lost).await.ok()? {
        State::Lost(why) => Some(Arc::clone(why)),
        State::Begun | State::Open(..) => None,
    }
}

/// The pause that follows `pause` and a connection that was good for so long.
///
/// That one could be made says little: a cluster with a dead part, or a server that runs no script,
/// lets everybody connect, and each time a decision pays to find out.
fn pause_after(pause: Duration, good: Duration) -> Duration {
    if good > LAST_RETRY {
        return FIRST_RETRY;
    }
    pause.saturating_mul(2).clamp(FIRST_RETRY, LAST_RETRY)
}

fn describe(error: &RedisError) -> Arc<str> {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(good: Duration, count: usize) -> Vec<u128> {
        let next = |pause: &Duration| Some(pause_after(*pause, good));
        std::iter::successors(Some(Duration::ZERO), next)
            .skip(1)
            .take(count)
            .map(|pause| pause.as_millis())
            .collect()
    }

    #[test]
    fn connections_that_soon_fail_become_as_rare_as_those_that_cannot_be_made() {
        let growing = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        assert_eq!(pauses(Duration::ZERO, 8), growing);
        assert_eq!(pauses(LAST_RETRY, 8), growing);
    }

    #[test]
    fn a_connection_that_was_good_is_soon_followed_by_another() {
        let good = LAST_RETRY.saturating_add(Duration::from_millis(1));
        assert_eq!(pauses(good, 3), [100; 3]);
        assert_eq!(pause_after(LAST_RETRY, good), FIRST_RETRY);
    }
}

//! One worker's connections to the vendor, between two requests.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    NotSent,
    connection::{Connection, Host},
    http1::Http1,
    http2::Http2,
};
use crate::net::Connector;

/// A connection that nobody uses is given up after this.
const IDLE: Duration = Duration::from_secs(50);
/// The age at which a connection isn't used any more.
const LONGEST_LIFE: Duration = Duration::from_secs(600);
/// How often somebody looks at the idle ones.
const LOOK: Duration = Duration::from_secs(5);

/// The connections that nobody uses, and those that may be shared.
pub(super) struct Pool {
    connector: Connector,
    host: Host,
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    /// Each since when; the last came last.
    idle: Vec<(Instant, Box<Http1>)>,
    /// Those that many exchanges share, each when it was used last. The first with room is taken,
    /// so that the others come to rest.
    shared: Vec<(Instant, Http2)>,
    /// Whether somebody looks at them from time to time.
    watched: bool,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Arc<Self> {
        Arc::new(Self {
            host: Host::new(connector.authority()),
            connector,
            resting: Mutex::default(),
        })
    }

    /// One that is there, the last used first.
    pub(super) fn take(&self) -> Option<Connection> {
        self.resting().take()
    }

    /// A new one. Boxed here and apart: what a handshake needs has no part in the usual request.
    #[cold]
    pub(super) fn connect(
        self: &Arc<Self>,
    ) -> Pin<Box<dyn Future<Output = Result<Connection, NotSent>> + Send + '_>> {
        Box::pin(async move {
            let stream = self.connector.connect().await.map_err(NotSent::Connect)?;
            let opened = Connection::open(stream, &self.host).await;
            let opened = opened.map_err(|error| NotSent::Dropped(error.into()))?;
            if let Connection::Http2(connection) = &opened {
                self.keep(|resting| resting.share(connection));
            }
            Ok(opened)
        })
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one among those that rest, which somebody looks at from then on.
    fn keep(self: &Arc<Self>, put: impl FnOnce(&mut Resting)) {
        let mut resting = self.resting();
        put(&mut resting);
        if !mem::replace(&mut resting.watched, true) {
            drop(tokio::spawn(watch(Arc::downgrade(self))));
        }
    }

    /// Keeps one whose exchange came to a good end. Any other is dropped by who had it.
    pub(super) fn give_back(self: &Arc<Self>, connection: Connection) {
        let now = Instant::now();
        match connection {
            Connection::Http1(http1) => {
                if could_be_too_old(http1.made, now) || !http1.persists {
                    return http1.close();
                }
                self.keep(|resting| resting.idle.push((now, http1)));
            }
            Connection::Http2(http2) => {
                let mut resting = self.resting();
                let mut shared = resting.shared.iter_mut();
                if let Some((used, _)) = shared.find(|(_, shared)| shared.is(&http2)) {
                    *used = now;
                }
            }
        }
    }
}

impl Resting {
    fn take(&mut self) -> Option<Connection> {
        let now = Instant::now();
        self.let_go(now);
        if let Some(shared) = self.with_room() {
            return Some(Connection::Http2(shared.clone()));
        }
        // whether the vendor has closed it meanwhile is seen when it is used
        while let Some((used, connection)) = self.idle.pop() {
            if is_fresh(used, now) {
                return Some(Connection::Http1(connection));
            }
            connection.close();
        }
        None
    }

    fn with_room(&self) -> Option<&Http2> {
        let mut shared = self.shared.iter().map(|(_used, shared)| shared);
        shared.find(|shared| shared.has_room())
    }

    /// Shares a new one, unless another request has opened one at the same time: then it ends with
    /// its first exchange.
    fn share(&mut self, http2: &Http2) {
        let now = Instant::now();
        self.let_go(now); // room on one that takes no request is none
        if self.with_room().is_none() {
            self.shared.push((now, http2.clone()));
        }
    }

    /// Shares those no more that should take no request. They end with the last that is on them.
    fn let_go(&mut self, now: Instant) {
        self.shared.retain_mut(|(used, shared)| {
            is_fresh(*used, now) && !could_be_too_old(shared.made, now) && shared.is_sound()
        });
    }

    /// Closes what has been idle for too long, or was closed by the vendor.
    fn tidy(&mut self) {
        let now = Instant::now();
        self.let_go(now);
        for (used, mut connection) in mem::take(&mut self.idle) {
            if is_fresh(used, now) && !connection.is_over() {
                self.idle.push((used, connection));
            } else {
                connection.close();
            }
        }
    }
}

fn is_fresh(used: Instant, now: Instant) -> bool {
    now.saturating_duration_since(used) < IDLE
}

/// Looks at the resting connections for as long as there are any.
async fn watch(pool: Weak<Pool>) {
    loop {
        sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut resting = pool.resting();
        resting.tidy();
        if resting.idle.is_empty() && resting.shared.is_empty() {
            resting.watched = false;
            return;
        }
    }
}

/// Whether it could be too old by the time of the next request.
fn could_be_too_old(made: Instant, now: Instant) -> bool {
    now.saturating_duration_since(made) >= LONGEST_LIFE.saturating_sub(IDLE)
}

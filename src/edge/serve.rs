//! Connections: accepted in one place, served each by one thread from its first byte to its last.
//!
//! The accepting thread hands a connection to the thread with the fewest, so that load spreads
//! evenly however few connections there are, and no request ever crosses threads.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::sleep,
};

use super::{
    certificate,
    door::Door,
    drain::{Drain, Word},
    http::{self, Answering},
    listen::{Listener, Socket},
    patience::{ConnectionError, Watch},
};
use crate::{
    client::Source,
    event::Peer,
    gateway::{Connection, Gateway},
    model::{Deadline, Proof},
    telemetry::metrics::Metrics,
};

/// After an error that isn't one connection's (no more file descriptors, say) a loop that goes
/// on at once would only spin.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// What is said of one that can't change threads.
const LOST: &str = "a connection was lost on its way to its thread";

/// A connection that waits to be served.
#[derive(Debug)]
pub struct Arrival {
    socket: Socket,
    visit: Visit,
}

/// What goes with a connection from its acceptance to its end.
#[derive(Debug)]
struct Visit {
    peer: Peer,
    proof: Proof,
    door: Arc<Door>,
    word: Word,
    _room: OwnedSemaphorePermit,
}

/// The connections of one thread, as they come.
pub type Arrivals = mpsc::UnboundedReceiver<Arrival>;

/// What one thread needs to serve connections.
#[derive(Clone)]
pub struct Workplace {
    gateway: watch::Receiver<Arc<Gateway>>,
    metrics: Arc<Metrics>,
    /// Connections of this thread, for whoever hands out the next.
    load: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Workplace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workplace")
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// The threads that serve.
#[derive(Debug)]
pub struct Crew {
    /// The accepting thread's own place.
    pub here: Workplace,
    /// The other threads.
    pub others: Vec<Seat>,
}

/// Another thread's place, seen from the accepting one.
#[derive(Debug)]
pub struct Seat {
    /// Takes its connections.
    pub arrivals: mpsc::UnboundedSender<Arrival>,
    /// How many it has.
    pub load: Arc<AtomicUsize>,
}

impl Crew {
    fn hand_over(&self, arrival: Arrival) {
        let least = self
            .others
            .iter()
            .min_by_key(|seat| seat.load.load(Ordering::Relaxed));
        if let Some(seat) = least
            && seat.load.load(Ordering::Relaxed) < self.here.load.load(Ordering::Relaxed)
        {
            return seat.take(arrival);
        }
        self.here.load.fetch_add(1, Ordering::Relaxed);
        self.here.clone().serve(arrival);
    }
}

impl Seat {
    fn take(&self, Arrival { socket, visit }: Arrival) {
        let socket = match socket.detach() {
            Ok(socket) => socket,
            Err(error) => return tracing::warn!(%error, "{LOST}"),
        };
        self.load.fetch_add(1, Ordering::Relaxed);
        if self.arrivals.send(Arrival { socket, visit }).is_err() {
            tracing::debug!("a connection came while its thread was ending");
        }
    }
}

/// Accepts until dropped.
pub async fn accept(listener: Listener, door: Arc<Door>, crew: Arc<Crew>, drain: Drain) {
    loop {
        let (socket, peer, proof) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(address = listener.address(), %error, "can't accept connections; trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(room) = Arc::clone(&door.connections).try_acquire_owned() else {
            tracing::debug!(
                address = listener.address(),
                "listen.max_connections are open: one more was closed"
            );
            continue;
        };
        let visit = Visit {
            peer,
            proof,
            door: Arc::clone(&door),
            word: drain.word(),
            _room: room,
        };
        crew.hand_over(Arrival { socket, visit });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

impl Workplace {
    /// A place that serves with the gateway of the moment.
    #[must_use]
    pub fn new(gateway: watch::Receiver<Arc<Gateway>>, metrics: Arc<Metrics>) -> Self {
        Self {
            gateway,
            metrics,
            load: Arc::default(),
        }
    }

    /// How many connections it has.
    #[must_use]
    pub fn load(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.load)
    }

    /// Serves what comes until nothing more can come. Runs on the thread whose place it is.
    pub async fn work(self, mut arrivals: Arrivals) {
        while let Some(Arrival { socket, visit }) = arrivals.recv().await {
            match socket.attach() {
                Ok(socket) => self.clone().serve(Arrival { socket, visit }),
                Err(error) => {
                    self.load.fetch_sub(1, Ordering::Relaxed);
                    tracing::warn!(%error, "{LOST}");
                }
            }
        }
    }

    fn serve(self, Arrival { socket, visit }: Arrival) {
        let open = Open::new(&self.metrics, Arc::clone(&self.load));
        let peer = visit.peer;
        drop(tokio::spawn(async move {
            let served = match socket {
                Socket::Tcp(stream) => self.greet(stream, visit).await,
                Socket::Unix(stream) => self.greet(stream, visit).await,
                Socket::Detached(_) => Ok(()), // attached before it is served
            };
            if let Err(error) = served {
                tracing::debug!(?peer, %error, "a connection ended early");
            }
            drop(open);
        }));
    }

    /// What comes before HTTP: from where a proxy passes it on, and TLS, where the listener has
    /// them.
    async fn greet<S>(self, mut stream: S, mut visit: Visit) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let door = Arc::clone(&visit.door);
        let deadline = Deadline::after(door.patience.header);
        let source = deadline
            .run(door.source(&mut stream, visit.peer))
            .await
            .map_err(|_elapsed| ConnectionError::Silent)??;
        let Some(identity) = &door.tls else {
            return self.speak(stream, source, visit).await;
        };
        // boxed, or connections without TLS would have room for it
        let stream = deadline
            .run(Box::pin(identity.acceptor().accept(stream)))
            .await
            .map_err(|_elapsed| ConnectionError::Silent)?
            .map_err(|error| ConnectionError::Served(error.into()))?;
        let (_stream, session) = stream.get_ref();
        visit.proof.certificate = certificate::names(session.peer_certificates())?;
        Box::pin(self.speak(stream, source, visit)).await
    }

    /// HTTP, answered by the gateway of the moment.
    async fn speak<S>(self, socket: S, source: Source, visit: Visit) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Visit {
            peer,
            proof,
            door,
            word,
            _room,
        } = visit;
        let connection = Arc::new(Connection {
            entrance: Arc::clone(&door.entrance),
            peer,
            proof,
            source,
        });
        let (max_headers, watch) = (door.max_headers, Watch::new(word, door.patience));
        let pulse = Arc::clone(watch.pulse());
        let answers = service_fn(move |request: Request<Incoming>| {
            let gateway = Arc::clone(&self.gateway.borrow());
            let busy = pulse.request();
            Answering::new(gateway.handle(Arc::clone(&connection), request), busy)
        });
        http::speak(socket, max_headers, answers, watch).await
    }
}

/// An open connection, counted for as long as this lives.
struct Open {
    metrics: Arc<Metrics>,
    load: Arc<AtomicUsize>,
}

impl Open {
    fn new(metrics: &Arc<Metrics>, load: Arc<AtomicUsize>) -> Self {
        metrics.connections.inc();
        Self {
            metrics: Arc::clone(metrics),
            load,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket between two threads' event loops.
#[derive(Debug)]
pub(super) enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Takes it off this thread's event loop.
    fn detach(self) -> io::Result<Self> {
        Ok(Self::Detached(match self {
            Self::Tcp(stream) => Detached::Tcp(stream.into_std()?),
            Self::Unix(stream) => Detached::Unix(stream.into_std()?),
            Self::Detached(detached) => detached,
        }))
    }

    /// Puts it on this thread's event loop.
    fn attach(self) -> io::Result<Self> {
        Ok(match self {
            Self::Detached(Detached::Tcp(stream)) => Self::Tcp(TcpStream::from_std(stream)?),
            Self::Detached(Detached::Unix(stream)) => Self::Unix(UnixStream::from_std(stream)?),
            attached @ (Self::Tcp(_) | Self::Unix(_)) => attached,
        })
    }
}

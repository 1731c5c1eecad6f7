//! Connections: accepted in one place, served each by one thread from its first byte to its last.
//!
//! The accepting thread hands a connection to the thread with the fewest, so that load spreads
//! evenly however few connections there are, and no request ever crosses threads.

use std::{
    io, net,
    os::unix,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use tokio::{
    net::{TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::sleep,
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::{
    certificate,
    drain::{Drain, DrainSignal},
    http::{self, Answering},
    listen::{Listener, Socket},
    rules::ConnectionRules,
    timeouts::{ConnectionError, Watchdog},
};
use crate::{
    client_ip::Source,
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

/// An accepted connection on its way from one thread to another.
#[derive(Debug)]
pub struct Accepted {
    socket: Detached,
    info: ConnectionInfo,
}

/// The same between two threads' event loops.
type Detached = Either<net::TcpStream, unix::net::UnixStream>;

/// What HTTP goes over, without TLS or with it. One type, or there would be a server for each.
type Wire = Either<Socket, Box<TlsStream<Socket>>>;

/// What goes with a connection from its acceptance to its end.
#[derive(Debug)]
struct ConnectionInfo {
    peer: Peer,
    proof: Proof,
    rules: Arc<ConnectionRules>,
    drain: DrainSignal,
    _room: OwnedSemaphorePermit,
}

/// Serves the connections of one thread.
#[derive(Clone)]
pub struct Server {
    gateway: watch::Receiver<Arc<Gateway>>,
    metrics: Arc<Metrics>,
    /// Connections of this thread, for whoever hands out the next.
    load: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// The threads that serve.
#[derive(Debug)]
pub struct Servers {
    /// The accepting thread's own server.
    pub here: Server,
    /// The other threads.
    pub others: Vec<ServerHandle>,
}

/// Another thread's server, seen from the accepting one.
#[derive(Debug)]
pub struct ServerHandle {
    /// Takes its connections.
    pub accepted: mpsc::UnboundedSender<Accepted>,
    /// How many it has.
    pub load: Arc<AtomicUsize>,
}

impl Servers {
    fn hand_over(&self, socket: Socket, info: ConnectionInfo) {
        let least = self
            .others
            .iter()
            .min_by_key(|handle| handle.load.load(Ordering::Relaxed));
        if let Some(handle) = least
            && handle.load.load(Ordering::Relaxed) < self.here.load.load(Ordering::Relaxed)
        {
            return handle.take(socket, info);
        }
        self.here.load.fetch_add(1, Ordering::Relaxed);
        self.here.clone().serve(socket, info);
    }
}

impl ServerHandle {
    fn take(&self, socket: Socket, info: ConnectionInfo) {
        let socket = match detach(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::warn!(%error, "{LOST}"),
        };
        self.load.fetch_add(1, Ordering::Relaxed);
        if self.accepted.send(Accepted { socket, info }).is_err() {
            tracing::debug!("a connection came while its thread was ending");
        }
    }
}

/// Accepts until dropped.
pub async fn accept(
    listener: Listener,
    rules: Arc<ConnectionRules>,
    servers: Arc<Servers>,
    drain: Drain,
) {
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
        let Ok(room) = Arc::clone(&rules.connections).try_acquire_owned() else {
            tracing::debug!(
                address = listener.address(),
                "listen.max_connections are open: one more was closed"
            );
            continue;
        };
        let info = ConnectionInfo {
            peer,
            proof,
            rules: Arc::clone(&rules),
            drain: drain.signal(),
            _room: room,
        };
        servers.hand_over(socket, info);
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

impl Server {
    /// Serves with the gateway of the moment.
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

    /// Serves what comes until nothing more can come. Runs on the thread whose server this is.
    pub async fn work(self, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
        while let Some(Accepted { socket, info }) = accepted.recv().await {
            match attach(socket) {
                Ok(socket) => self.clone().serve(socket, info),
                Err(error) => {
                    self.load.fetch_sub(1, Ordering::Relaxed);
                    tracing::warn!(%error, "{LOST}");
                }
            }
        }
    }

    fn serve(self, socket: Socket, info: ConnectionInfo) {
        let open = Open::new(&self.metrics, Arc::clone(&self.load));
        let peer = info.peer;
        drop(tokio::spawn(async move {
            if let Err(error) = self.converse(socket, info).await {
                tracing::debug!(?peer, %error, "a connection ended early");
            }
            drop(open);
        }));
    }

    /// From its first byte to its last.
    async fn converse(self, socket: Socket, info: ConnectionInfo) -> Result<(), ConnectionError> {
        let ConnectionInfo {
            peer,
            proof,
            rules,
            drain,
            _room,
        } = info;
        let deadline = Deadline::after(rules.timeouts.header);
        let (wire, source, proof) = tokio::select! {
            biased;
            done = deadline.run(handshake(socket, &rules, peer, proof)) => {
                done.map_err(|_elapsed| ConnectionError::Silent)??
            }
            // it has asked for nothing yet
            () = drain.came() => return Ok(()),
        };
        let connection = Arc::new(Connection {
            entrance: Arc::clone(&rules.entrance),
            peer,
            proof,
            source,
        });
        let (max_headers, watchdog) = (rules.max_headers, Watchdog::new(drain, rules.timeouts));
        let activity = Arc::clone(watchdog.activity());
        let answers = service_fn(move |request: Request<Incoming>| {
            // the one of the moment
            let gateway = Arc::clone(&self.gateway.borrow());
            let busy = activity.request();
            Answering::new(gateway.handle(Arc::clone(&connection), request), busy)
        });
        http::serve(wire, max_headers, answers, watchdog).await
    }
}

/// What comes before HTTP: from where a proxy passes it on, and TLS, where the listener has them.
async fn handshake(
    mut socket: Socket,
    rules: &ConnectionRules,
    peer: Peer,
    mut proof: Proof,
) -> Result<(Wire, Source, Proof), ConnectionError> {
    let source = rules.source(&mut socket, peer).await?;
    let wire = match &rules.tls {
        None => Wire::Left(socket),
        Some(identity) => {
            // boxed: else connections without TLS would reserve space for it too
            let stream = Box::pin(identity.acceptor().accept(socket))
                .await
                .map_err(|error| ConnectionError::Served(error.into()))?;
            let (_socket, session) = stream.get_ref();
            proof.certificate = certificate::names(session.peer_certificates())?;
            Wire::Right(Box::new(stream))
        }
    };
    Ok((wire, source, proof))
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

/// Takes a socket off this thread's event loop.
fn detach(socket: Socket) -> io::Result<Detached> {
    Ok(match socket {
        Socket::Left(tcp) => Detached::Left(tcp.into_std()?),
        Socket::Right(unix) => Detached::Right(unix.into_std()?),
    })
}

/// Puts it on this thread's event loop.
fn attach(socket: Detached) -> io::Result<Socket> {
    Ok(match socket {
        Detached::Left(tcp) => Socket::Left(TcpStream::from_std(tcp)?),
        Detached::Right(unix) => Socket::Right(UnixStream::from_std(unix)?),
    })
}

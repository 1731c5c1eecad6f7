//! The load: connections in a closed loop, each with its next request as soon as it has the
//! answer to the last.

use std::{
    net::SocketAddr,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, HandshakeKind, client::Resumption, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsConnector;

/// Makes the request of this number.
pub(crate) type Make = Arc<dyn Fn(u64) -> Request<Full<Bytes>> + Send + Sync>;

/// Whether connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// One for each request, and nothing known from those before.
    Fresh,
    /// Kept for as long as the load lasts.
    Kept,
    /// One for each request, which goes on with the TLS session of the one before.
    Resumed,
}

/// What is driven, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<ClientConfig>,
    pub(crate) connections: Connections,
    pub(crate) make: Make,
    /// How the right answer begins.
    pub(crate) status: StatusCode,
}

/// How much at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    /// Requests on their way at the same time, at most; the connections take turns.
    pub(crate) at_once: usize,
    /// Before it is measured: at least so long, and until all connections have had an answer.
    pub(crate) warm_up: Duration,
    /// How long is measured.
    pub(crate) span: Duration,
}

/// What the load saw.
pub(crate) struct Driven {
    /// Of the requests that were answered within the span, in no order.
    pub(crate) latencies: Vec<Duration>,
    /// For how long was measured.
    pub(crate) span: Duration,
    /// Requests from first to last, those of the warm-up too.
    pub(crate) all: u64,
    /// TLS sessions that were resumed.
    pub(crate) resumed: u64,
}

struct Shared {
    target: Target,
    turns: Semaphore,
    numbers: AtomicU64,
    resumed: AtomicU64,
    /// Connections that have had an answer.
    begun: AtomicUsize,
    measuring: AtomicBool,
    ended: AtomicBool,
}

/// Drives a target and measures. Gives too by how much `clock` went on meanwhile.
pub(crate) async fn drive(
    target: Target,
    pace: Pace,
    clock: impl Fn() -> Duration,
) -> (Driven, Duration) {
    let shared = Arc::new(Shared {
        target,
        turns: Semaphore::new(pace.at_once),
        numbers: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
        begun: AtomicUsize::new(0),
        measuring: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    let mut workers = JoinSet::new();
    for _ in 0..pace.connections {
        workers.spawn(work(Arc::clone(&shared)));
    }
    sleep(pace.warm_up).await;
    while shared.begun.load(Ordering::Relaxed) < pace.connections {
        if let Some(Err(failed)) = workers.try_join_next() {
            resume_unwind(failed.into_panic());
        }
        sleep(Duration::from_millis(1)).await;
    }
    let (cpu, began) = (clock(), Instant::now());
    shared.measuring.store(true, Ordering::Relaxed);
    sleep(pace.span).await;
    shared.measuring.store(false, Ordering::Relaxed);
    let (span, cpu) = (began.elapsed(), clock() - cpu);
    shared.ended.store(true, Ordering::Relaxed);
    let latencies = workers.join_all().await.concat();
    assert!(!latencies.is_empty(), "nothing was answered");
    let all = shared.numbers.load(Ordering::Relaxed);
    let driven = Driven {
        latencies,
        span,
        all,
        resumed: shared.resumed.load(Ordering::Relaxed),
    };
    (driven, cpu)
}

async fn work(shared: Arc<Shared>) -> Vec<Duration> {
    let target = &shared.target;
    let tls = target.tls.clone().map(|mut config| {
        // each connection remembers for itself, as if it were another client
        config.resumption = match target.connections {
            Connections::Fresh | Connections::Kept => Resumption::disabled(),
            Connections::Resumed => Resumption::default(),
        };
        TlsConnector::from(Arc::new(config))
    });
    let mut latencies = Vec::new();
    let mut kept = None;
    let mut has_begun = false;
    loop {
        let _turn = shared.turns.acquire().await.unwrap();
        if shared.ended.load(Ordering::Relaxed) {
            return latencies;
        }
        let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
        let request = (target.make)(number);
        let began = Instant::now();
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => {
                let (sender, is_resumed) = connect(target.address, tls.as_ref()).await;
                shared
                    .resumed
                    .fetch_add(u64::from(is_resumed), Ordering::Relaxed);
                sender
            }
        };
        ask(&mut sender, request, target.status).await;
        if shared.measuring.load(Ordering::Relaxed) {
            latencies.push(began.elapsed());
        }
        if target.connections == Connections::Kept {
            kept = Some(sender);
        }
        if !has_begun {
            has_begun = true;
            shared.begun.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One request, and its answer to the end.
pub(crate) async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    status: StatusCode,
) {
    sender.ready().await.expect("the connection was kept");
    let answer = sender.send_request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.status, status, "{body:?}");
}

/// A connection, and whether it resumed a TLS session.
pub(crate) async fn connect(
    address: SocketAddr,
    tls: Option<&TlsConnector>,
) -> (SendRequest<Full<Bytes>>, bool) {
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let Some(tls) = tls else {
        return (speak(socket).await, false);
    };
    let name = ServerName::from(address.ip());
    let stream = tls.connect(name, socket).await.unwrap();
    let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    (speak(stream).await, is_resumed)
}

/// HTTP/1.1 over a stream.
pub(crate) async fn speak<S>(stream: S) -> SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async { connection.await.unwrap_or_default() });
    sender
}

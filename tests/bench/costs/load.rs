//! The load: connections in a closed loop, each with its next request as soon as it has the
//! answer to the last.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, HandshakeKind, client::Resumption, pki_types::ServerName};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tokio_rustls::TlsConnector;

use crate::CONNECTIONS;

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
    numbers: AtomicU64,
    resumed: AtomicU64,
    measuring: AtomicBool,
    ended: AtomicBool,
}

/// Drives a target and measures for `span`. Gives too by how much `clock` went on meanwhile.
pub(crate) async fn drive(
    target: Target,
    warm_up: Duration,
    span: Duration,
    clock: impl Fn() -> Duration,
) -> (Driven, Duration) {
    let shared = Arc::new(Shared {
        target,
        numbers: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
        measuring: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    let mut workers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        workers.spawn(work(Arc::clone(&shared)));
    }
    sleep(warm_up).await;
    let (cpu, began) = (clock(), Instant::now());
    shared.measuring.store(true, Ordering::Relaxed);
    sleep(span).await;
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
    while !shared.ended.load(Ordering::Relaxed) {
        let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
        let request = (target.make)(number);
        let began = Instant::now();
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => connect(&shared, tls.as_ref()).await,
        };
        sender.ready().await.expect("the connection was kept");
        let answer = sender.send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.status, target.status, "{body:?}");
        if shared.measuring.load(Ordering::Relaxed) {
            latencies.push(began.elapsed());
        }
        if target.connections == Connections::Kept {
            kept = Some(sender);
        }
    }
    latencies
}

async fn connect(shared: &Shared, tls: Option<&TlsConnector>) -> SendRequest<Full<Bytes>> {
    let address = shared.target.address;
    let socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let Some(tls) = tls else {
        let (sender, connection) = handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(async { connection.await.unwrap_or_default() });
        return sender;
    };
    let name = ServerName::from(address.ip());
    let stream = tls.connect(name, socket).await.unwrap();
    if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
        shared.resumed.fetch_add(1, Ordering::Relaxed);
    }
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async { connection.await.unwrap_or_default() });
    sender
}

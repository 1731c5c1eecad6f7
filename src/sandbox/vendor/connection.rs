//! Sockets and TLS: accepting connections, serving them, and breaking them on request.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ServerConfig, crypto::aws_lc_rs, server::NoServerSessionStorage};
use socket2::{SockRef, Socket};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    StartError, exchange,
    fault::{BadCertificate, Fault, Place},
    shared::Shared,
};
use crate::sandbox::certs::{Authority, Identity, LOOPBACK};

/// TLS with the good certificate, and with each that a client must refuse.
pub(super) struct Acceptors {
    good: TlsAcceptor,
    expired: TlsAcceptor,
    foreign: TlsAcceptor,
    wrong_host: TlsAcceptor,
}

impl Acceptors {
    pub(super) fn new(authority: &Authority, http2: bool) -> Result<Self, StartError> {
        let stranger = Authority::new("a stranger's CA")?;
        Ok(Self {
            good: acceptor(authority.issue(LOOPBACK)?, http2)?,
            expired: acceptor(authority.issue_expired(LOOPBACK)?, http2)?,
            foreign: acceptor(stranger.issue(LOOPBACK)?, http2)?,
            wrong_host: acceptor(authority.issue(&["elsewhere.example"])?, http2)?,
        })
    }

    const fn choose(&self, fault: Option<BadCertificate>) -> &TlsAcceptor {
        match fault {
            None => &self.good,
            Some(BadCertificate::Expired) => &self.expired,
            Some(BadCertificate::Foreign) => &self.foreign,
            Some(BadCertificate::WrongHost) => &self.wrong_host,
        }
    }
}

fn acceptor(identity: Identity, http2: bool) -> Result<TlsAcceptor, StartError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    // a resumed session would show no certificate, and so hide a bad one
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// How a connection is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The peer sees its end.
    Close,
    /// The peer sees a reset.
    Reset,
}

/// One connection, as the requests on it see it.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) peer: SocketAddr,
    cut: watch::Sender<Option<Cut>>,
    in_flight: AtomicUsize,
}

impl Link {
    pub(super) fn cut(&self, how: Cut) {
        self.cut.send_replace(Some(how));
    }

    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// A request is being answered until this is dropped.
    pub(super) fn busy(&self) -> Counted<'_> {
        Counted::new(&self.in_flight)
    }
}

/// Counts one for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections until the task is aborted, which ends them too.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut number = 0_u64;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                number = number.saturating_add(1);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    if let Err(error) = serve(socket, (number, peer), shared).await {
                        tracing::debug!(%error, %peer, "connection to the sandbox's vendor failed");
                    }
                });
            }
            // mostly too many open files: some will be closed
            Err(error) => {
                tracing::warn!(%error, "the sandbox's vendor can't accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(
    socket: TcpStream,
    (number, peer): (u64, SocketAddr),
    shared: Arc<Shared>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let breaker = SockRef::from(&socket).try_clone()?;
    let certificate = match shared.faults.take(Place::Connection) {
        Some(Fault::Certificate(bad)) => Some(bad),
        Some(_) => return reset(&breaker),
        None => None,
    };
    let stream = shared.acceptors.choose(certificate).accept(socket).await?;
    let open = Counted::new(&shared.open);
    shared.journal.touch();
    let link = Arc::new(Link {
        number,
        peer,
        cut: watch::Sender::new(None),
        in_flight: AtomicUsize::new(0),
    });
    let cut = until_cut(stream, &link, &shared).await;
    drop(open);
    shared.journal.touch();
    match cut {
        Some(Cut::Reset) => reset(&breaker),
        Some(Cut::Close) | None => Ok(()),
    }
}

/// Answers requests until the peer goes away or the connection is to be broken off.
/// The stream is gone when this returns; the socket lives on in its other handle.
async fn until_cut(
    stream: TlsStream<TcpStream>,
    link: &Arc<Link>,
    shared: &Arc<Shared>,
) -> Option<Cut> {
    let mut cut = link.cut.subscribe();
    let mut sweep = shared.sweep.subscribe();
    let mut connection = pin!(speak(stream, Arc::clone(link), Arc::clone(shared)));
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection to the sandbox's vendor ended");
                }
                return None;
            }
            Ok(()) = cut.changed() => return *cut.borrow(),
            Ok(()) = sweep.changed() => if link.is_idle() {
                return Some(Cut::Close);
            },
        }
    }
}

async fn speak(
    stream: TlsStream<TcpStream>,
    link: Arc<Link>,
    shared: Arc<Shared>,
) -> Result<(), hyper::Error> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        let (link, shared) = (Arc::clone(&link), Arc::clone(&shared));
        async move {
            Ok::<Response<Full<Bytes>>, Infallible>(exchange::answer(&shared, &link, request).await)
        }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let server = http2::Builder::new(TokioExecutor::new());
        server.serve_connection(stream, service).await
    } else {
        http1::Builder::new()
            .serve_connection(stream, service)
            .await
    }
}

/// Closing a socket that lingers for no time resets the connection.
fn reset(breaker: &Socket) -> io::Result<()> {
    breaker.set_linger(Some(Duration::ZERO))
}

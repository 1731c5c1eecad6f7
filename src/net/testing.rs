//! Servers with real TLS for the tests of everything that goes out: each does as its script says.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::uri::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::{Egress, Frontegg, SecretSource},
    model::Region,
};

/// A certificate authority of its own.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        Self::named("the tests' CA")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A server's TLS with a certificate for `name`.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        self.sign(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// The same with a certificate that ended in 2001.
    pub(crate) fn expired_server(&self, name: &str) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }

    /// Settings that lead to `address` for everything, directly, and believe this authority.
    pub(crate) fn settings(&self, address: SocketAddr) -> Frontegg {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let authority: Authority = address.to_string().parse().unwrap();
        Frontegg {
            region: Region::Eu,
            auth: format!("https://{authority}/auth/vendor/").parse().unwrap(),
            identity: authority,
            client_id: SecretSource::Inline("the-client-id".into()),
            api_key: SecretSource::Inline("the-api-key".into()),
            environment_id: None,
            application_id: None,
            vendor_host: None,
            roots: Arc::new(roots),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            http2: false,
            proxy: Egress::Environment,
            client_ip_secret: None,
        }
    }
}

/// A listening server. Its tasks end with it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Server {
    /// Calls `script` with each TCP connection and its number, from 0.
    pub(crate) async fn tcp<S, F>(script: S) -> Self
    where
        S: Fn(usize, TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(script(number, stream));
            }
        });
        Self {
            address,
            connections,
            accepting: accepting.abort_handle(),
        }
    }

    /// Calls `script` with each TLS connection and its number, from 0.
    pub(crate) async fn tls<S, F>(config: ServerConfig, script: S) -> Self
    where
        S: Fn(usize, TlsStream<TcpStream>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let script = Arc::new(script);
        Self::tcp(move |number, stream| {
            let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
            async move {
                // a client that refuses the certificate is what some tests are about
                if let Ok(stream) = acceptor.accept(stream).await {
                    script(number, stream).await;
                }
            }
        })
        .await
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads one whole HTTP/1.1 request, head and body as text; `None` at the end of the stream.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(stream.read_u8().await.ok()?));
    }
    let length = text
        .lines()
        .filter_map(|line| line.strip_prefix("content-length: "))
        .find_map(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    text.push_str(&String::from_utf8(body).unwrap());
    Some(text)
}

/// Answers every request on the connection with the same bytes, and hands each to `seen`.
pub(crate) async fn answer_all(
    mut stream: TlsStream<TcpStream>,
    answer: &str,
    seen: impl Fn(String),
) {
    while let Some(request) = read_request(&mut stream).await {
        seen(request);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A `200` with this body.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

//! What gateways are put before: a vendor that answers at once, the stand-in that gives out
//! tokens, certificates.

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mfa_gateway::sandbox::{
    certs::{Authority, Identity, LOOPBACK},
    vendor::{Vendor, VendorOptions},
    world::seed::ADA,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The code that the vendor accepts; others it refuses.
pub(crate) const RIGHT: &str = "right";

/// More than the gateway remembers: taken in turn, none is ever known still.
const MANY_TOKENS: usize = 6_000;

/// HTTP/2 in the handshake of TLS (RFC 9113, section 3.1).
const HTTP2: &[u8] = b"h2";

/// By which name the load's certificate is known.
pub(crate) const LOAD: &str = "load.internal";

pub(crate) struct World {
    pub(crate) folder: TempDir,
    /// Where identity calls go.
    pub(crate) identity_url: String,
    /// Exchanges the credential, publishes keys, signs tokens. No call of the load reaches it.
    pub(crate) stand_in: Vendor,
    /// Signs the certificates of callers, and the gateway's.
    pub(crate) authority: Authority,
    pub(crate) load: Identity,
}

impl World {
    pub(crate) async fn new() -> Self {
        // on a disk, which the folder for temporary files may not be
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let options = VendorOptions {
            rate_limits: false,
            ..VendorOptions::default()
        };
        let stand_in = Vendor::start(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let identity_url = origin(&listener);
        tokio::spawn(serve(listener, acceptor(stand_in.authority())));
        let authority = Authority::new("benchmarks").unwrap();
        let load = authority.issue_client(&[], &[LOAD], None).unwrap();
        let world = Self {
            folder,
            identity_url,
            stand_in,
            load,
            authority,
        };
        let identity = world.authority.issue(LOOPBACK).unwrap();
        world.write("vendor-ca.pem", world.stand_in.authority().pem());
        world.write("ca.pem", world.authority.pem());
        world.write("certificate.pem", &identity.certificate_pem);
        world.write("certificate-key.pem", &identity.key_pem);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn audit_file(&self, variant: &str) -> PathBuf {
        self.path(&format!("{variant}.audit"))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// One user's token, good for a while.
    pub(crate) fn token(&self, session: usize) -> String {
        let user = self.stand_in.user(ADA.id).unwrap();
        let mut claims = self.stand_in.claims(&user, ADA.tenant);
        claims.exp += 86_400;
        claims.sid = format!("session-{session}");
        self.stand_in.mint(&claims).unwrap()
    }

    /// Tokens that all differ.
    pub(crate) fn many_tokens(&self) -> Vec<String> {
        (0..MANY_TOKENS).map(|number| self.token(number)).collect()
    }
}

/// Where a vendor that listens so is found.
pub(crate) fn origin(listener: &TcpListener) -> String {
    let port = listener.local_addr().unwrap().port();
    format!("https://localhost:{port}")
}

/// How the vendor does TLS.
pub(crate) fn acceptor(authority: &Authority) -> TlsAcceptor {
    let identity = authority.issue(LOOPBACK).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate], identity.key)
        .unwrap();
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// The vendor, for as long as this runtime goes on.
pub(crate) async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let (socket, _peer) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // a gateway that ends breaks its connections off
            let Ok(stream) = acceptor.accept(socket).await else {
                return;
            };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
            let (stream, answers) = (TokioIo::new(stream), service_fn(answer));
            let served = if is_http2 {
                let server = http2::Builder::new(TokioExecutor::new());
                server.serve_connection(stream, answers).await
            } else {
                let server = http1::Builder::new();
                server.serve_connection(stream, answers).await
            };
            drop(served);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    const DEVICES: &str = r#"{"webauthn":[],"phones":[],"authenticators":[{"id":"ada-app","deviceName":"phone"}],"emails":[]}"#;
    const RECOVERED: &str = "{}";
    const REFUSED: &str = r#"{"errors":["Invalid recovery code"]}"#;
    let is_recovery = request.uri().path().ends_with("/recover");
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, text) = if !is_recovery {
        (StatusCode::OK, DEVICES)
    } else if memchr::memmem::find(&body, RIGHT.as_bytes()).is_some() {
        (StatusCode::OK, RECOVERED)
    } else {
        (StatusCode::BAD_REQUEST, REFUSED)
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

//! Clients: HTTP/1.1 and HTTP/2 over TCP, TLS or a unix socket.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, Version, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::{
    call::{Call, Reply},
    patience::within,
};

/// Where the gateway is, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Tcp(SocketAddr),
    /// TLS, trusting this authority alone.
    Tls(SocketAddr, CertificateDer<'static>),
    Unix(PathBuf),
}

impl Client {
    /// Opens a connection that speaks this version.
    pub(crate) async fn connect(&self, version: Version) -> io::Result<Connection> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                Connection::open(stream, version, address.to_string()).await
            }
            Self::Tls(address, authority) => {
                let stream = TcpStream::connect(address).await?;
                let connector = TlsConnector::from(Arc::new(tls(authority, version)));
                let stream = connector
                    .connect(ServerName::from(address.ip()), stream)
                    .await?;
                Connection::open(stream, version, address.to_string()).await
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Connection::open(stream, version, "localhost".to_owned()).await
            }
        }
    }

    /// Sends a call over a connection of its own.
    pub(crate) async fn send(&self, call: Call) -> io::Result<Reply> {
        let mut connection = self.connect(call.version).await?;
        connection.send(call).await
    }
}

fn tls(authority: &CertificateDer<'static>, version: Version) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match version {
        Version::HTTP_2 => vec![b"h2".to_vec()],
        _ => vec![b"http/1.1".to_vec()],
    };
    config
}

/// An open connection.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>, String),
    Http2(http2::SendRequest<Full<Bytes>>, String),
}

impl Connection {
    pub(crate) async fn open<S>(stream: S, version: Version, authority: String) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let opened = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = opened.map_err(io::Error::other)?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender, authority));
        }
        let opened = http1::handshake(stream).await;
        let (sender, connection) = opened.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender, authority))
    }

    /// Sends a call and reads the whole answer.
    pub(crate) async fn send(&mut self, call: Call) -> io::Result<Reply> {
        let answer = match self {
            Self::Http1(sender, authority) => {
                let mut request = request(&call, call.target.parse().unwrap());
                let host = call.host.as_deref().unwrap_or(authority);
                let host = HeaderValue::from_str(host).unwrap();
                request.headers_mut().entry(HOST).or_insert(host);
                within("an answer", sender.send_request(request)).await
            }
            Self::Http2(sender, authority) => {
                let host = call.host.as_deref().unwrap_or(authority);
                let uri = format!("http://{host}{}", call.target);
                let request = request(&call, uri.parse().unwrap());
                within("an answer", sender.send_request(request)).await
            }
        };
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = within("the rest of an answer", body.collect()).await;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: body.map_err(io::Error::other)?.to_bytes(),
        })
    }
}

fn request(call: &Call, uri: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = call.headers.clone();
    request
}

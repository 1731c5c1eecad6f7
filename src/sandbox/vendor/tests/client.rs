//! A client that opens a connection for each request, or keeps one.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    route::Operation,
    sandbox::{
        vendor::{Vendor, VendorOptions},
        world::seed::{self, Person},
    },
};

pub(super) async fn start() -> Vendor {
    Vendor::start(VendorOptions::default()).await.unwrap()
}

/// A request before it is sent.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

pub(super) fn post(target: &str, body: &Value) -> Call {
    Call {
        method: Method::POST,
        target: target.to_owned(),
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    }
}

pub(super) fn get(target: &str) -> Call {
    Call {
        method: Method::GET,
        body: Bytes::new(),
        ..post(target, &Value::Null)
    }
}

/// A call of an operation; `device` stands for the parameter in its path.
pub(super) fn operation(operation: Operation, device: &str, body: &Value) -> Call {
    let facts = operation.facts();
    let path = facts.path.replace("{deviceId}", device);
    Call {
        method: facts.method.clone(),
        ..post(&path.replace("{userId}", device), body)
    }
}

impl Call {
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// On behalf of someone, in their tenant.
    pub(super) fn on_behalf_of(self, person: &Person) -> Self {
        self.header("frontegg-user-id", person.id)
            .header("frontegg-tenant-id", person.tenant)
    }

    /// With a new token of the environment.
    pub(super) async fn with_credential(self, vendor: &Vendor) -> Self {
        let token = vendor_token(vendor).await;
        self.bearer(&token)
    }

    fn request(self, authority: &str) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = format!("https://{authority}{}", self.target)
            .parse()
            .unwrap();
        *request.headers_mut() = self.headers;
        request
            .headers_mut()
            .insert("host", authority.parse().unwrap());
        request
    }

    /// Sends it over a connection of its own.
    pub(super) async fn send(self, vendor: &Vendor) -> Reply {
        self.try_send(vendor).await.unwrap()
    }

    /// The same, where it may fail.
    pub(super) async fn try_send(self, vendor: &Vendor) -> io::Result<Reply> {
        let mut connection = Connection::open(vendor, b"http/1.1").await?;
        connection.send(self).await
    }
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap().to_owned()
    }

    pub(super) fn error(&self) -> String {
        assert!(self.headers.contains_key("frontegg-trace-id"));
        self.json()["errors"][0].as_str().unwrap().to_owned()
    }
}

/// A token of the environment, exchanged for its credential.
pub(super) async fn vendor_token(vendor: &Vendor) -> String {
    let right = vendor.credentials();
    let body = json!({"clientId": right.client_id, "secret": right.secret});
    let reply = post("/auth/vendor/", &body).send(vendor).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.text("token")
}

/// The first factor of someone.
pub(super) async fn first_factor(vendor: &Vendor, person: &Person) -> Reply {
    let body = json!({"email": person.email, "password": seed::PASSWORD});
    let reply = post("/identity/resources/auth/v1/user", &body)
        .send(vendor)
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    reply
}

/// A connection that is kept.
pub(super) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>, String),
    Http2(http2::SendRequest<Full<Bytes>>, String),
}

impl Connection {
    pub(super) async fn open(vendor: &Vendor, protocol: &[u8]) -> io::Result<Self> {
        let authority = vendor.address().to_string();
        let stream = TokioIo::new(handshake(vendor, protocol).await?);
        if protocol == b"h2" {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender, authority));
        }
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender, authority))
    }

    pub(super) async fn send(&mut self, call: Call) -> io::Result<Reply> {
        let response = match self {
            Self::Http1(sender, authority) => {
                let mut request = call.request(authority);
                let target = request.uri().path_and_query().unwrap().as_str();
                *request.uri_mut() = target.parse().unwrap();
                sender.send_request(request).await
            }
            Self::Http2(sender, authority) => sender.send_request(call.request(authority)).await,
        };
        let (head, body) = response.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        Ok(Reply {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body,
        })
    }
}

/// TLS that trusts the stand-in's authority and nobody else.
async fn handshake(vendor: &Vendor, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(vendor.authority().der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let socket = TcpStream::connect(vendor.address()).await?;
    let name = ServerName::from(vendor.address().ip());
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, socket).await
}

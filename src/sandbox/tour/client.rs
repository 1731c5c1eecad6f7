//! A caller of the gateway: one request over a connection of its own.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A request as the tour makes and shows it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The gateway gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error("can't connect to the gateway: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came was no HTTP.
    #[error("no answer from the gateway: {0}")]
    Http(#[from] hyper::Error),
    /// A request that can't be written.
    #[error("the tour's request is none: {0}")]
    Request(#[from] http::Error),
}

impl Call {
    pub(super) const fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(super) fn post(path: String, body: &str) -> Self {
        Self {
            method: Method::POST,
            path,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_owned(),
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// On behalf of this user, as a caller says it.
    pub(super) fn on_behalf_of(self, tenant: &str, user: &str) -> Self {
        self.header("frontegg-tenant-id", tenant)
            .header("frontegg-user-id", user)
    }

    /// Sends it.
    pub(super) async fn send(&self, gateway: SocketAddr) -> Result<Answer, CallError> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(header::HOST, gateway.to_string());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone())))?;
        let stream = TcpStream::connect(gateway)
            .await
            .map_err(CallError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // ends when the sender is dropped; what went wrong, the sender says
        drop(tokio::spawn(connection));
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

impl Answer {
    /// The value of a header; empty where it isn't there.
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    /// A text of the body's JSON object; empty where it isn't there.
    pub(super) fn field(&self, name: &str) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let field = body.get(name).and_then(Value::as_str);
        field.unwrap_or_default().to_owned()
    }
}

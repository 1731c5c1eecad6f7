//! A stand-in OpenTelemetry collector: takes OTLP over HTTP as it is told to, and reads what it took
//! by the published definition of the messages.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mfa_gateway::sandbox::certs::{Authority, LOOPBACK};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    trace::v1::Span,
};
use prost::Message;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What the collector does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It never answers.
    Hang,
    /// It says that it took all but so many records, and took none.
    Reject(i64),
    /// It answers with this status, and perhaps with when to come again, in seconds.
    Status(u16, Option<u64>),
    /// It takes everything.
    #[default]
    Take,
}

/// A stand-in collector.
pub(crate) struct Collector {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Seen>>,
    /// Ends every connection when it is dropped.
    serving: Option<JoinSet<()>>,
}

#[derive(Default)]
struct Seen {
    mood: Mood,
    /// Everything that was sent, taken or not: path, head and body.
    requests: Vec<(String, String, Bytes)>,
    logs: Vec<LogRecord>,
    spans: Vec<Span>,
    resources: Vec<Vec<KeyValue>>,
}

impl Collector {
    /// One that takes everything, over plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that has a certificate of this authority.
    pub(crate) async fn start_tls(authority: &Authority) -> Self {
        let identity = authority.issue(LOOPBACK).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate], identity.key)
            .unwrap();
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let mut collector = Self {
            address: ([127, 0, 0, 1], 0).into(),
            tls,
            seen: Arc::default(),
            serving: None,
        };
        collector.come_back().await;
        collector
    }

    /// For `telemetry.otlp_endpoint`, as written in TOML.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("'{scheme}://{}'", self.address)
    }

    /// From now on it does this.
    pub(crate) fn be(&self, mood: Mood) {
        self.seen.lock().unwrap().mood = mood;
    }

    /// It is gone, with all its connections; its port refuses.
    pub(crate) async fn go_away(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.shutdown().await;
        }
    }

    /// It serves, at the same address as before.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (seen, tls) = (Arc::clone(&self.seen), self.tls.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // dropped with this task
            let mut connections = JoinSet::new();
            loop {
                let (stream, _peer) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, tls.clone(), Arc::clone(&seen)));
            }
        });
        self.serving = Some(serving);
    }

    /// The bodies of the log records that it took, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let logs = self.logs();
        let bodies = logs
            .iter()
            .map(|log| text(log.body.as_ref().unwrap().value.as_ref()));
        bodies.collect()
    }

    /// The log records that it took, in order.
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.seen.lock().unwrap().logs.clone()
    }

    /// The spans that it took.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.seen.lock().unwrap().spans.clone()
    }

    /// What the last message said of who sent it.
    pub(crate) fn resource(&self) -> HashMap<String, String> {
        let seen = self.seen.lock().unwrap();
        attributes(seen.resources.last().unwrap())
    }

    /// How many requests there were for a path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.sent_to(path).len()
    }

    /// Heads and bodies of all requests for a path, taken or not.
    pub(crate) fn sent_to(&self, path: &str) -> Vec<(String, Bytes)> {
        let seen = self.seen.lock().unwrap();
        let sent = seen.requests.iter().filter(|(to, _, _)| to == path);
        sent.map(|(_, head, body)| (head.clone(), body.clone()))
            .collect()
    }

    /// Writes the lines that it took where `audit verify` can read them.
    pub(crate) fn write_lines(&self, path: &Path) {
        std::fs::write(path, self.lines().join("\n") + "\n").unwrap();
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Seen>>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
    // a client may leave whenever it likes
    match tls {
        None => {
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            served.await.unwrap_or_default();
        }
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                served.await.unwrap_or_default();
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    let mood = {
        let mut seen = seen.lock().unwrap();
        let path = head.uri.path().to_owned();
        seen.requests
            .push((path, format!("{head:?}"), body.clone()));
        seen.mood
    };
    let mut answer = Response::new(Full::default());
    match mood {
        Mood::Hang => std::future::pending().await,
        Mood::Reject(count) => {
            let partial = ExportLogsPartialSuccess {
                rejected_log_records: count,
                error_message: "no room".to_owned(),
            };
            let message = ExportLogsServiceResponse {
                partial_success: Some(partial),
            };
            *answer.body_mut() = Full::from(message.encode_to_vec());
        }
        Mood::Status(status, retry_after) => {
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
        }
        Mood::Take => take(&mut seen.lock().unwrap(), head.uri.path(), &body),
    }
    Ok(answer)
}

fn take(seen: &mut Seen, path: &str, body: &[u8]) {
    match path {
        "/v1/logs" => {
            let message = ExportLogsServiceRequest::decode(body).unwrap();
            for resource in message.resource_logs {
                seen.resources.push(resource.resource.unwrap().attributes);
                let scopes = resource.scope_logs.into_iter();
                seen.logs.extend(scopes.flat_map(|scope| scope.log_records));
            }
        }
        "/v1/traces" => {
            let message = ExportTraceServiceRequest::decode(body).unwrap();
            for resource in message.resource_spans {
                seen.resources.push(resource.resource.unwrap().attributes);
                let scopes = resource.scope_spans.into_iter();
                seen.spans.extend(scopes.flat_map(|scope| scope.spans));
            }
        }
        other => panic!("{other} is no path of OTLP's"),
    }
}

/// Attributes by their names.
pub(crate) fn attributes(list: &[KeyValue]) -> HashMap<String, String> {
    let value = |pair: &KeyValue| text(pair.value.as_ref().unwrap().value.as_ref());
    list.iter()
        .map(|pair| (pair.key.clone(), value(pair)))
        .collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

//! One way to one collector.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message;
use rustls::RootCertStore;
use tokio::time::sleep;

use super::{
    Failure,
    messages::{ExportAnswer, PartialSuccess},
};
use crate::{
    config::Egress,
    model::Deadline,
    net::{self, Connector, NamedBy, Reach, SetupError},
};

/// Takes messages to one place. Cloning it is cheap; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    uri: Uri,
}

const NAMED_BY: &NamedBy = &NamedBy {
    ca: "the variable SSL_CERT_FILE",
    host: "telemetry.otlp_endpoint",
};
/// Time to connect, name and TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// A connection that nobody uses is given up after this.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of an answer. A good one has none, or a few words.
const LONGEST: usize = 64 * 1024;
/// How long to wait before the second attempt; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

impl Client {
    /// A client for `uri`. By https the egress proxy that `HTTPS_PROXY` names is used, by http
    /// none.
    ///
    /// # Errors
    /// [`SetupError`] where the way there can't be taken as it is configured.
    pub fn new(uri: &Uri, roots: &Arc<RootCertStore>) -> Result<Self, SetupError> {
        let authority = uri.authority().ok_or_else(|| SetupError::Name {
            name: "".into(),
            mend: NAMED_BY.host,
        })?;
        let reach = Reach {
            roots,
            proxy: &Egress::Environment,
            connect_timeout: CONNECT,
            named_by: NAMED_BY,
        };
        let connector = if uri.scheme_str() == Some("http") {
            Connector::plain(authority, reach)?
        } else {
            Connector::to(authority, reach)?
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let uri = uri.clone();
        Ok(Self { http, uri })
    }

    /// Sends one message, once, and gives what of it was not taken after all.
    ///
    /// # Errors
    /// [`Failure`] where it isn't a success.
    pub async fn post(&self, message: Bytes) -> Result<PartialSuccess, Failure> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers.insert(USER_AGENT, net::USER_AGENT);
        let answer = self.http.request(request).await.map_err(Failure::of)?;
        let (head, body) = answer.into_parts();
        // read to its end, so that the connection can be used again
        let body = Limited::new(body, LONGEST).collect().await;
        if !head.status.is_success() {
            return Err(Failure::answered(head.status, &head.headers));
        }
        read(&body.map_err(Failure::Broken)?.to_bytes())
    }

    /// Sends one message, again where that may help, and gives what of it was not taken after all.
    ///
    /// # Errors
    /// [`Failure`], the last, where it wasn't taken by `deadline`.
    pub async fn deliver(
        &self,
        message: &Bytes,
        deadline: Deadline,
    ) -> Result<PartialSuccess, Failure> {
        let mut wait = FIRST_WAIT;
        loop {
            let failure = match deadline.run(self.post(message.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_elapsed) => Failure::Timeout,
            };
            let pause = failure.retry_after().map_or(wait, |asked| asked.max(wait));
            if !failure.is_passing() || pause >= deadline.left() {
                return Err(failure);
            }
            sleep(pause).await;
            wait = wait.saturating_mul(2);
        }
    }
}

/// Reads a success: an empty answer is one for the whole message.
fn read(answer: &[u8]) -> Result<PartialSuccess, Failure> {
    let answer = ExportAnswer::decode(answer).map_err(|_no_message| Failure::Unreadable)?;
    Ok(answer.partial_success.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_says_what_was_rejected_and_a_page_is_none() {
        assert_eq!(read(b"").unwrap().rejected, 0);
        let partial = PartialSuccess {
            rejected: 3,
            error_message: "full".to_owned(),
        };
        let answer = ExportAnswer {
            partial_success: Some(partial.clone()),
        };
        assert_eq!(read(&answer.encode_to_vec()).unwrap(), partial);
        assert!(matches!(read(b"<html>"), Err(Failure::Unreadable)));
    }
}

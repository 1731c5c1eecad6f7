//! The exchange itself: `POST` the environment's keys, read a token.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    Exchange, Token,
    token::{ExchangeError, Key, parse},
};
use crate::{
    config::{Frontegg, SecretSource},
    net::{self, ConnectError, Connector, SetupError},
    refresh::until_news,
};

/// The vendor's environment authentication.
///
/// Each exchange has a connection of its own: they are hours apart.
#[derive(Debug)]
pub struct TokenEndpoint {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    client_id: SecretSource,
    api_key: SecretSource,
    /// What was exchanged last.
    last: Option<Keys>,
}

/// The client id and the API key, as read at one moment.
#[derive(Debug)]
struct Keys {
    client_id: SecretString,
    api_key: SecretString,
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(rename = "clientId")]
    client_id: &'a str,
    secret: &'a str,
}

/// Bytes of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;

impl TokenEndpoint {
    /// The vendor's, as configured.
    ///
    /// # Errors
    /// [`SetupError`] where the way there can't be taken as it is configured.
    pub fn new(settings: &Frontegg) -> Result<Self, SetupError> {
        let connector = Connector::to_authentication(settings)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            uri: settings.auth.clone(),
            client_id: settings.client_id.clone(),
            api_key: settings.api_key.clone(),
            last: None,
        })
    }

    fn question(&self, keys: &Keys) -> Result<Request<Full<Bytes>>, ExchangeError> {
        let body = serde_json::to_vec(&Question {
            client_id: keys.client_id.expose_secret(),
            secret: keys.api_key.expose_secret(),
        });
        let body = body.map_err(|error| ExchangeError::Broken(error.into()))?;
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let json = HeaderValue::from_static("application/json");
        let headers = request.headers_mut();
        headers.insert(ACCEPT, json.clone());
        headers.insert(CONTENT_TYPE, json);
        headers.insert(USER_AGENT, net::USER_AGENT);
        Ok(request)
    }

    async fn keys(&self) -> Result<Keys, ExchangeError> {
        Ok(Keys {
            client_id: read(&self.client_id, Key::ClientId).await?,
            api_key: read(&self.api_key, Key::ApiKey).await?,
        })
    }

    fn keys_are_files(&self) -> bool {
        let is_file = |source: &SecretSource| matches!(source, SecretSource::File(_));
        is_file(&self.client_id) || is_file(&self.api_key)
    }
}

impl Exchange for TokenEndpoint {
    /// Reads the keys, asks once, follows nothing.
    async fn exchange(&mut self) -> Result<Token, ExchangeError> {
        let keys = self.keys().await?;
        let question = self.question(&keys)?;
        self.last = Some(keys);
        let answer = self.client.request(question).await.map_err(failure)?;
        let answer = success(answer)?;
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER);
        let body = body.collect().await.map_err(ExchangeError::Broken)?;
        parse(&body.to_bytes())
    }

    /// Waits until there are other keys in the files.
    async fn keys_changed(&mut self) {
        if !self.keys_are_files() {
            return std::future::pending().await;
        }
        let this = &*self;
        let is_news = |keys: &Keys| this.last.as_ref().is_none_or(|last| !last.same(keys));
        until_news(|| this.keys(), is_news).await;
    }
}

impl Keys {
    fn same(&self, other: &Self) -> bool {
        self.client_id.expose_secret() == other.client_id.expose_secret()
            && self.api_key.expose_secret() == other.api_key.expose_secret()
    }
}

async fn read(source: &SecretSource, key: Key) -> Result<SecretString, ExchangeError> {
    let read = match source {
        SecretSource::File(_) => {
            let source = source.clone();
            let read = spawn_blocking(move || source.read()).await;
            read.unwrap_or_else(|stopped| Err(stopped.into()))
        }
        SecretSource::Inline(secret) => Ok(secret.clone()),
    };
    read.map_err(|reason| ExchangeError::File { key, reason })
}

fn failure(error: ClientError) -> ExchangeError {
    match ConnectError::cause_of(&error) {
        Some(connect) => ExchangeError::Connect(connect.clone()),
        None => ExchangeError::Broken(error.into()),
    }
}

fn success(answer: Response<Incoming>) -> Result<Response<Incoming>, ExchangeError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ExchangeError::Rejected(status),
        _ if status.is_redirection() => {
            let location = answer.headers().get(LOCATION).cloned();
            let none = HeaderValue::from_static("");
            ExchangeError::Redirected {
                status,
                location: location.unwrap_or(none),
            }
        }
        _ => ExchangeError::Status(status),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::net::testing::{Ca, Server, answer_all, ok};

    /// A token endpoint that answers always the same, and what it was asked.
    async fn endpoint(
        answer: String,
    ) -> (Server, TokenEndpoint, Arc<Mutex<Vec<String>>>, Frontegg) {
        let ca = Ca::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&seen);
        let server = Server::tls(ca.server("127.0.0.1"), move |_number, stream| {
            let (answer, heard) = (answer.clone(), Arc::clone(&heard));
            async move {
                answer_all(stream, &answer, |request| {
                    heard.lock().unwrap().push(request);
                })
                .await;
            }
        })
        .await;
        let settings = ca.settings(server.address);
        let endpoint = TokenEndpoint::new(&settings).unwrap();
        (server, endpoint, seen, settings)
    }

    #[tokio::test]
    async fn the_keys_are_posted_as_the_vendor_documents_it() {
        let answer = ok(r#"{"token":"t-1","expiresIn":60}"#);
        let (server, mut endpoint, seen, _settings) = endpoint(answer).await;
        let token = endpoint.exchange().await.unwrap();
        assert_eq!(token.header, "Bearer t-1");
        let seen = seen.lock().unwrap();
        let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /auth/vendor/ HTTP/1.1\r\n"));
        assert!(head.contains(&format!("host: {}\r\n", server.address)));
        assert!(head.contains("content-type: application/json"));
        assert_eq!(
            body,
            r#"{"clientId":"the-client-id","secret":"the-api-key"}"#
        );
    }

    #[tokio::test]
    async fn what_is_no_token_is_told_apart() {
        let redirect = "HTTP/1.1 308 Permanent Redirect\r\nlocation: /auth/vendor\r\n\
                    content-length: 0\r\n\r\n";
        let none = "content-length: 0\r\n\r\n";
        for (answer, expected) in [
            (
                redirect.to_owned(),
                "308 Permanent Redirect with the location \"/auth/vendor\"",
            ),
            (
                format!("HTTP/1.1 401 Unauthorized\r\n{none}"),
                "rejects the credential (401",
            ),
            (
                format!("HTTP/1.1 403 Forbidden\r\n{none}"),
                "rejects the credential (403",
            ),
            (format!("HTTP/1.1 404 Not Found\r\n{none}"), "answered 404"),
            (ok("{}"), "something else than a token"),
            (ok(&" ".repeat(64 * 1024 + 1)), "length limit exceeded"),
        ] {
            let (server, mut endpoint, seen, _settings) = endpoint(answer).await;
            let error = endpoint.exchange().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!((server.connections(), seen.lock().unwrap().len()), (1, 1));
        }
    }

    #[tokio::test]
    async fn no_connection_is_told_with_its_reason() {
        let (server, _endpoint, _seen, mut settings) = endpoint(String::new()).await;
        settings.roots = Ca::named("another").settings(server.address).roots;
        let mut endpoint = TokenEndpoint::new(&settings).unwrap();
        let error = endpoint.exchange().await.unwrap_err();
        assert!(matches!(error, ExchangeError::Connect(_)));
        assert!(error.to_string().contains("frontegg.ca_file"), "{error}");
    }

    #[tokio::test]
    async fn key_files_are_read_again_at_each_exchange() {
        let (_server, _endpoint, seen, mut settings) = endpoint(ok("{}")).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-key");
        settings.api_key = SecretSource::File(file.clone());
        let mut endpoint = TokenEndpoint::new(&settings).unwrap();
        let error = endpoint.exchange().await.unwrap_err().to_string();
        assert!(
            error.starts_with("frontegg.api_key_file can't be read"),
            "{error}"
        );
        for key in ["key-1", "key-2"] {
            fs::write(&file, format!("{key}\n")).unwrap();
            endpoint.exchange().await.unwrap_err();
            assert!(
                seen.lock()
                    .unwrap()
                    .last()
                    .unwrap()
                    .ends_with(&format!("\"{key}\"}}"))
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_file_that_changes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("api-key");
        fs::write(&file, "key-1\n").unwrap();
        let mut settings = Ca::new().settings(([127, 0, 0, 1], 1).into());
        settings.api_key = SecretSource::File(file.clone());
        let mut endpoint = TokenEndpoint::new(&settings).unwrap();
        endpoint.exchange().await.unwrap_err();

        let minute = Duration::from_secs(60);
        timeout(minute, endpoint.keys_changed()).await.unwrap_err();
        fs::remove_file(&file).unwrap();
        timeout(minute, endpoint.keys_changed()).await.unwrap_err();
        fs::write(&file, "key-2\n").unwrap();
        timeout(minute, endpoint.keys_changed()).await.unwrap();
    }
}

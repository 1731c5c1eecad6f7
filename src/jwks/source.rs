//! Where keys come from: a URL, a file, or the Kubernetes cluster that we run in.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, USER_AGENT},
    uri::Authority,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::Published;
use crate::{
    config::{Egress, Frontegg, KeySource, Kubernetes, SecretSource},
    jwt::{KeySet, KeySetError},
    net::{self, ConnectError, Connector, NamedBy, Reach, SetupError, root_cause},
    refresh::until_news,
};

/// How keys are fetched: as configured, or as a test has it.
pub trait Source: Send {
    /// Fetches them.
    fn fetch(&mut self) -> impl Future<Output = Result<Published, FetchError>> + Send;

    /// Ends when they have changed since the last fetch, where that can be seen. May be dropped
    /// at any time.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// There are no new keys.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection broke before the whole answer was there.
    #[error("{uri} broke off: {}", root_cause(&**.cause))]
    Broken {
        /// What was asked for.
        uri: Box<str>,
        /// What was seen of it.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// There is no connection.
    #[error(transparent)]
    Connect(ConnectError),
    /// The cluster's answer isn't what it should be.
    #[error("{0} is no OpenID configuration with issuer and jwks_uri")]
    Discovery(Box<str>),
    /// A file can't be read.
    #[error("{} can't be read: {cause}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// What was found has no keys.
    #[error("{place}: {cause}")]
    Keys {
        /// The URL or path that they were looked for at.
        place: Box<str>,
        /// What is wrong with it.
        cause: KeySetError,
    },
    /// The answer was another. Redirects are not followed.
    #[error("{uri} answered {status}")]
    Status {
        /// What was asked for.
        uri: Box<str>,
        /// What it answered.
        status: StatusCode,
    },
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
}

/// Where keys are.
#[derive(Debug)]
pub enum Place {
    /// With the API server of the cluster.
    Cluster(Host),
    /// In a file; the text that was read last.
    File(PathBuf, Option<Bytes>),
    /// Under a URL.
    Url(Host, Uri),
}

/// A host that is asked, and what it is shown.
#[derive(Debug)]
pub struct Host {
    client: Client<Connector, Full<Bytes>>,
    authority: Authority,
    token_file: Option<PathBuf>,
}

/// Bytes of an answer or a file.
const LONGEST: usize = 256 * 1024;

/// Where an API server tells of itself (OpenID Connect Discovery 1.0).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where an API server always has its keys.
const CLUSTER_KEYS: &str = "/openid/v1/jwks";

impl Place {
    /// The keys of users' tokens, reached as the vendor is.
    ///
    /// # Errors
    /// [`SetupError`] where the way there can't be taken as it is configured.
    pub fn of_users(source: &KeySource, vendor: &Frontegg) -> Result<Self, SetupError> {
        const NAMED_BY: &NamedBy = &NamedBy {
            ca: "frontegg.ca_file",
            host: "subject.user_token.issuer and jwks_url",
        };
        let reach = Reach {
            named_by: NAMED_BY,
            ..Reach::vendor(vendor)
        };
        Self::given(source, reach, |_authority| None)
    }

    /// The keys of service accounts' tokens. `variable` reads the environment, which tells a pod
    /// where the API server is.
    ///
    /// # Errors
    /// [`SetupError`] where the way there can't be taken as it is configured.
    pub fn of_cluster(
        settings: &Kubernetes,
        connect_timeout: Duration,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SetupError> {
        const NAMED_BY: &NamedBy = &NamedBy {
            ca: "kubernetes.ca_file",
            host: "kubernetes.jwks_url and the variable KUBERNETES_SERVICE_HOST",
        };
        let reach = Reach {
            roots: &settings.roots,
            // it is in the cluster, as we are
            proxy: &Egress::Direct,
            connect_timeout,
            named_by: NAMED_BY,
        };
        let server = api_server(variable)?;
        if let Some(source) = &settings.keys {
            // SECURITY: our token is for the API server, and for nobody else.
            let token_of = |authority: &Authority| {
                let token_file = settings.token_file.clone();
                token_file.filter(|_path| *authority == server)
            };
            return Self::given(source, reach, token_of);
        }
        let host = Host::new(server, reach, settings.token_file.clone())?;
        Ok(Self::Cluster(host))
    }

    fn given(
        source: &KeySource,
        reach: Reach<'_>,
        token_of: impl Fn(&Authority) -> Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        match source {
            KeySource::File(path) => Ok(Self::File(path.clone(), None)),
            KeySource::Url(url) => {
                let authority = url.authority().ok_or_else(|| SetupError::Name {
                    name: "".into(),
                    mend: reach.named_by.host,
                })?;
                let host = Host::new(authority.clone(), reach, token_of(authority))?;
                Ok(Self::Url(host, url.clone()))
            }
        }
    }
}

/// Host and port of the API server, as Kubernetes tells every pod.
fn api_server(variable: impl Fn(&str) -> Option<String>) -> Result<Authority, SetupError> {
    let said = variable("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
    let port = variable("KUBERNETES_SERVICE_PORT").filter(|port| !port.is_empty());
    let text = match (said, port) {
        (Some(host), port) => {
            let port = port.unwrap_or_else(|| "443".to_owned());
            if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            }
        }
        (None, _) => "kubernetes.default.svc".to_owned(),
    };
    text.parse().map_err(|_no_authority| SetupError::Name {
        name: text.into(),
        mend: "the variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT",
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(host) => write!(f, "{}", host.uri(DISCOVERY)),
            Self::File(path, _) => write!(f, "{}", path.display()),
            Self::Url(_, url) => write!(f, "{url}"),
        }
    }
}

impl Source for Place {
    async fn fetch(&mut self) -> Result<Published, FetchError> {
        match self {
            Self::Cluster(host) => {
                let (issuer, path) = host.discover().await?;
                let keys = host.get(&path).await?;
                Published::read(&path, &keys, Some(issuer))
            }
            Self::File(path, last) => {
                let text = read(path).await?;
                let place = path.display().to_string();
                *last = Some(text.clone());
                Published::read(&place, &text, None)
            }
            Self::Url(host, uri) => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                let keys = host.get(path).await?;
                Published::read(&uri.to_string(), &keys, None)
            }
        }
    }

    /// Waits until there are other keys in the file.
    async fn changed(&mut self) {
        let Self::File(path, last) = self else {
            return std::future::pending().await;
        };
        until_news(|| read(path), |text| last.as_ref() != Some(text)).await;
    }
}

impl Published {
    pub(super) fn read(
        place: &str,
        text: &[u8],
        issuer: Option<String>,
    ) -> Result<Self, FetchError> {
        let keys = KeySet::parse(text).map_err(|cause| FetchError::Keys {
            place: place.into(),
            cause,
        })?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(issuer.as_deref().unwrap_or_default().as_bytes());
        context.update(text);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Ok(Self {
            keys,
            issuer,
            digest,
        })
    }
}

impl Host {
    fn new(
        authority: Authority,
        reach: Reach<'_>,
        token_file: Option<PathBuf>,
    ) -> Result<Self, SetupError> {
        let connector = Connector::to(&authority, reach)?;
        Ok(Self {
            // each fetch has a connection of its own: they are an hour apart
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            authority,
            token_file,
        })
    }

    /// The cluster's issuer, and at which path of the API server its keys are. Where `jwks_uri`
    /// names another host, it is an address of the API server for others; the keys are here too.
    async fn discover(&self) -> Result<(String, String), FetchError> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let text = self.get(DISCOVERY).await?;
        let found: Configuration = serde_json::from_slice(&text)
            .map_err(|_quotes| FetchError::Discovery(self.uri(DISCOVERY)))?;
        let uri = found.jwks_uri.parse::<Uri>().ok();
        let here = uri.filter(|uri| uri.authority() == Some(&self.authority));
        let path = here
            .as_ref()
            .and_then(Uri::path_and_query)
            .map_or(CLUSTER_KEYS, |path| path.as_str());
        Ok((found.issuer, path.to_owned()))
    }

    async fn get(&self, path: &str) -> Result<Bytes, FetchError> {
        let uri = self.uri(path);
        let broken = |cause: Box<dyn Error + Send + Sync>| FetchError::Broken {
            uri: uri.clone(),
            cause,
        };
        let mut question = Request::get(&*uri)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, net::USER_AGENT)
            .body(Full::default())
            .map_err(|error| broken(error.into()))?;
        if let Some(path) = &self.token_file {
            let token = bearer(path).await?;
            question.headers_mut().insert(AUTHORIZATION, token);
        }
        let answer = self.client.request(question).await;
        let answer = answer.map_err(|error| failure(error, broken))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status { uri, status });
        }
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        Ok(body.map_err(broken)?.to_bytes())
    }

    fn uri(&self, path: &str) -> Box<str> {
        format!("https://{}{path}", self.authority).into()
    }
}

fn failure(
    error: ClientError,
    broken: impl Fn(Box<dyn Error + Send + Sync>) -> FetchError,
) -> FetchError {
    match ConnectError::cause_of(&error) {
        Some(connect) => FetchError::Connect(connect.clone()),
        None => broken(error.into()),
    }
}

/// Our own token, read anew: the kubelet renews it.
async fn bearer(path: &Path) -> Result<HeaderValue, FetchError> {
    let source = SecretSource::File(path.to_owned());
    let read = spawn_blocking(move || source.read()).await;
    let token: SecretString = read
        .unwrap_or_else(|stopped| Err(stopped.into()))
        .map_err(|cause| file(path, cause))?;
    let header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut header = header.map_err(|_unfit| {
        let cause = io::Error::new(io::ErrorKind::InvalidData, "it holds no token");
        file(path, cause)
    })?;
    header.set_sensitive(true);
    Ok(header)
}

async fn read(path: &Path) -> Result<Bytes, FetchError> {
    let owned = path.to_owned();
    let read = spawn_blocking(move || std::fs::read(owned)).await;
    let text = read.unwrap_or_else(|stopped| Err(stopped.into()));
    text.map(Bytes::from).map_err(|cause| file(path, cause))
}

fn file(path: &Path, cause: io::Error) -> FetchError {
    FetchError::File {
        path: path.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests;

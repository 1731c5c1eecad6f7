//! How the shared store is reached: one server, the one that sentinels name, or a cluster.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, RedisFuture,
    RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClientBuilder, TlsMode},
    cluster_async::ClusterConnection,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::config::{HostPort, Servers, SharedStore};

/// For a connection, with name, TLS and greeting.
const BUDGET: Duration = Duration::from_secs(2);
/// Of that for one sentinel.
const SENTINEL_BUDGET: Duration = Duration::from_millis(500);
/// Of that for one of a cluster's nodes. A cluster's client waits for all the nodes it is given,
/// then for all that those have told it of: twice this, and there must be time left to be told.
const NODE_BUDGET: Duration = Duration::from_millis(500);

/// A connection that many requests share: what they ask goes out at once, and answers come in order.
#[derive(Clone)]
pub(super) enum Connection {
    Cluster(ClusterConnection),
    One(Server),
}

/// A connection to one server.
#[derive(Clone)]
pub(super) struct Server {
    connection: MultiplexedConnection,
    /// Its other end is dropped when the connection is closed.
    open: watch::Receiver<()>,
}

impl Connection {
    /// Whether all keys are in one place, so that one call can decide about all of them.
    pub(super) const fn is_whole(&self) -> bool {
        match self {
            Self::Cluster(_) => false,
            Self::One(_) => true,
        }
    }

    /// Resolves once it is closed. A cluster's looks after its own connections.
    pub(super) async fn closed(self) {
        match self {
            Self::Cluster(_) => std::future::pending().await,
            Self::One(mut server) => while server.open.changed().await.is_ok() {},
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Cluster(cluster) => cluster.req_packed_command(command),
            Self::One(server) => server.connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
            Self::One(server) => server
                .connection
                .req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Cluster(cluster) => cluster.get_db(),
            Self::One(server) => server.connection.get_db(),
        }
    }
}

/// Makes connections.
pub(super) struct Dialer {
    settings: SharedStore,
    /// Where what is believed never changes: it isn't in a file of ours.
    tls: Option<TlsConnector>,
}

/// One connection that is being made, with what the files say now.
struct Dial<'a> {
    settings: &'a SharedStore,
    tls: Option<TlsConnector>,
    /// The text of `ca_file`.
    ca: Option<Vec<u8>>,
    password: Option<SecretString>,
}

/// TLS can't be set up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("limits.redis: TLS can't be set up: {0}")]
pub struct TlsError(Box<rustls::Error>);

impl Dialer {
    pub(super) fn new(settings: &SharedStore) -> Result<Self, TlsError> {
        let roots = Arc::clone(&settings.roots);
        let tls = settings.tls.then(|| tls(roots)).transpose();
        Ok(Self {
            tls: tls?,
            settings: settings.clone(),
        })
    }

    /// A new connection, with the password and the CA as they are now.
    pub(super) async fn dial(&self) -> RedisResult<Connection> {
        let (password, ca_file) = (
            self.settings.password.clone(),
            self.settings.ca_file.clone(),
        );
        let read = spawn_blocking(move || {
            let password = password.map(|source| source.read()).transpose()?;
            Ok((password, ca_file.map(std::fs::read).transpose()?))
        });
        let (password, ca) = read.await.map_err(io::Error::from).flatten()?;
        let tls = match (&self.tls, &ca) {
            (Some(_), Some(ca)) => Some(tls(believed(ca)?).map_err(io::Error::other)?),
            (tls, _) => tls.clone(),
        };
        let dial = Dial {
            settings: &self.settings,
            tls,
            ca,
            password,
        };
        timeout(BUDGET, dial.connect())
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl Dial<'_> {
    async fn connect(&self) -> RedisResult<Connection> {
        match &self.settings.servers {
            Servers::Cluster(nodes) => self.cluster(nodes).await,
            Servers::One(server) => self.one(server).await,
            Servers::Sentinels { sentinels, master } => self.master(sentinels, master).await,
        }
    }

    async fn one(&self, server: &HostPort) -> RedisResult<Connection> {
        let database = i64::from(self.settings.database);
        let greeting = self.greeting().set_db(database);
        self.greet(server, &greeting).await.map(Connection::One)
    }

    /// Asks the sentinels in their order who is master, and makes sure that it is.
    async fn master(&self, sentinels: &[HostPort], master: &str) -> RedisResult<Connection> {
        let mut trouble = None;
        for sentinel in sentinels {
            // one that is gone must not use up the time for the others
            let asked = timeout(SENTINEL_BUDGET, self.ask_sentinel(sentinel, master)).await;
            let found = match asked {
                Ok(Ok(server)) => self.one(&server).await,
                Ok(Err(error)) => Err(error),
                Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            };
            match found {
                Ok(mut connection) => match role(&mut connection).await {
                    Ok(role) if role == "master" => return Ok(connection),
                    // a failover is going on
                    Ok(_) => sleep(Duration::from_millis(50)).await,
                    Err(error) => trouble = Some(error),
                },
                Err(error) => trouble = Some(error),
            }
        }
        let none = (
            ErrorKind::MasterNameNotFoundBySentinel,
            "no sentinel knows a master of this name",
        );
        Err(trouble.unwrap_or_else(|| none.into()))
    }

    async fn ask_sentinel(&self, sentinel: &HostPort, master: &str) -> RedisResult<HostPort> {
        let mut ask = Cmd::new();
        ask.arg("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(master);
        // sentinels often have no password though their master has one
        let mut stranger = self
            .greet(sentinel, &RedisConnectionInfo::default())
            .await?;
        let answer: Option<(String, u16)> = match ask.query_async(&mut stranger.connection).await {
            Err(error) if error.code() == Some("NOAUTH") => {
                let mut known = self.greet(sentinel, &self.greeting()).await?;
                ask.query_async(&mut known.connection).await?
            }
            answer => answer?,
        };
        let (host, port) = answer.ok_or((
            ErrorKind::MasterNameNotFoundBySentinel,
            "the sentinel knows no master of this name",
        ))?;
        Ok(HostPort { host, port })
    }

    async fn cluster(&self, nodes: &[HostPort]) -> RedisResult<Connection> {
        let scheme = if self.settings.tls { "rediss" } else { "redis" };
        let nodes = nodes.iter().map(|node| format!("{scheme}://{node}"));
        let mut builder = ClusterClientBuilder::new(nodes.collect::<Vec<_>>())
            .connection_timeout(NODE_BUDGET)
            // a decision has its own time-out; this only keeps the client from waiting for ever
            .response_timeout(BUDGET)
            .retries(2);
        if let Some(username) = &self.settings.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.expose_secret());
        }
        if self.settings.tls {
            builder = builder.tls(TlsMode::Secure);
            if let Some(ca) = &self.ca {
                builder = builder.certs(redis::TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca.clone()),
                });
            }
        }
        let connection = builder.build()?.get_async_connection().await?;
        Ok(Connection::Cluster(connection))
    }

    fn greeting(&self) -> RedisConnectionInfo {
        let mut greeting = RedisConnectionInfo::default();
        if let Some(username) = &self.settings.username {
            greeting = greeting.set_username(username);
        }
        if let Some(password) = &self.password {
            greeting = greeting.set_password(password.expose_secret());
        }
        greeting
    }

    /// Connects, and says who we are. The connection's driver is a task of this runtime's.
    async fn greet(
        &self,
        server: &HostPort,
        greeting: &RedisConnectionInfo,
    ) -> RedisResult<Server> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => drive(greeting, tcp).await,
            Some(tls) => {
                let name = ServerName::try_from(server.host.clone()).map_err(io::Error::other)?;
                drive(greeting, tls.connect(name, tcp).await?).await
            }
        }
    }
}

async fn drive(
    greeting: &RedisConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> RedisResult<Server> {
    // a decision has its own time-out
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(greeting, stream, config).await?;
    let (opened, open) = watch::channel(());
    drop(tokio::spawn(async move {
        driver.await;
        drop(opened);
    }));
    Ok(Server { connection, open })
}

/// The certificates of a CA's file.
fn believed(pem: &[u8]) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(Arc::new(roots))
}

fn tls(roots: Arc<RootCertStore>) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| TlsError(Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn role(connection: &mut Connection) -> Result<String, RedisError> {
    let answer: Vec<Value> = Cmd::new().arg("ROLE").query_async(connection).await?;
    let role = answer.into_iter().next().unwrap_or(Value::Nil);
    Ok(redis::from_redis_value(role)?)
}

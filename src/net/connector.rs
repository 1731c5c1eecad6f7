//! From a host's name to a verified connection, step by step.

use std::{
    convert::Infallible,
    env,
    future::ready,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tower::{Service, service_fn};

use super::{
    egress::Proxy,
    error::{ConnectError, NamedBy, SetupError, Step, as_io},
    reach::{Probe, Reach, Reached},
    stream::Stream,
};
use crate::{config::Frontegg, model::Deadline};

/// Makes connections to one host: the vendor's, one that publishes keys, or a collector.
///
/// SECURITY: it knows its host from the start and connects there whatever URI it is called
/// with, so no answer, redirect or mistake can lead a credential to another one.
///
/// Cloning is a reference count; clones share their TLS sessions, for resumption.
#[derive(Clone)]
pub struct Connector(Arc<Way>);

/// The way to the host. All that can be known before the first connection is.
struct Way {
    authority: Authority,
    target: Uri,
    target_hop: Arc<str>,
    /// The host as its certificate must name it.
    name: ServerName<'static>,
    proxy: Option<Proxy>,
    /// Where TCP goes: the target or the proxy.
    first: Uri,
    first_host: Box<str>,
    first_port: u16,
    first_hop: Arc<str>,
    /// `None`: nothing but TCP.
    tls: Option<TlsConnector>,
    budget: Duration,
    named_by: &'static NamedBy,
}

impl Connector {
    /// The way to the environment authentication, always with HTTP/1.1.
    ///
    /// # Errors
    /// [`SetupError`] where it can't be taken as it is configured.
    pub fn to_authentication(settings: &Frontegg) -> Result<Self, SetupError> {
        let authority = settings.auth.authority();
        let authority = authority.ok_or_else(|| SetupError::Name {
            name: "".into(),
            mend: NamedBy::VENDOR.host,
        })?;
        Self::to(authority, Reach::vendor(settings))
    }

    /// The way to any host, with HTTP/1.1.
    ///
    /// # Errors
    /// [`SetupError`] where it can't be taken as it is configured.
    pub fn to(authority: &Authority, reach: Reach<'_>) -> Result<Self, SetupError> {
        Self::new(authority, reach, &[b"http/1.1"])
    }

    /// The way to a host without TLS, past every proxy.
    ///
    /// SECURITY: only for what holds no secret.
    ///
    /// # Errors
    /// [`SetupError`] where it can't be taken as it is configured.
    pub fn plain(authority: &Authority, reach: Reach<'_>) -> Result<Self, SetupError> {
        Self::through(authority, Scheme::HTTP, reach, None, None)
    }

    /// The way to the identity API, with HTTP/2 where `frontegg.http2` says so.
    ///
    /// # Errors
    /// [`SetupError`] where it can't be taken as it is configured.
    pub fn to_identity(settings: &Frontegg) -> Result<Self, SetupError> {
        let protocols: &[&[u8]] = if settings.http2 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        Self::new(&settings.identity, Reach::vendor(settings), protocols)
    }

    fn new(
        authority: &Authority,
        reach: Reach<'_>,
        protocols: &[&[u8]],
    ) -> Result<Self, SetupError> {
        let target = origin(authority, Scheme::HTTPS, reach.named_by)?;
        let proxy = Proxy::find(reach.proxy, &target, |name| env::var(name).ok())?;
        let tls = TlsConnector::from(Arc::new(tls(reach.roots, protocols)?));
        Self::through(authority, Scheme::HTTPS, reach, proxy, Some(tls))
    }

    fn through(
        authority: &Authority,
        scheme: Scheme,
        reach: Reach<'_>,
        proxy: Option<Proxy>,
        tls: Option<TlsConnector>,
    ) -> Result<Self, SetupError> {
        let bad_name = || bad_name(authority, reach.named_by);
        let target = origin(authority, scheme, reach.named_by)?;
        let host = bare_host(&target).ok_or_else(bad_name)?;
        let name = ServerName::try_from(String::from(host)).map_err(|_invalid| bad_name())?;
        let first = proxy.as_ref().map_or(&target, |proxy| &proxy.uri).clone();
        let first_host = Box::from(bare_host(&first).ok_or_else(bad_name)?);
        let first_port = port(&first);
        Ok(Self(Arc::new(Way {
            authority: authority.clone(),
            target_hop: hop(&target),
            target,
            name,
            proxy,
            first_hop: hop(&first),
            first,
            first_host,
            first_port,
            tls,
            budget: reach.connect_timeout,
            named_by: reach.named_by,
        })))
    }

    /// Makes a connection, within `connect_timeout`.
    ///
    /// # Errors
    /// [`ConnectError`], which says at which step it failed.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        self.0.establish(|_reached| ()).await
    }

    /// The host that it connects to, with the port where that isn't the usual one.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Makes a connection for nothing but to see how far it comes.
    pub async fn probe(&self) -> Probe {
        let mut reached = Vec::with_capacity(4);
        let stream = self.0.establish(|step| reached.push(step)).await;
        Probe {
            result: stream.map(drop),
            reached,
        }
    }
}

fn origin(authority: &Authority, scheme: Scheme, named_by: &NamedBy) -> Result<Uri, SetupError> {
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority.clone())
        .path_and_query("/");
    uri.build()
        .map_err(|_invalid| bad_name(authority, named_by))
}

fn bad_name(authority: &Authority, named_by: &NamedBy) -> SetupError {
    SetupError::Name {
        name: authority.as_str().into(),
        mend: named_by.host,
    }
}

/// Verified against the configured roots, with TLS 1.3 or 1.2, sessions resumed.
fn tls(roots: &Arc<RootCertStore>, protocols: &[&[u8]]) -> Result<ClientConfig, SetupError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| SetupError::Tls(Box::new(error)))?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

impl Way {
    /// Name, TCP, tunnel, TLS, all within the budget; each step that is done is told to `reached`.
    async fn establish(&self, mut reached: impl FnMut(Reached)) -> Result<Stream, ConnectError> {
        let deadline = Deadline::after(self.budget);

        let addresses = self
            .within(deadline, Step::Resolve, self.resolve())
            .await??;
        reached(Reached::Resolved {
            hop: Arc::clone(&self.first_hop),
            addresses: addresses.clone(),
        });

        let dial = self.dial(addresses, deadline.left());
        let (mut tcp, address) = self.within(deadline, Step::Connect, dial).await??;
        reached(Reached::Connected(address));

        if let Some(proxy) = &self.proxy {
            let tunnel = proxy.tunnel(tcp, &self.target);
            tcp = self
                .within(deadline, Step::Proxy, tunnel)
                .await?
                .map_err(|reason| ConnectError::Proxy {
                    hop: Arc::clone(&self.first_hop),
                    reason,
                })?;
            reached(Reached::Tunnelled);
        }

        let Some(tls) = &self.tls else {
            return Ok(Stream::plain(tcp));
        };
        let handshake = tls.connect(self.name.clone(), tcp);
        let tls = self
            .within(deadline, Step::Tls, handshake)
            .await?
            .map_err(|reason| ConnectError::Tls {
                hop: Arc::clone(&self.target_hop),
                reason: Arc::new(reason),
                named_by: self.named_by,
            })?;
        let version = tls.get_ref().1.protocol_version();
        let stream = Stream::tls(tls);
        reached(Reached::Secured {
            version,
            http2: stream.is_http2(),
        });
        Ok(stream)
    }

    async fn within<T>(
        &self,
        deadline: Deadline,
        step: Step,
        work: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        let hop = match step {
            Step::Connect | Step::Proxy | Step::Resolve => &self.first_hop,
            Step::Tls => &self.target_hop,
        };
        let done = deadline.run(work).await;
        done.map_err(|_elapsed| ConnectError::Timeout {
            hop: Arc::clone(hop),
            step,
        })
    }

    /// Asks the system's resolver, on a thread of its own.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = lookup_host((&*self.first_host, self.first_port)).await;
        let addresses = found.and_then(|found| {
            let addresses: Vec<_> = found.collect();
            if addresses.is_empty() {
                let text = "the name has no address";
                return Err(io::Error::new(io::ErrorKind::NotFound, text));
            }
            Ok(addresses)
        });
        addresses.map_err(|reason| ConnectError::Resolve {
            hop: Arc::clone(&self.first_hop),
            reason: Arc::new(reason),
        })
    }

    /// Connects to one of the addresses. hyper-util's connector races the two families
    /// (RFC 8305) and shares the time among the addresses.
    async fn dial(
        &self,
        addresses: Vec<SocketAddr>,
        budget: Duration,
    ) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let failed = |reason| ConnectError::Connect {
            hop: Arc::clone(&self.first_hop),
            reason: Arc::new(reason),
        };
        let resolved = service_fn(move |_name: Name| {
            ready(Ok::<_, Infallible>(addresses.clone().into_iter()))
        });
        let mut tcp = HttpConnector::new_with_resolver(resolved);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(budget));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(USER_TIMEOUT));
        let stream = tcp.call(self.first.clone()).await;
        let stream = stream.map_err(|error| failed(as_io(&error)))?.into_inner();
        let address = stream.peer_addr().map_err(failed)?;
        Ok((stream, address))
    }
}

/// An idle connection that the other end, or a box on the way, has forgotten is noticed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Bytes that nobody acknowledges for this long end their connection (RFC 5482).
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// The host without the brackets that an IPv6 address has in a URI.
fn bare_host(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    Some(bare.unwrap_or(host)).filter(|host| !host.is_empty())
}

fn port(uri: &Uri) -> u16 {
    let usual = if uri.scheme() == Some(&Scheme::HTTP) {
        80
    } else {
        443
    };
    uri.port_u16().unwrap_or(usual)
}

fn hop(uri: &Uri) -> Arc<str> {
    Arc::from(format!("{}:{}", uri.host().unwrap_or_default(), port(uri)))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// Connects to its own host, whatever the URI says.
    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

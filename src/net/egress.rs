//! The egress proxy: which one, if any, and its tunnel.

use std::{io, sync::Arc};

use http::{HeaderValue, Uri};
use hyper_util::{
    client::{
        legacy::connect::proxy::Tunnel,
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{Service, service_fn};

use super::error::{SetupError, as_io};
use crate::config::{Egress, PROXY_VARIABLES, http_proxy, is_past_proxy};

/// An HTTP proxy on the way out.
#[derive(Debug)]
pub(super) struct Proxy {
    /// `http://host:port/`, without user and password.
    pub(super) uri: Uri,
    auth: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy between us and `target`, an `https` URI, or `None` where the way is direct.
    /// `variable` reads the environment.
    pub(super) fn find(
        egress: &Egress,
        target: &Uri,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SetupError> {
        let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
        let (origin, proxy, exempt) = match egress {
            Egress::Direct => return Ok(None),
            Egress::Environment if is_past_proxy(target) => return Ok(None),
            Egress::Environment => {
                let Some(proxy) = first(PROXY_VARIABLES) else {
                    return Ok(None);
                };
                let exempt = first(["NO_PROXY", "no_proxy"]);
                ("HTTPS_PROXY", proxy, exempt.unwrap_or_default())
            }
            Egress::Proxy(uri) => ("frontegg.proxy", uri.to_string(), String::new()),
        };
        if proxy.is_empty() {
            return Ok(None);
        }
        let found = http_proxy(&proxy, target)
            .map(|intercept| Self::new(&intercept))
            .ok_or(SetupError::Proxy { origin })?;
        let exempted = Matcher::builder().https(proxy).no(exempt).build();
        Ok(exempted.intercept(target).map(|_intercept| found))
    }

    fn new(intercept: &Intercept) -> Self {
        Self {
            uri: intercept.uri().clone(),
            auth: intercept.basic_auth().cloned(),
        }
    }

    /// Asks the proxy at the other end of `stream` for a tunnel to `target`.
    pub(super) async fn tunnel(
        &self,
        stream: TcpStream,
        target: &Uri,
    ) -> Result<TcpStream, Arc<io::Error>> {
        // The connection is there already: the connector that the tunnel asks for one hands it over.
        let mut stream = Some(TokioIo::new(stream));
        let connected = service_fn(move |_proxy: Uri| {
            let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
            std::future::ready(stream.map_err(io::Error::from))
        });
        let mut tunnel = Tunnel::new(self.uri.clone(), connected);
        if let Some(auth) = &self.auth {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let tunnelled = tunnel.call(target.clone()).await;
        let tunnelled = tunnelled.map_err(|error| Arc::new(as_io(&error)))?;
        Ok(tunnelled.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(egress: &Egress, environment: &[(&str, &str)]) -> Result<Option<Proxy>, SetupError> {
        let target = Uri::from_static("https://api.frontegg.com/");
        Proxy::find(egress, &target, |name| {
            let (_name, value) = environment.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    fn uri(proxy: Result<Option<Proxy>, SetupError>) -> Option<String> {
        proxy.unwrap().map(|proxy| proxy.uri.to_string())
    }

    #[test]
    fn the_environment_names_the_proxy_and_what_goes_past_it() {
        let at = |environment: &[_]| uri(found(&Egress::Environment, environment));
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[("HTTPS_PROXY", "")]), None);
        let proxy = ("HTTPS_PROXY", "http://proxy.local:3128");
        assert_eq!(at(&[proxy]).as_deref(), Some("http://proxy.local:3128/"));
        assert_eq!(at(&[proxy, ("NO_PROXY", "frontegg.com")]), None);
        assert!(at(&[proxy, ("no_proxy", "example.com")]).is_some());
        assert!(at(&[("https_proxy", "proxy.local:3128")]).is_some());
    }

    #[test]
    fn the_environments_proxy_is_not_for_loopback() {
        let variable = |_name: &str| Some("http://proxy.local".to_owned());
        for host in ["localhost:8443", "127.0.0.1:8443", "[::1]:8443"] {
            let target: Uri = format!("https://{host}/").parse().unwrap();
            let proxy = Proxy::find(&Egress::Environment, &target, variable).unwrap();
            assert!(proxy.is_none(), "{host}");
        }
    }

    #[test]
    fn a_configured_proxy_is_used_whatever_no_proxy_says() {
        let egress = Egress::Proxy(Uri::from_static("http://u:p%40ss@proxy.local:3128"));
        let proxy = found(&egress, &[("NO_PROXY", "*")]).unwrap().unwrap();
        assert_eq!(proxy.uri, "http://proxy.local:3128/");
        let auth = proxy.auth.unwrap();
        assert_eq!(auth, "Basic dTpwQHNz");
        assert!(auth.is_sensitive());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_never_a_direct_way_out() {
        for bad in [
            "socks5://proxy.local",
            "https://proxy.local",
            "http://",
            "a proxy",
        ] {
            let environment = [("HTTPS_PROXY", bad), ("NO_PROXY", "*")];
            let error = found(&Egress::Environment, &environment).unwrap_err();
            assert!(
                error.to_string().starts_with("HTTPS_PROXY"),
                "{bad}: {error}"
            );
        }
        let egress = Egress::Proxy(Uri::from_static("socks5://u:secret@proxy.local"));
        let error = found(&egress, &[]).unwrap_err().to_string();
        assert!(error.starts_with("frontegg.proxy") && !error.contains("secret"));
    }
}

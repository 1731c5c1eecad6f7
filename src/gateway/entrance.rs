//! The door: what is true of every request of one listener before anyone asks what it is for.
//!
//! A page that someone happens to visit must not reach a gateway on loopback, neither by DNS
//! rebinding (so `Host` must be a name that is served) nor by a cross-site form (so `Origin`
//! must be one that is allowed; forms and `fetch` both send it, and browsers that say
//! `Sec-Fetch-Site` are believed when they say cross-site).
//!
//! It also says from where the user comes ([`crate::client_ip`]), as that depends on which proxies
//! this listener trusts.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts, uri::Authority};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::headers::{self, PrivateHeaders};
use crate::{
    client_ip::{Disagreement, Source},
    config::{Bind, Listen, TrustedProxies},
    model::{Repeated, single},
};

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What one listener asks of its requests.
#[derive(Debug)]
pub struct Entrance {
    pub(super) base_path: String,
    pub(super) max_body: usize,
    pub(super) body_timeout: Duration,
    hosts: Hosts,
    /// The `Host` that was served first. Nearly all requests have it, and it need not be read again.
    usual: OnceLock<HeaderValue>,
    origins: Vec<HeaderValue>,
    max_headers: usize,
    proxies: TrustedProxies,
    /// Shared by all addresses of one `[listen]`.
    in_flight: Arc<Semaphore>,
}

/// Which names are served.
#[derive(Debug)]
enum Hosts {
    Any,
    Listed(Vec<String>),
    Loopback,
}

/// Why a request does not get through the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntranceError {
    /// A header of which there can be only one is there more than once.
    #[error("header {0} is there more than once")]
    HeaderDoubled(&'static str),
    /// A header that the gateway reads or sets is declared hop-by-hop, or the connection was
    /// asked to become another protocol.
    #[error("header {0} is not allowed here")]
    HeaderNotAllowed(&'static str),
    /// No `Host`, more than one, or one that differs from the target.
    #[error("there is not exactly one Host")]
    HostMissing,
    /// A name that isn't served.
    #[error("the Host is not served by this listener")]
    HostNotServed,
    /// A page of another origin.
    #[error("the Origin is not in listen.allowed_origins")]
    OriginNotAllowed,
    /// As many requests as are served at once are in flight.
    #[error("listen.max_in_flight requests are in flight")]
    Overloaded,
    /// More header fields than are read.
    #[error("more header fields than listen.max_headers")]
    TooManyHeaders,
}

impl Entrance {
    /// The door of one address of `listen`; `in_flight` is shared with its other addresses.
    #[must_use]
    pub fn new(listen: &Listen, bind: &Bind, in_flight: Arc<Semaphore>) -> Self {
        let hosts = match bind {
            _ if !listen.allowed_hosts.is_empty() => Hosts::Listed(listen.allowed_hosts.clone()),
            Bind::Tcp { .. } if bind.is_local() => Hosts::Loopback,
            Bind::Tcp { .. } | Bind::Unix(_) => Hosts::Any,
        };
        Self {
            base_path: listen.base_path.clone(),
            max_body: listen.max_body,
            body_timeout: listen.body_timeout,
            hosts,
            usual: OnceLock::new(),
            origins: listen.allowed_origins.clone(),
            max_headers: listen.max_headers,
            proxies: listen.trusted_proxies.clone(),
            in_flight,
        }
    }

    /// Room for one more request, held until its answer is made and recorded.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, EntranceError> {
        Arc::clone(&self.in_flight)
            .try_acquire_owned()
            .map_err(|_full| EntranceError::Overloaded)
    }

    /// Whose word on the user's address is believed here.
    pub const fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// The user's address, where it is known.
    pub(super) fn client(
        &self,
        source: Source,
        headers: &HeaderMap,
    ) -> Result<Option<IpAddr>, Disagreement> {
        source.client(&self.proxies, headers)
    }

    /// Checks a request's head. `private` names the headers that may not be declared hop-by-hop.
    pub(super) fn check(
        &self,
        head: &Parts,
        private: &PrivateHeaders,
    ) -> Result<(), EntranceError> {
        if head.headers.len() > self.max_headers {
            return Err(EntranceError::TooManyHeaders);
        }
        self.check_host(head)?;
        self.check_origin(&head.headers)?;
        headers::check_single(&head.headers)?;
        private.check(&head.headers)
    }

    fn check_host(&self, head: &Parts) -> Result<(), EntranceError> {
        let field = single(&head.headers, &header::HOST);
        let field = field.map_err(|Repeated| EntranceError::HostMissing)?;
        let only = field.filter(|_host| head.uri.authority().is_none());
        if only.is_some() && only == self.usual.get() {
            return Ok(());
        }
        let host = one_host(&head.uri, &head.headers)?;
        if !self.hosts.serve(&host) {
            return Err(EntranceError::HostNotServed);
        }
        // a copy: the value as it came keeps the whole head in memory
        let copied = only.and_then(|only| HeaderValue::from_bytes(only.as_bytes()).ok());
        if let Some(copied) = copied {
            self.usual.get_or_init(|| copied);
        }
        Ok(())
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), EntranceError> {
        let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            return if is_cross_site(headers) {
                Err(EntranceError::OriginNotAllowed)
            } else {
                Ok(())
            };
        }
        if origins.all(|origin| self.origins.contains(origin)) {
            Ok(())
        } else {
            Err(EntranceError::OriginNotAllowed)
        }
    }
}

impl Hosts {
    fn serve(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(names) => names.iter().any(|name| name.eq_ignore_ascii_case(host)),
            Self::Loopback => is_loopback(host),
        }
    }
}

/// Whether a browser says that another site made it send this (the Fetch Metadata standard).
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| !matches!(site.as_bytes(), b"none" | b"same-origin"))
}

/// `localhost`, a name below it (RFC 6761), or a loopback address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&name);
    name == "localhost"
        || name.ends_with(".localhost")
        || literal
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The one host that a request names, without its port (RFC 9112 3.2, RFC 9113 8.3.1).
pub(crate) fn one_host(uri: &Uri, headers: &HeaderMap) -> Result<String, EntranceError> {
    let field = single(headers, &header::HOST).map_err(|Repeated| EntranceError::HostMissing)?;
    let read = |field: &HeaderValue| field.to_str().ok()?.parse::<Authority>().ok();
    let field = match field {
        None => None,
        Some(field) => Some(read(field).ok_or(EntranceError::HostMissing)?),
    };
    let authority = match (uri.authority(), &field) {
        (Some(target), Some(field)) if target != field => return Err(EntranceError::HostMissing),
        (Some(target), _) => target,
        (None, Some(field)) => field,
        (None, None) => return Err(EntranceError::HostMissing),
    };
    // user information has no business here, and hides which host is meant
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(EntranceError::HostMissing);
    }
    Ok(authority.host().to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Request};

    use super::*;

    fn head(uri: &str, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn door(hosts: Hosts, origins: &[&'static str]) -> Entrance {
        Entrance {
            base_path: String::new(),
            max_body: 0,
            body_timeout: Duration::ZERO,
            hosts,
            usual: OnceLock::new(),
            origins: origins
                .iter()
                .map(|origin| HeaderValue::from_static(origin))
                .collect(),
            max_headers: 10,
            proxies: TrustedProxies::default(),
            in_flight: Arc::new(Semaphore::new(1)),
        }
    }

    fn check(
        door: &Entrance,
        uri: &str,
        fields: &[(&'static str, &'static str)],
    ) -> Result<(), EntranceError> {
        let private = PrivateHeaders::new([HeaderName::from_static("authorization")]);
        door.check(&head(uri, fields), &private)
    }

    #[test]
    fn a_loopback_listener_takes_loopback_names_only() {
        let door = door(Hosts::Loopback, &[]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(check(&door, "/", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "128.0.0.1",
            "[::2]",
            "0.0.0.0",
            "127.0.0.1.nip.io",
        ] {
            assert_eq!(
                check(&door, "/", &[("host", host)]),
                Err(EntranceError::HostNotServed),
                "{host}"
            );
        }
    }

    #[test]
    fn there_is_exactly_one_host() {
        let door = door(Hosts::Any, &[]);
        for fields in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "")],
            &[("host", "a b")],
            &[("host", "u@a")],
        ] {
            assert_eq!(
                check(&door, "/", fields),
                Err(EntranceError::HostMissing),
                "{fields:?}"
            );
        }
        assert_eq!(
            check(&door, "http://a/", &[("host", "b")]),
            Err(EntranceError::HostMissing)
        );
        assert_eq!(check(&door, "http://a/", &[("host", "a")]), Ok(()));
        assert_eq!(check(&door, "http://a/", &[]), Ok(()));
    }

    #[test]
    fn listed_hosts_are_all_there_are() {
        let door = door(Hosts::Listed(vec!["mfa.internal".to_owned()]), &[]);
        assert_eq!(check(&door, "/", &[("host", "MFA.internal:443")]), Ok(()));
        assert_eq!(
            check(&door, "/", &[("host", "localhost")]),
            Err(EntranceError::HostNotServed)
        );
        assert_eq!(
            check(&door, "http://foreign/", &[("host", "foreign")]),
            Err(EntranceError::HostNotServed)
        );
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let door = door(Hosts::Any, &["https://app.example"]);
        assert_eq!(
            check(
                &door,
                "/",
                &[("host", "a"), ("origin", "https://app.example")]
            ),
            Ok(())
        );
        for fields in [
            &[("host", "a"), ("origin", "https://evil.example")][..],
            &[("host", "a"), ("origin", "null")],
            &[
                ("host", "a"),
                ("origin", "https://app.example"),
                ("origin", "https://evil.example"),
            ],
            &[("host", "a"), ("sec-fetch-site", "cross-site")],
            &[("host", "a"), ("sec-fetch-site", "same-site")],
            &[
                ("host", "a"),
                ("sec-fetch-site", "none"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            assert_eq!(
                check(&door, "/", fields),
                Err(EntranceError::OriginNotAllowed),
                "{fields:?}"
            );
        }
        assert_eq!(
            check(&door, "/", &[("host", "a"), ("sec-fetch-site", "none")]),
            Ok(())
        );
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let door = door(Hosts::Any, &[]);
        let first = door.enter().unwrap();
        assert_eq!(door.enter().map(|_room| ()), Err(EntranceError::Overloaded));
        drop(first);
        assert!(door.enter().is_ok());
    }
}

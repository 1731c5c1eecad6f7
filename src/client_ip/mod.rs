//! From where the user comes: the address that limits count, the audit log shows and the vendor
//! is told.
//!
//! Who connects is the calling app, or a proxy: not the user. Where it is a trusted proxy, what it
//! says is believed, and what it repeats of others only as far as those are trusted too: hop by
//! hop from the near end, which is the right one, to the first that is no trusted proxy. That is
//! the user. Whatever stands further left the user wrote, and it is never looked at.
//!
//! Garbage, an obfuscated name or nothing but trusted proxies: the user's address is unknown. Two
//! headers that say different things are refused: a proxy that writes one of them passes the other
//! on as the user sent it, so an answer of "unknown" would be the user's to choose.

mod forwarded;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName, header::FORWARDED};

use crate::config::TrustedProxies;

/// The older of the two headers.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a connection's requests say from where the user comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In their headers: they come from a trusted proxy.
    Headers,
    /// A trusted proxy said it when it connected.
    Known(IpAddr),
    /// Nowhere: who connected isn't trusted to say it, or didn't.
    Nowhere,
}

/// `X-Forwarded-For` and `Forwarded` name different users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x-forwarded-for and forwarded don't agree on the user's address")]
pub struct Disagreement;

impl Source {
    /// Of a connection from `peer`; `None`: over a unix socket.
    #[must_use]
    pub fn of_peer(proxies: &TrustedProxies, peer: Option<IpAddr>) -> Self {
        let is_trusted = match peer {
            Some(peer) => proxies.trusts(peer),
            None => proxies.trusts_unix(),
        };
        if is_trusted {
            Self::Headers
        } else {
            Self::Nowhere
        }
    }

    /// Of a connection that a trusted proxy passes on from `origin`, if it says from where.
    #[must_use]
    pub fn of_proxied(proxies: &TrustedProxies, origin: Option<IpAddr>) -> Self {
        match origin {
            Some(origin) if proxies.trusts(origin) => Self::Headers,
            Some(origin) => Self::Known(origin.to_canonical()),
            None => Self::Nowhere,
        }
    }

    /// The user's address, where it is known, of a request with these headers.
    ///
    /// # Errors
    /// [`Disagreement`] of the two headers.
    pub fn client(
        self,
        proxies: &TrustedProxies,
        headers: &HeaderMap,
    ) -> Result<Option<IpAddr>, Disagreement> {
        match self {
            Self::Headers => read(proxies, headers),
            Self::Known(address) => Ok(Some(address)),
            Self::Nowhere => Ok(None),
        }
    }
}

fn read(proxies: &TrustedProxies, headers: &HeaderMap) -> Result<Option<IpAddr>, Disagreement> {
    let older = headers.contains_key(X_FORWARDED_FOR);
    let newer = headers.contains_key(FORWARDED);
    let client = match (older, newer) {
        (false, false) => return Ok(None),
        (true, false) => first_untrusted(proxies, addresses(headers)),
        (false, true) => first_untrusted(proxies, forwarded::nodes(headers)),
        (true, true) => {
            let client = first_untrusted(proxies, addresses(headers));
            if client != first_untrusted(proxies, forwarded::nodes(headers)) {
                return Err(Disagreement);
            }
            client
        }
    };
    if client.is_none() {
        tracing::debug!("the proxies' headers don't tell the user's address");
    }
    Ok(client)
}

/// The first hop that is no trusted proxy. One whose address isn't told ends the search.
fn first_untrusted(
    proxies: &TrustedProxies,
    hops: impl Iterator<Item = Option<IpAddr>>,
) -> Option<IpAddr> {
    for hop in hops {
        let address = hop?;
        if !proxies.trusts(address) {
            return Some(address);
        }
    }
    None
}

/// The hops of `X-Forwarded-For`, nearest first. Several lines are one list (RFC 9110 5.3).
fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|hop| !hop.is_empty())
        .map(|hop| address(str::from_utf8(hop).ok()?))
}

/// An address as proxies write it: bare, with a port, an IPv6 one in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse::<Ipv6Addr>().ok().map(IpAddr::from)
        })?;
    Some(address.to_canonical())
}

/// For fuzzing: whatever a user writes in front, what the trusted proxy adds behind decides.
#[cfg(any(test, fuzzing))]
pub(crate) fn prefix_is_powerless(prefix: &[u8]) {
    use http::HeaderValue;

    let user: IpAddr = IpAddr::from([203, 0, 113, 9]);
    for (name, added) in [
        (X_FORWARDED_FOR, "203.0.113.9"),
        (
            FORWARDED,
            "for=203.0.113.9;proto=https;host=\"a,b;for=x\\\"\"",
        ),
    ] {
        let whole = [prefix, b", ", added.as_bytes()].concat();
        let Ok(value) = HeaderValue::from_bytes(&whole) else {
            continue;
        };
        let headers = HeaderMap::from_iter([(name, value)]);
        let found = Source::Headers.client(&TrustedProxies::default(), &headers);
        assert_eq!(found, Ok(Some(user)), "{headers:?}");
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies::of(&["10.0.0.0/8", "2001:db8:aaaa::/48"])
    }

    fn client(fields: &[(&'static str, &str)]) -> Result<Option<String>, Disagreement> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let client = Source::Headers.client(&proxies(), &headers)?;
        Ok(client.map(|address| address.to_string()))
    }

    fn some(address: &str) -> Result<Option<String>, Disagreement> {
        Ok(Some(address.to_owned()))
    }

    #[test]
    fn who_connects_is_not_the_user() {
        let peer = |text: &str| Source::of_peer(&proxies(), Some(text.parse().unwrap()));
        assert_eq!(peer("203.0.113.9"), Source::Nowhere);
        assert_eq!(peer("10.1.1.1"), Source::Headers);
        assert_eq!(peer("::ffff:10.1.1.1"), Source::Headers);
        assert_eq!(Source::of_peer(&proxies(), None), Source::Nowhere);
        let headers =
            HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"))]);
        assert_eq!(Source::Nowhere.client(&proxies(), &headers), Ok(None));
    }

    #[test]
    fn who_a_trusted_proxy_passes_on_is_the_user_or_another_proxy() {
        let proxied = |text: &str| Source::of_proxied(&proxies(), Some(text.parse().unwrap()));
        let user = "203.0.113.9".parse().unwrap();
        assert_eq!(proxied("203.0.113.9"), Source::Known(user));
        assert_eq!(proxied("::ffff:203.0.113.9"), Source::Known(user));
        assert_eq!(proxied("10.0.0.2"), Source::Headers);
        assert_eq!(Source::of_proxied(&proxies(), None), Source::Nowhere);
        let spoof =
            HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"))]);
        assert_eq!(
            proxied("203.0.113.9").client(&proxies(), &spoof),
            Ok(Some(user))
        );
    }

    #[test]
    fn the_first_hop_from_the_right_that_is_not_trusted_is_the_user() {
        for (line, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
            (
                "198.51.100.7, 203.0.113.9, 10.0.0.2,10.0.0.3",
                "203.0.113.9",
            ),
            ("garbage, 203.0.113.9:4711 , 10.0.0.2:80", "203.0.113.9"),
            ("127.0.0.1,[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1, 2001:db8:aaaa::2", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, , ", "203.0.113.9"),
        ] {
            assert_eq!(
                client(&[("x-forwarded-for", line)]),
                some(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_not_told_is_unknown_and_never_the_leftmost() {
        for line in [
            "",
            ",",
            "10.0.0.2",
            "10.0.0.2, 10.0.0.3",
            "203.0.113.9, unknown",
            "203.0.113.9, garbage, 10.0.0.2",
            "203.0.113.9, 10.0.0.2, 1.2.3",
            "203.0.113.9, fe80::1%eth0",
            "203.0.113.9, [10.0.0.2]",
            "203.0.113.9, \"10.0.0.2\"",
            "203.0.113.9, 010.0.0.2",
            "203.0.113.9 10.0.0.2",
        ] {
            assert_eq!(client(&[("x-forwarded-for", line)]), Ok(None), "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list_in_their_order() {
        let lines = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
            ("x-forwarded-for", "10.0.0.3"),
        ];
        assert_eq!(client(&lines), some("203.0.113.9"));
        let lines = [
            ("forwarded", "for=198.51.100.7"),
            ("forwarded", "for=203.0.113.9"),
            ("forwarded", "for=10.0.0.3"),
        ];
        assert_eq!(client(&lines), some("203.0.113.9"));
    }

    #[test]
    fn two_headers_that_differ_are_refused() {
        let agree = [
            ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
            ("forwarded", "for=203.0.113.9"),
        ];
        assert_eq!(client(&agree), some("203.0.113.9"));
        for other in [
            "for=198.51.100.7",
            "for=unknown",
            "for=_x",
            "garbage",
            "for=10.0.0.1",
        ] {
            let both = [("x-forwarded-for", "203.0.113.9"), ("forwarded", other)];
            assert_eq!(client(&both), Err(Disagreement), "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_the_user_writes_in_front_has_no_power(prefix: Vec<u8>) {
            prefix_is_powerless(&prefix);
        }

        #[test]
        fn nor_has_what_looks_like_the_real_thing(
            prefix in "(for=|by=|\"|\\\\|,|;|\\[|\\]|10\\.0\\.0\\.1|_x|unknown| ){0,20}",
        ) {
            prefix_is_powerless(prefix.as_bytes());
        }
    }
}

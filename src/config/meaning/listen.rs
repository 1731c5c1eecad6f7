//! `[listen]` and `[admin]`.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use super::{Reader, tls::tls};
use crate::config::{
    proxies::TrustedProxies,
    settings::{Admin, Bind, Listen},
};
use http::HeaderValue;

/// The longest path that a unix socket's address holds, in bytes.
const LONGEST_SOCKET: usize = 107;

pub(super) fn listeners(reader: &mut Reader<'_>, has_callers: bool) -> Vec<Listen> {
    let tables = reader.entries.tables("listen");
    if tables.is_empty() {
        reader.problem(
            "listen",
            "no listener is left",
            "write [listen] with an address",
        );
    }
    let listeners: Vec<_> = tables.iter().map(|table| listener(reader, table)).collect();
    for (table, listen) in tables.iter().zip(&listeners) {
        let open = listen.addresses.iter().find(|bind| !bind.is_local());
        let key = format!("{table}.address");
        let Some(open) = open else { continue };
        let callers_unknown = reader.problems.touch("callers") || reader.problems.lack_a_file();
        if !has_callers && !callers_unknown {
            reader.problem(
                &key,
                format!("{open} is reached from other machines, and nobody is named who may call"),
                "add [[callers]] with a name and a token_file, or listen on 127.0.0.1 or a unix socket",
            );
        } else if listen.tls.is_none() {
            reader.warn(
                &key,
                format!("{open} is reached from other machines without TLS: codes and keys can be read on the way"),
                format!("set {table}.tls, unless something else encrypts that way"),
            );
        }
    }
    listeners
}

fn listener(reader: &mut Reader<'_>, table: &str) -> Listen {
    let at = |name: &str| format!("{table}.{name}");
    let nonzero = |reader: &Reader<'_>, name: &str| {
        NonZeroUsize::new(reader.count(&at(name))).unwrap_or(NonZeroUsize::MIN)
    };
    let addresses = addresses(reader, &at("address"));
    let tls = tls(reader, table);
    if tls.is_some() && addresses.iter().all(|bind| matches!(bind, Bind::Unix(_))) {
        reader.warn(
            &at("tls"),
            "has no effect: unix sockets stay plain",
            "remove it, or add a TCP address",
        );
    }
    let (trusted_proxies, proxy_protocol) = proxies(reader, table, &addresses);
    Listen {
        trusted_proxies,
        proxy_protocol,
        addresses,
        base_path: base_path(reader, &at("base_path")),
        allowed_hosts: hosts(reader, &at("allowed_hosts")),
        allowed_origins: origins(reader, &at("allowed_origins")),
        max_connections: nonzero(reader, "max_connections"),
        max_in_flight: nonzero(reader, "max_in_flight"),
        max_body: usize::try_from(reader.bytes(&at("max_body"))).unwrap_or(usize::MAX),
        max_headers: reader.count(&at("max_headers")),
        header_timeout: reader.duration(&at("header_timeout")),
        body_timeout: reader.duration(&at("body_timeout")),
        idle_timeout: reader.duration(&at("idle_timeout")),
        unix_mode: unix_mode(reader, &at("unix_mode")),
        unix_group: unix_group(reader, &at("unix_group")),
        tls,
    }
}

fn addresses(reader: &mut Reader<'_>, key: &str) -> Vec<Bind> {
    let written = reader.list(key);
    if written.is_empty() {
        reader.problem(key, "is empty", "write an address such as 127.0.0.1:8080");
    }
    let default = crate::config::keys::key("listen.address")
        .and_then(crate::config::entries::default_of)
        .map(|default| default.toml());
    let is_default = reader.entry(key).map(|entry| entry.meant.toml()) == default;
    let mut binds = Vec::new();
    for text in written {
        match bind(text, is_default) {
            Ok(bind) => binds.push(bind),
            Err((what, mend)) => reader.problem(key, format!("{text:?} {what}"), mend),
        }
    }
    binds
}

fn bind(text: &str, is_default: bool) -> Result<Bind, (String, String)> {
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err((
                "has no absolute path".into(),
                "write it like unix:/run/mfa-gateway/gateway.sock".into(),
            ));
        }
        if path.len() > LONGEST_SOCKET {
            return Err((
                format!("is longer than the {LONGEST_SOCKET} bytes that a socket's path may have"),
                "choose a shorter path".into(),
            ));
        }
        return Ok(Bind::Unix(PathBuf::from(path)));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(Bind::Tcp {
            address,
            optional: is_default && address.is_ipv6(),
        }),
        Err(_no_address) => Err(("is not a valid address".into(), address_mend(text))),
    }
}

fn address_mend(text: &str) -> String {
    let port = text.rsplit_once(':').map_or("8080", |(_host, port)| port);
    if text.starts_with("localhost") {
        format!("names are not looked up: write 127.0.0.1:{port} or [::1]:{port}")
    } else if text.starts_with(':') || text.starts_with('*') {
        format!(
            "say which: 127.0.0.1:{port} for this machine, 0.0.0.0:{port} or [::]:{port} for all"
        )
    } else if text.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("add a port: {text}:8080")
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("add a port: [{text}]:8080")
    } else {
        "write it like 127.0.0.1:8080, [::1]:8080 or unix:/run/mfa-gateway/gateway.sock".to_owned()
    }
}

fn base_path(reader: &mut Reader<'_>, key: &str) -> String {
    let fits = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
    };
    let parse = |text: &str| match text.strip_prefix('/') {
        Some(rest) if rest.split('/').all(fits) => Ok(text.to_owned()),
        Some(_) | None => Err("is not a plain path"),
    };
    let mend = "write it like /frontegg: a slash before each part, none at the end, no escapes";
    reader.parsed(key, parse, mend).unwrap_or_default()
}

fn hosts(reader: &mut Reader<'_>, key: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for text in reader.list(key) {
        let name = text.strip_suffix('.').unwrap_or(text).to_lowercase();
        let bracketed = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let is_ipv6 = bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
        if is_ipv6 || is_host(&name) {
            hosts.push(name);
        } else {
            reader.problem(
                key,
                format!("{text:?} is not a valid host name"),
                "write names alone, such as mfa-gateway.internal or [::1], without scheme, port or *",
            );
        }
    }
    hosts
}

/// Whether it is a host name or an IPv4 address.
pub(super) fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn origins(reader: &mut Reader<'_>, key: &str) -> Vec<HeaderValue> {
    let mut origins = Vec::new();
    for text in reader.list(key) {
        let lower = text.to_lowercase();
        let authority = lower
            .strip_prefix("https://")
            .or_else(|| lower.strip_prefix("http://"))
            .and_then(|authority| authority.parse::<http::uri::Authority>().ok())
            .filter(|authority| !authority.as_str().contains('@'));
        match (authority, HeaderValue::from_str(&lower)) {
            (Some(_), Ok(value)) => origins.push(value),
            (_, _) => reader.problem(
                key,
                "holds something that is not an origin",
                "write each like https://app.example.com, without a path or a slash at the end",
            ),
        }
    }
    origins
}

fn proxies(reader: &mut Reader<'_>, table: &str, binds: &[Bind]) -> (TrustedProxies, bool) {
    let key = format!("{table}.trusted_proxies");
    let mut proxies = TrustedProxies::default();
    for text in reader.list(&key) {
        if let Err(what) = proxies.add(text) {
            reader.problem(
                &key,
                format!("{text:?} {what}"),
                "write networks such as 10.0.0.0/8 or 2001:db8::/32, addresses, or unix",
            );
        }
    }
    if proxies.trusts_everyone() {
        reader.warn(
            &key,
            "everyone is trusted: a user can choose the address that the limits count",
            "name the networks of your proxies",
        );
    }
    let protocol_key = format!("{table}.proxy_protocol");
    let protocol = reader.flag(&protocol_key);
    let is_unix = |bind: &Bind| matches!(bind, Bind::Unix(_));
    if !protocol || reader.problems.touch(&key) {
        return (proxies, protocol);
    }
    if proxies.is_empty() {
        reader.problem(
            &protocol_key,
            "is taken from trusted proxies alone, and there are none: every connection would be closed",
            format!("name your proxies in {key}"),
        );
    } else if !proxies.trusts_unix() && binds.iter().any(is_unix) {
        reader.problem(
            &protocol_key,
            "is taken from trusted proxies alone: every connection over the unix socket would be closed",
            format!("add \"unix\" to {key}, or give the socket a [[listen]] of its own"),
        );
    }
    (proxies, protocol)
}

fn unix_group(reader: &mut Reader<'_>, key: &str) -> Option<u32> {
    const GROUPS: &str = "/etc/group";
    // One line a group: its name, a password, its number, its members (group(5)).
    let by_name = |name: &str| {
        let groups = std::fs::read_to_string(GROUPS).ok()?;
        let mut lines = groups.lines().map(|line| line.split(':'));
        lines.find_map(|mut fields| {
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
    };
    let parse = |text: &str| {
        text.parse()
            .ok()
            .or_else(|| by_name(text))
            .ok_or("is not a group of this machine")
    };
    reader.parsed(key, parse, "write a name in /etc/group, or a number")
}

fn unix_mode(reader: &mut Reader<'_>, key: &str) -> u32 {
    let parse = |text: &str| {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or("is not a set of permission bits")
    };
    reader
        .parsed(key, parse, "write it in octal, like 0660")
        .unwrap_or(0o660)
}

pub(super) fn admin(reader: &mut Reader<'_>) -> Option<Admin> {
    let key = reader.secret("admin.key");
    reader.warn_if_guessable("admin.key", key.as_ref());
    let quit = reader.flag("admin.quit");
    let address = admin_address(reader)?;
    Some(Admin { address, key, quit })
}

/// Where it is; `None` where it is switched off, or wrong.
pub(super) fn admin_address(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let parse = |text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_no_address| "is not a valid address")
    };
    let mend = reader
        .given("admin.address")
        .map_or_else(String::new, address_mend);
    let mend = mend.replace(" or unix:/run/mfa-gateway/gateway.sock", "");
    reader.parsed("admin.address", parse, &mend)
}

/// No two listeners may want the same address.
pub(super) fn no_two_alike(reader: &mut Reader<'_>, listen: &[Listen], admin: Option<&Admin>) {
    let tables = reader.entries.tables("listen");
    let mut taken: Vec<(String, &Bind)> = Vec::new();
    let admin_bind = admin.map(|admin| Bind::Tcp {
        address: admin.address,
        optional: false,
    });
    let listeners = tables.iter().zip(listen).flat_map(|(table, listen)| {
        let key = format!("{table}.address");
        listen.addresses.iter().map(move |bind| (key.clone(), bind))
    });
    let admins = admin_bind
        .iter()
        .map(|bind| ("admin.address".to_owned(), bind));
    for (key, bind) in listeners.chain(admins) {
        match taken.iter().find(|(_key, other)| overlap(bind, other)) {
            Some((other, _bind)) => {
                let what = format!("{bind} is taken by {other} already");
                reader.problem(&key, what, "give each listener an address of its own");
            }
            None => taken.push((key, bind)),
        }
    }
}

fn overlap(one: &Bind, two: &Bind) -> bool {
    match (one, two) {
        (Bind::Unix(one), Bind::Unix(two)) => one == two,
        (Bind::Tcp { address: one, .. }, Bind::Tcp { address: two, .. }) => {
            let any = one.ip().is_unspecified() || two.ip().is_unspecified();
            one.port() != 0
                && one.port() == two.port()
                && one.is_ipv4() == two.is_ipv4()
                && (any || one.ip() == two.ip())
        }
        (Bind::Unix(_), Bind::Tcp { .. }) | (Bind::Tcp { .. }, Bind::Unix(_)) => false,
    }
}

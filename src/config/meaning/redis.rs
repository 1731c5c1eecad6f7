//! `[limits.redis]`: the shared store.

use std::net::IpAddr;

use http::Uri;

use super::{Reader, frontegg::roots, listen::is_host};
use crate::config::{
    secret::SecretSource,
    store::{HostPort, OnStoreFailure, Servers, SharedStore},
};

const URL: &str = "limits.redis.url";
const CA_FILE: &str = "limits.redis.ca_file";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// One URL, taken apart.
struct Place {
    tls: bool,
    at: HostPort,
    database: u32,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<SharedStore> {
    let sentinel = reader.given("limits.redis.sentinel").map(str::to_owned);
    let places = places(reader, sentinel.is_some());
    let (username, password) = credentials(reader);
    let prefix = prefix(reader);
    let on_failure = on_failure(reader);
    let timeout = reader.duration("limits.redis.timeout");
    let first = places.as_ref().and_then(|places| places.first());
    let plain = first.filter(|first| !first.tls);
    if plain.is_some_and(|first| password.is_some() && !is_near(&first.at)) {
        reader.warn(
            URL,
            "the password goes over the network in the clear",
            "write rediss://, and have the server speak TLS",
        );
    }
    let ca_file = reader.path(CA_FILE);
    let roots = if plain.is_some() {
        if ca_file.is_some() {
            reader.warn(
                CA_FILE,
                "has no effect without TLS",
                "write rediss:// in limits.redis.url",
            );
        }
        Some(rustls::RootCertStore::empty().into())
    } else if first.is_some() || ca_file.is_some() {
        roots(reader, CA_FILE)
    } else {
        None
    };
    let (tls, database) = first.map(|first| (first.tls, first.database))?;
    Some(SharedStore {
        servers: servers(places?, sentinel),
        tls,
        database,
        username,
        password,
        roots: roots?,
        ca_file,
        prefix: prefix?,
        timeout,
        on_failure,
    })
}

fn servers(places: Vec<Place>, sentinel: Option<String>) -> Servers {
    let mut places: Vec<_> = places.into_iter().map(|place| place.at).collect();
    match sentinel {
        Some(master) => Servers::Sentinels {
            sentinels: places,
            master,
        },
        None if places.len() == 1 => Servers::One(places.remove(0)),
        None => Servers::Cluster(places),
    }
}

fn credentials(reader: &mut Reader<'_>) -> (Option<String>, Option<SecretSource>) {
    let username = reader.given("limits.redis.username").map(str::to_owned);
    let password = reader.secret("limits.redis.password");
    let is_given = reader.given("limits.redis.password_file").is_some()
        || reader.problems.touch("limits.redis.password");
    if username.is_some() && password.is_none() && !is_given {
        reader.missing(
            "limits.redis.password",
            "limits.redis.username",
            "is needed with a user, and set nowhere",
            "name a file with it in limits.redis.password_file",
        );
    }
    (username, password)
}

fn on_failure(reader: &mut Reader<'_>) -> OnStoreFailure {
    match reader.text("limits.on_store_failure") {
        "allow" => {
            reader.warn(
                "limits.on_store_failure",
                "whoever brings the store down guesses without limit",
                "write local, which goes on with what each replica has seen, or deny",
            );
            OnStoreFailure::Allow
        }
        "deny" => OnStoreFailure::Deny,
        _local => OnStoreFailure::Local,
    }
}

fn places(reader: &mut Reader<'_>, sentinel: bool) -> Option<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    for text in reader.list(URL) {
        match place(text, sentinel) {
            Ok(place) => places.push(place),
            Err((what, mend)) => reader.problem(URL, what, mend),
        }
    }
    let alike = |places: &[Place]| {
        let mut pairs = places.iter().zip(places.iter().skip(1));
        pairs.all(|(one, other)| one.tls == other.tls && one.database == other.database)
    };
    if reader.list(URL).is_empty() {
        reader.problem(URL, "is empty", "write it like redis://redis:6379");
    } else if !alike(&places) {
        reader.problem(
            URL,
            "names some servers otherwise than others",
            "write all with the same scheme and database",
        );
    } else if !sentinel && places.len() > 1 && places.iter().any(|place| place.database != 0) {
        reader.problem(URL, "names a database", "remove it: a cluster has only one");
    }
    (!places.is_empty() && !reader.problems.touch(URL)).then_some(places)
}

/// The text isn't repeated in problems: it may hold a password.
fn place(text: &str, sentinel: bool) -> Result<Place, (&'static str, &'static str)> {
    const MEND: &str = "write it like redis://redis:6379, or rediss://redis:6380 for TLS";
    let url = text
        .parse::<Uri>()
        .map_err(|_| ("is not a valid URL", MEND))?;
    let tls = match url.scheme_str() {
        Some("redis" | "valkey") => false,
        Some("rediss" | "valkeys") => true,
        Some(_) | None => return Err(("is not the URL of a Redis or Valkey server", MEND)),
    };
    if url.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err((
            "holds a user or password",
            "write them into limits.redis.username and limits.redis.password_file",
        ));
    }
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if !is_host(host) && host.parse::<IpAddr>().is_err() {
        return Err(("has no host", MEND));
    }
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => number.parse().map_err(|_| {
            (
                "holds a path that is not a database number",
                "leave the path off, or write it like redis://redis:6379/1",
            )
        })?,
    };
    if url.query().is_some() || text.contains('#') {
        return Err(("holds options", "remove what follows ? or #"));
    }
    let port = if sentinel { SENTINEL_PORT } else { PORT };
    Ok(Place {
        tls,
        at: HostPort {
            host: host.to_owned(),
            port: url.port_u16().unwrap_or(port),
        },
        database,
    })
}

/// Braces would change which part of a key decides its place in a cluster.
fn prefix(reader: &mut Reader<'_>) -> Option<Box<str>> {
    const KEY: &str = "limits.redis.prefix";
    let text = reader.text(KEY);
    let usable = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}'));
    if !usable {
        reader.problem(
            KEY,
            format!("{text:?} can't begin a key"),
            "write 1 to 64 visible ASCII characters, no braces",
        );
    }
    usable.then(|| text.into())
}

fn is_near(at: &HostPort) -> bool {
    let ip = at.host.parse::<IpAddr>();
    at.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let read = |text, sentinel| {
            place(text, sentinel).map(|place| (place.tls, place.at.to_string(), place.database))
        };
        let good = |tls, at: &str, database| Ok((tls, at.to_owned(), database));
        assert_eq!(read("redis://h", false), good(false, "h:6379", 0));
        assert_eq!(read("rediss://h:7/3", false), good(true, "h:7", 3));
        assert_eq!(read("redis://[::1]:7/", false), good(false, "[::1]:7", 0));
        assert_eq!(read("valkey://h", true), good(false, "h:26379", 0));
        for bad in [
            "",
            "h:6379",
            "http://h",
            "redis://",
            "redis://u:p@h",
            "redis://h/x",
            "redis://h?a=b",
        ] {
            assert!(read(bad, false).is_err(), "{bad}");
        }
    }
}

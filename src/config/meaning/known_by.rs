//! What each of the callers is known by.

use secrecy::ExposeSecret;

use super::{Reader, listen::is_host};
use crate::{
    config::{
        caller::{Caller, KnownBy},
        secret::SecretSource,
        settings::{Bind, Listen},
    },
    model::ServiceAccount,
};

/// Shorter keys can be guessed.
const SHORTEST_TOKEN: usize = 16;
/// The SPIFFE standard's bound on an ID, in bytes.
const LONGEST_SPIFFE_ID: usize = 2_048;
/// What unknown users look like from inside a user namespace.
const NOBODY: u32 = 65_534;

/// What the one key is called that says what a caller is known by.
const fn key_of(known_by: &KnownBy) -> &'static str {
    match known_by {
        KnownBy::CertificateDns(_) => "certificate_dns",
        KnownBy::ServiceAccount(_) => "service_account",
        KnownBy::SpiffeId(_) => "spiffe_id",
        KnownBy::Token(_) => "token",
        KnownBy::Uid(_) => "uid",
    }
}

/// Where in the configuration it was given.
pub(super) fn place_of(known_by: &KnownBy, table: &str) -> String {
    let key = format!("{table}.{}", key_of(known_by));
    match known_by {
        KnownBy::Token(source) => source.key(&key),
        KnownBy::CertificateDns(_)
        | KnownBy::ServiceAccount(_)
        | KnownBy::SpiffeId(_)
        | KnownBy::Uid(_) => key,
    }
}

/// What no two callers may have in common, each with its kind.
pub(super) fn texts(known_by: &KnownBy) -> Vec<String> {
    let kind = key_of(known_by);
    match known_by {
        KnownBy::CertificateDns(text) | KnownBy::SpiffeId(text) => vec![format!("{kind} {text}")],
        KnownBy::ServiceAccount(account) => vec![format!("{kind} {}", account.as_str())],
        KnownBy::Token(source) => source
            .read_two()
            .unwrap_or_default() // told when it was read first
            .iter()
            .map(|token| format!("{kind} {}", token.expose_secret()))
            .collect(),
        KnownBy::Uid(uid) => vec![format!("{kind} {uid}")],
    }
}

pub(super) fn read(reader: &mut Reader<'_>, table: &str) -> Option<KnownBy> {
    let at = |name: &str| format!("{table}.{name}");
    let is_given = |reader: &Reader<'_>, name: &str| match name {
        "token" => reader.differs(&at("token")) || reader.differs(&at("token_file")),
        "uid" => reader.entries.at(&at("uid")).is_some(),
        name => reader.given(&at(name)).is_some(),
    };
    let kinds = ["spiffe_id", "certificate_dns", "service_account", "uid"];
    if kinds.iter().any(|name| reader.problems.touch(&at(name))) {
        return None;
    }
    let mut given = std::iter::once("token")
        .chain(kinds)
        .filter(|name| is_given(reader, name));
    let (first, second) = (given.next(), given.next());
    if let (Some(first), Some(second)) = (first, second) {
        reader.problem(
            &at(second),
            format!("is given beside {first}, and a caller is known by one thing"),
            "keep one of the two, or make it a caller of its own",
        );
        return None;
    }
    match first {
        Some("spiffe_id") => reader
            .parsed(
                &at("spiffe_id"),
                spiffe_id,
                "write it in full, like spiffe://example.org/ns/shop/sa/login",
            )
            .map(KnownBy::SpiffeId),
        Some("certificate_dns") => reader
            .parsed(
                &at("certificate_dns"),
                dns_name,
                "write it in full, like login.shop.internal: * is not allowed",
            )
            .map(KnownBy::CertificateDns),
        Some("service_account") => reader
            .parsed(
                &at("service_account"),
                ServiceAccount::parse,
                "write namespace/name, as kubectl shows them",
            )
            .map(KnownBy::ServiceAccount),
        Some("uid") => uid(reader, &at("uid")).map(KnownBy::Uid),
        Some(_) | None => token(reader, table).map(KnownBy::Token),
    }
}

fn dns_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    if is_host(&name) {
        Ok(name)
    } else {
        Err("is not a valid DNS name")
    }
}

/// A workload's ID: a trust domain and a path (the SPIFFE standard, SPIFFE-ID section 2).
fn spiffe_id(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "is not the SPIFFE ID of a workload";
    let domain_fits = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
    };
    let path_fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let (domain, path) = text
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or(WRONG)?;
    let good = text.len() <= LONGEST_SPIFFE_ID
        && (1..=255).contains(&domain.len())
        && domain.bytes().all(domain_fits)
        && path
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | "..") && segment.bytes().all(path_fits));
    good.then(|| text.to_owned()).ok_or(WRONG)
}

fn uid(reader: &mut Reader<'_>, key: &str) -> Option<u32> {
    let uid = u32::try_from(reader.number(key)).ok()?;
    if uid == NOBODY {
        reader.warn(
            key,
            "is nobody's: to a gateway in a user namespace of its own, everyone outside may look like that",
            "run the caller as a user of its own",
        );
    }
    Some(uid)
}

fn token(reader: &mut Reader<'_>, table: &str) -> Option<SecretSource> {
    let key = format!("{table}.token");
    let source = reader.needed_secret(
        &key,
        table,
        "make one with: openssl rand -base64 32, and give it to the caller and in token_file",
    )?;
    let key = source.key(&key);
    let tokens = match source.read_two() {
        Ok(tokens) => tokens,
        Err(error) => {
            reader.problem(
                &key,
                format!("is neither a secret nor two: {error}"),
                "write the secret in one line, and one that is to follow it in a second",
            );
            return None;
        }
    };
    for token in tokens.iter().map(ExposeSecret::expose_secret) {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            reader.problem(
                &key,
                "can't travel in a header",
                "use visible ASCII characters without blanks",
            );
            return None;
        }
        if token.len() < SHORTEST_TOKEN {
            reader.warn(
                &key,
                "is short enough to be guessed",
                "make a new one with: openssl rand -base64 32",
            );
        }
    }
    Some(source)
}

/// What a caller is known by must be something that a listener can see.
pub(super) fn are_seen(reader: &mut Reader<'_>, callers: &[Caller], listen: &[Listen]) {
    let asks = |listen: &Listen| {
        let tls = listen.tls.as_ref();
        tls.is_some_and(|tls| tls.client_ca_file.is_some())
    };
    let is_unix = |bind: &Bind| matches!(bind, Bind::Unix(_));
    let asks_for_certificates = listen.iter().any(asks);
    let has_unix = listen
        .iter()
        .any(|listen| listen.addresses.iter().any(is_unix));
    let by_certificate = |caller: &Caller| {
        matches!(
            caller.known_by,
            KnownBy::CertificateDns(_) | KnownBy::SpiffeId(_)
        )
    };
    let tables = reader.entries.tables("callers");
    let is_whole = tables.len() == callers.len() && !reader.problems.touch("listen");
    for (table, caller) in tables.iter().zip(callers).filter(|_pair| is_whole) {
        let key = place_of(&caller.known_by, table);
        if by_certificate(caller) && !asks_for_certificates {
            reader.problem(
                &key,
                "is in a client certificate, and no listener asks for one",
                "set listen.tls.client_ca_file",
            );
        } else if matches!(caller.known_by, KnownBy::Uid(_)) && !has_unix {
            reader.problem(
                &key,
                "is known of who comes over a unix socket, and none is listened on",
                "add unix:/run/mfa-gateway/gateway.sock to listen.address, or give the caller a token_file",
            );
        }
    }
    let tables = reader.entries.tables("listen");
    for (table, _listen) in tables
        .iter()
        .zip(listen)
        .filter(|(_table, listen)| asks(listen))
    {
        if is_whole && !callers.iter().any(by_certificate) {
            reader.warn(
                &format!("{table}.tls.client_ca_file"),
                "client certificates are asked for, and no caller is known by one: nobody has to show one",
                "add [[callers]] with a spiffe_id or a certificate_dns",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_names_one_workload_in_full() {
        assert!(spiffe_id("spiffe://example.org/ns/shop/sa/login").is_ok());
        for bad in [
            "",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://Example.org/a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/../b",
            "spiffe://example.org/*",
            "spiffe://example.org/a?b",
            "https://example.org/a",
            "SPIFFE://example.org/a",
            "spiffe:///a",
        ] {
            assert!(spiffe_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_dns_name_has_no_wildcard_and_one_spelling() {
        assert_eq!(
            dns_name("Login.Shop.internal."),
            Ok("login.shop.internal".to_owned())
        );
        for bad in ["*.shop.internal", "https://shop", "shop:1", "a..b"] {
            assert!(dns_name(bad).is_err(), "{bad:?}");
        }
    }
}

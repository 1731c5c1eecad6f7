//! `[frontegg]`: where the vendor is, and what is sent there.

use std::sync::Arc;

use http::{HeaderValue, Uri, uri::Authority};
use rustls::RootCertStore;
use secrecy::ExposeSecret;

use super::{Reader, certificate::roots_in, listen::is_host};
use crate::{
    config::{
        egress::{PROXY_VARIABLES, http_proxy, is_past_proxy},
        secret::SecretSource,
        settings::{Egress, Frontegg, Listen},
    },
    model::{IdError, Region, TenantId},
};

/// The vendor's path of the environment authentication.
const AUTH_PATH: &str = "/auth/vendor/";

pub(super) fn read(reader: &mut Reader<'_>, listen: &[Listen]) -> Option<Frontegg> {
    let region = reader
        .text("frontegg.region")
        .parse::<Region>()
        .unwrap_or(Region::Eu);
    let identity = identity(reader, region);
    let auth = auth(reader, region);
    let proxy = proxy(reader, identity.as_ref(), auth.as_ref());
    let client_id = reader.needed_secret(
        "frontegg.client_id",
        "frontegg.client_id",
        "copy it from the vendor's portal, environment settings, into frontegg.client_id, frontegg.client_id_file or the variable FRONTEGG_CLIENT_ID",
    );
    let api_key = reader.needed_secret(
        "frontegg.api_key",
        "frontegg.api_key",
        "copy it from the vendor's portal, environment settings, into a file named by frontegg.api_key_file, or into the variable FRONTEGG_API_KEY",
    );
    let client_ip_secret = client_ip_secret(reader, client_id.as_ref(), listen);
    let roots = roots(reader, "frontegg.ca_file");
    let connect_timeout = reader.duration("frontegg.connect_timeout");
    let request_timeout = reader.duration("frontegg.request_timeout");
    if connect_timeout > request_timeout {
        reader.warn(
            "frontegg.connect_timeout",
            "is longer than frontegg.request_timeout, which ends everything",
            "make it shorter",
        );
    }
    Some(Frontegg {
        region,
        environment_id: header(reader, "frontegg.environment_id"),
        application_id: header(reader, "frontegg.application_id"),
        vendor_host: header(reader, "frontegg.vendor_host"),
        proxy: proxy?,
        identity: identity?,
        auth: auth?,
        client_id: client_id?,
        api_key: api_key?,
        roots: roots?,
        connect_timeout,
        request_timeout,
        http2: reader.flag("frontegg.http2"),
        client_ip_secret,
    })
}

fn client_ip_secret(
    reader: &mut Reader<'_>,
    client_id: Option<&SecretSource>,
    listen: &[Listen],
) -> Option<SecretSource> {
    const KEY: &str = "frontegg.client_ip.shared_secret";
    const MEND: &str = "copy it from the vendor's portal: visible ASCII characters, no blanks";
    let shared = reader.secret(KEY)?;
    if listen
        .iter()
        .all(|listen| listen.trusted_proxies.is_empty())
    {
        reader.warn(
            KEY,
            "the user's address is never known: no listener has trusted proxies",
            "name in listen.trusted_proxies who may say it",
        );
    }
    for (key, source) in [(KEY, &shared), ("frontegg.client_id", client_id?)] {
        let secret = source.read().ok()?;
        if !secret
            .expose_secret()
            .bytes()
            .all(|byte| byte.is_ascii_graphic())
        {
            reader.problem(key, "can't travel in a header", MEND);
        }
    }
    Some(shared)
}

fn identity(reader: &mut Reader<'_>, region: Region) -> Option<Authority> {
    const URL: &str = "frontegg.identity_url";
    let domain = domain(reader);
    if reader.given(URL).is_none() {
        let host = domain.unwrap_or_else(|| region.host().to_owned());
        return host.parse().ok();
    }
    let url = https(reader, URL)?;
    if url.path() != "/" || url.query().is_some() {
        reader.problem(
            URL,
            "has a path",
            "leave off what follows the host: the gateway adds /identity/… itself",
        );
        return None;
    }
    if domain.is_some() {
        reader.warn(
            "frontegg.domain",
            "has no effect beside frontegg.identity_url",
            "keep one of the two",
        );
    }
    if reader.given("frontegg.auth_url").is_none() {
        let what = format!(
            "identity calls go elsewhere, but the API key still goes to {}",
            region.host()
        );
        reader.warn(URL, what, "set frontegg.auth_url too, unless that is meant");
    }
    url.authority().cloned()
}

fn domain(reader: &mut Reader<'_>) -> Option<String> {
    let parse = |text: &str| {
        let lower = text.to_lowercase();
        match (is_host(&lower), lower.contains('.')) {
            (true, true) => Ok(lower),
            (true, false) => Ok(format!("{lower}.frontegg.com")),
            (false, _) => Err("is not a valid domain"),
        }
    };
    let mend =
        "write it like acme, for acme.frontegg.com, or login.example.com: no scheme, port or path";
    reader.parsed("frontegg.domain", parse, mend)
}

fn auth(reader: &mut Reader<'_>, region: Region) -> Option<Uri> {
    const URL: &str = "frontegg.auth_url";
    if reader.given(URL).is_none() {
        return format!("https://{}{AUTH_PATH}", region.host()).parse().ok();
    }
    let url = https(reader, URL)?;
    if url.path() == "/" {
        reader.problem(URL, "has no path", format!("add the vendor's: {AUTH_PATH}"));
        return None;
    }
    Some(url)
}

/// A URL that is reached over TLS. It isn't repeated in problems: it may hold a password.
pub(super) fn https(reader: &mut Reader<'_>, key: &str) -> Option<Uri> {
    let text = reader.text(key);
    let url = text.parse::<Uri>().ok().filter(|_url| !text.contains('#'));
    let (what, mend) = match url {
        Some(url) if url.scheme_str() == Some("https") => {
            let authority = url.authority().map_or("", Authority::as_str);
            if !authority.contains('@') {
                return Some(url);
            }
            (
                "holds a user or password",
                "remove it: nothing is asked with one",
            )
        }
        Some(url) if url.scheme_str() == Some("http") => (
            "is not https",
            "write https://: neither credentials nor keys travel in the clear; for a CA of your own set ca_file",
        ),
        Some(_) | None => (
            "is not a valid URL",
            "write it like https://identity.internal",
        ),
    };
    reader.problem(key, what, mend);
    None
}

const PROXY: &str = "frontegg.proxy";

fn proxy(
    reader: &mut Reader<'_>,
    identity: Option<&Authority>,
    auth: Option<&Uri>,
) -> Option<Egress> {
    let Some(text) = reader.given(PROXY) else {
        let identity = identity.and_then(|host| format!("https://{host}/").parse().ok());
        for target in identity.iter().chain(auth) {
            environments_proxy(reader, target);
        }
        return Some(Egress::Environment);
    };
    let url = text.parse::<Uri>().ok().filter(|url| {
        url.scheme_str() == Some("http") && url.path() == "/" && url.query().is_none()
    });
    if url.is_none() {
        reader.problem(
            PROXY,
            "is not the URL of an HTTP proxy",
            "write it like http://proxy:3128, with a user and password before an @ if it wants them",
        );
    }
    url.map(Egress::Proxy)
}

/// The environment's proxy, where it is on the way to `target`, must be one that can be used. It
/// isn't repeated: it may hold a password.
pub(super) fn environments_proxy(reader: &mut Reader<'_>, target: &Uri) {
    let mut named = PROXY_VARIABLES
        .into_iter()
        .filter_map(|variable| Some((variable, reader.entries.obeyed(variable)?)));
    let Some((variable, text)) = named.next() else {
        return;
    };
    if !text.is_empty() && !is_past_proxy(target) && http_proxy(text, target).is_none() {
        reader.obeyed(
            variable,
            PROXY,
            format!("{variable} decides, and is not the URL of an HTTP proxy"),
            "write it like http://proxy:3128, or name the proxy in frontegg.proxy",
        );
    }
}

fn header(reader: &mut Reader<'_>, key: &str) -> Option<HeaderValue> {
    // It is subject to the same rule as a tenant, and ends up in a header as one does.
    let parse = |text: &str| TenantId::parse(text).map(|id| id.as_header().clone());
    reader.parsed::<_, IdError>(key, parse, "copy it from the vendor's portal")
}

/// What is trusted: the certificates in the file that `key` names, else the system's.
pub(super) fn roots(reader: &mut Reader<'_>, key: &str) -> Option<Arc<RootCertStore>> {
    if let Some(file) = reader.path(key) {
        return roots_in(reader, key, &file).map(Arc::new);
    }
    let mend = format!("set {key}");
    system_roots(reader, key, &mend)
}

/// The system's, for what `key` names.
pub(super) fn system_roots(
    reader: &mut Reader<'_>,
    key: &str,
    mend: &str,
) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (added, _unusable) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        let why = system.errors.first().map(|error| format!(": {error}"));
        reader.problem(
            key,
            format!(
                "this machine has no certificates to trust{}",
                why.unwrap_or_default()
            ),
            format!("install the package ca-certificates, or {mend}"),
        );
        return None;
    }
    Some(Arc::new(roots))
}

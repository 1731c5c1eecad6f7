//! `[headers]`, and which header names are the gateway's own.

use http::HeaderName;

use super::Reader;
use crate::config::{pattern::Pattern, settings::Headers};

/// Names that the gateway reads or sets itself, that belong to one connection (RFC 9110,
/// section 7.6.1) or to the body that is written anew, and names by which others would
/// take a user's address.
const OWN: [&str; 35] = [
    "authorization",
    "cf-connecting-ip",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-access-token",
    "x-api-key",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-mfa-gateway-key",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-remote-ip",
    "x-request-id",
    "x-http-method-override",
    "set-cookie",
];

/// Of the vendor's names, those that name neither credential nor tenant, user or address.
const VENDORS_HARMLESS: [&str; 5] = [
    "frontegg-login-alias",
    "frontegg-requested-application-id",
    "frontegg-source",
    "x-frontegg-framework",
    "x-frontegg-sdk",
];

pub(super) fn read(reader: &mut Reader<'_>) -> Headers {
    const FORWARD: &str = "headers.forward";
    let subject =
        ["subject.tenant_header", "subject.user_header"].map(|key| reader.text(key).to_lowercase());
    let mut forward: Vec<HeaderName> = Vec::new();
    for text in reader.list(FORWARD) {
        match name(text) {
            Ok(name) if subject.iter().any(|own| own == name.as_str()) => reader.problem(
                FORWARD,
                format!("{text:?} names the tenant or the user, and is read by the gateway"),
                "remove it",
            ),
            Ok(name) if forward.contains(&name) => {}
            Ok(name) => forward.push(name),
            Err((what, mend)) => reader.problem(FORWARD, format!("{text:?} {what}"), mend),
        }
    }
    Headers {
        forward,
        cookies: cookies(reader),
    }
}

/// A header's name that is not the gateway's own.
pub(super) fn name(text: &str) -> Result<HeaderName, (&'static str, &'static str)> {
    let name = text
        .to_lowercase()
        .parse::<HeaderName>()
        .map_err(|_illegal| ("is not a valid header name", "write the name alone"))?;
    let lower = name.as_str();
    if lower.contains('_') {
        return Err((
            "has a _, and headers with one are dropped at the door",
            "use a name with - instead",
        ));
    }
    if lower == "cookie" {
        return Err(("is chosen cookie by cookie", "list them in headers.cookies"));
    }
    let vendors = lower.starts_with("frontegg-") || lower.starts_with("x-frontegg-");
    let own = OWN.contains(&lower)
        || lower.starts_with("x-forwarded-")
        || (vendors && !VENDORS_HARMLESS.contains(&lower));
    if own {
        return Err((
            "names a credential, tenant, user or address, or is the gateway's own",
            "remove it: only the gateway may set it",
        ));
    }
    Ok(name)
}

fn cookies(reader: &mut Reader<'_>) -> Vec<Pattern> {
    const KEY: &str = "headers.cookies";
    let mut patterns = Vec::new();
    for text in reader.list(KEY) {
        // A cookie's name is a token (RFC 6265, section 4.1.1), and so is a pattern: * is
        // one of a token's characters.
        let is_token = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !is_token {
            reader.problem(
                KEY,
                format!("{text:?} is not a valid cookie name"),
                "write a name such as fe_session, or a pattern such as fe_*",
            );
            continue;
        }
        if text.bytes().all(|byte| byte == b'*') {
            reader.warn(
                KEY,
                "every cookie goes to the vendor, the app's own session too",
                "write fe_*, and the names that the vendor needs beside it",
            );
        }
        patterns.push(Pattern::new(text.clone()));
    }
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_gateway_are_refused_in_any_case() {
        for bad in [
            "Authorization",
            "frontegg-tenant-id",
            "Frontegg-User-Id",
            "frontegg-environment-id",
            "frontegg-vendor-id",
            "x-frontegg-forwarded-for",
            "x-frontegg-headers-verifier",
            "x-forwarded-for",
            "X-Forwarded-Host",
            "host",
            "content-length",
            "connection",
            "transfer-encoding",
            "cookie",
            "x-mfa-gateway-key",
            "x-request-id",
            "x_custom",
            "no name",
            "",
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn others_go_on() {
        for good in VENDORS_HARMLESS
            .into_iter()
            .chain(["x-custom", "Accept-Charset"])
        {
            assert!(name(good).is_ok(), "{good:?}");
        }
    }
}

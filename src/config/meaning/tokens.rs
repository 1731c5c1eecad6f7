//! `[subject.user_token]` and `[kubernetes]`: whose tokens are trusted.

use std::fs;

use http::{HeaderName, Uri};

use super::{
    Reader,
    frontegg::{https, roots},
};
use crate::{
    config::{
        caller::{Caller, KnownBy},
        parse_duration,
        tokens::{ActingWith, KeySource, Kubernetes, UserToken},
    },
    model::Signature,
};

const SECTION: &str = "subject.user_token";
const ISSUER: &str = "subject.user_token.issuer";
const KEYS_PATH: &str = "/.well-known/jwks.json";

/// `[subject.user_token]`, for `subject.from = "user-token"`.
pub(super) fn user_token(
    reader: &mut Reader<'_>,
    headers: Option<(HeaderName, HeaderName)>,
) -> Option<UserToken> {
    let issuer = needed(
        reader,
        ISSUER,
        "write what the tokens say in iss: the vendor's host, such as https://acme.frontegg.com",
    );
    let audience = needed(
        reader,
        "subject.user_token.audience",
        "copy the environment's client ID from the vendor's portal: the tokens say it in aud",
    );
    let keys = match key_source(reader, SECTION) {
        Ok(None) => issuer.as_deref().and_then(|text| beside(reader, text)),
        Ok(given) => given,
        Err(Told) => None,
    };
    let signatures = signatures(reader);
    let require_mfa_within = reader.parsed(
        "subject.user_token.require_mfa_within",
        |text| {
            let within = parse_duration(text).filter(|within| !within.is_zero());
            within.ok_or("is not a duration")
        },
        "write it like 10m",
    );
    let credential = match reader.text("subject.user_token.credential") {
        "user" => ActingWith::User,
        _environment => ActingWith::Environment,
    };
    let (tenant_header, user_header) = headers?;
    Some(UserToken {
        tenant_header,
        user_header,
        issuer: issuer?,
        audience: audience?,
        keys: keys?,
        signatures,
        credential,
        require_mfa_within,
        require_mfa_for_enrolment: reader.flag("subject.user_token.require_mfa_for_enrolment"),
    })
}

/// What is written there although nobody reads it.
pub(super) fn user_token_is_unused(reader: &mut Reader<'_>) {
    if reader.differs(SECTION) {
        reader.warn(
            SECTION,
            "has no effect: subject.from is not \"user-token\"",
            "set subject.from = \"user-token\", or remove it",
        );
    }
}

fn needed(reader: &mut Reader<'_>, key: &str, mend: &str) -> Option<String> {
    let text = reader.given(key).map(str::to_owned);
    if text.is_none() && !reader.problems.touch(key) {
        let what = "is needed with subject.from = \"user-token\"";
        reader.missing(key, "subject.from", what, mend);
    }
    text
}

/// A problem was told.
struct Told;

/// `jwks_url` or `jwks_file` of a section.
fn key_source(reader: &mut Reader<'_>, section: &str) -> Result<Option<KeySource>, Told> {
    let (url, file) = (
        format!("{section}.jwks_url"),
        format!("{section}.jwks_file"),
    );
    match (reader.given(&url), reader.path(&file)) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let what = format!("{url} is given too");
            reader.problem(&file, what, "keep one of the two");
            Err(Told)
        }
        (Some(_), None) => match https(reader, &url) {
            Some(url) => Ok(Some(KeySource::Url(url))),
            None => Err(Told),
        },
        (None, Some(path)) => match fs::File::open(&path) {
            Ok(_readable) => Ok(Some(KeySource::File(path))),
            Err(error) => {
                let what = format!("{} can't be read: {error}", path.display());
                reader.problem(
                    &file,
                    what,
                    "put the key set there, and let the gateway read it",
                );
                Err(Told)
            }
        },
    }
}

/// The usual place, below the issuer.
fn beside(reader: &mut Reader<'_>, issuer: &str) -> Option<KeySource> {
    let url = format!("{}{KEYS_PATH}", issuer.trim_end_matches('/'));
    let url = url.parse::<Uri>().ok().filter(|url| {
        let authority = url.authority().map(http::uri::Authority::as_str);
        url.scheme_str() == Some("https") && authority.is_some_and(|text| !text.contains('@'))
    });
    if url.is_none() {
        reader.problem(
            ISSUER,
            "is not an https URL, and the keys are looked for below it",
            "write it as the tokens have it, such as https://acme.frontegg.com, or say in jwks_url where the keys are",
        );
    }
    url.map(KeySource::Url)
}

fn signatures(reader: &mut Reader<'_>) -> Vec<Signature> {
    const KEY: &str = "subject.user_token.algorithms";
    const MEND: &str = "write [\"RS256\"], [\"ES256\"] or both";
    let mut signatures = Vec::new();
    for name in reader.list(KEY) {
        let (what, mend) = match Signature::named(name) {
            Some(signature) => {
                signatures.push(signature);
                continue;
            }
            None if name.starts_with("HS") => (
                "is never accepted: who can check it can forge it",
                "let the vendor sign with RS256, in the portal's environment settings",
            ),
            None => ("is not accepted", MEND),
        };
        reader.problem(KEY, format!("{name:?} {what}"), mend);
    }
    if reader.list(KEY).is_empty() {
        reader.problem(KEY, "is empty: no token would be accepted", MEND);
    }
    signatures
}

/// `[kubernetes]`; `Some(None)` where no caller is known by its service account.
pub(super) fn kubernetes(
    reader: &mut Reader<'_>,
    callers: &[Caller],
) -> Option<Option<Kubernetes>> {
    const ISSUER: &str = "kubernetes.issuer";
    const AUDIENCE: &str = "kubernetes.audience";
    let of_cluster = |caller: &Caller| matches!(caller.known_by, KnownBy::ServiceAccount(_));
    if !callers.iter().any(of_cluster) {
        return Some(None);
    }
    let issuer = reader.given(ISSUER).map(str::to_owned);
    let keys = key_source(reader, "kubernetes");
    if matches!(keys, Ok(Some(_))) && issuer.is_none() && !reader.problems.touch(ISSUER) {
        let near = "kubernetes";
        let what = "is needed where the keys are not asked of the cluster";
        reader.missing(ISSUER, near, what, "write what the tokens say in iss");
    }
    let audience = reader.given(AUDIENCE).map(str::to_owned);
    if audience.is_none() && !reader.problems.touch(AUDIENCE) {
        reader.problem(
            AUDIENCE,
            "is empty: any of the cluster's tokens would be accepted",
            "write mfa-gateway, and project the tokens for this audience",
        );
    }
    let roots = match reader.given("kubernetes.jwks_file") {
        // nobody is asked
        Some(_file) => Some(rustls::RootCertStore::empty().into()),
        None => roots(reader, "kubernetes.ca_file"),
    };
    let token_file = reader.path("kubernetes.token_file");
    Some(Some(Kubernetes {
        audience: audience?,
        issuer,
        keys: keys.ok()?,
        roots: roots?,
        token_file,
    }))
}

//! What is a proxy on the way out, as `HTTPS_PROXY` names one.

use std::net::IpAddr;

use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// The variables that name it, the stronger one first.
pub(crate) const PROXY_VARIABLES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

/// The HTTP proxy that `text` names for the way to `target`, an `https` URI.
pub(crate) fn http_proxy(text: &str, target: &Uri) -> Option<Intercept> {
    // The matcher passes over a proxy that it can't read, as if there were none. Asked without
    // exemptions it has to name one, so a slip of the pen is never a direct way out.
    let found = Matcher::builder().https(text).build().intercept(target);
    found.filter(|found| {
        let uri = found.uri();
        uri.scheme() == Some(&Scheme::HTTP) && uri.host().is_some()
    })
}

/// As Go's and others' clients have it: the environment's proxy can't see our loopback, so it is
/// not asked for the way there.
pub(crate) fn is_past_proxy(target: &Uri) -> bool {
    let host = target.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

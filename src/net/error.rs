//! Why there is no connection, in words for the operator.

use std::{error::Error, fmt, io, sync::Arc};

use hyper_util::client::legacy;
use rustls::CertificateError;

/// A step on the way to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// TCP, to the vendor or the egress proxy.
    Connect,
    /// The egress proxy's tunnel.
    Proxy,
    /// The host's name.
    Resolve,
    /// TLS with the vendor.
    Tls,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the TCP connection",
            Self::Proxy => "the proxy's answer",
            Self::Resolve => "the name's addresses",
            Self::Tls => "the TLS handshake",
        })
    }
}

/// The keys of the configuration that say how a host is reached, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedBy {
    /// Names a private CA.
    pub ca: &'static str,
    /// Names the host.
    pub host: &'static str,
}

impl NamedBy {
    /// The vendor's.
    pub const VENDOR: &'static Self = &Self {
        ca: "frontegg.ca_file",
        host: "frontegg.region, domain, identity_url and auth_url",
    };
}

/// There is no connection, so nothing was sent. `hop` is the host and port that it is about:
/// the egress proxy's, where that is the one that fails. Cloning is a reference count.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address of the host takes a connection.
    #[error("can't connect to {hop}: {reason}")]
    Connect {
        /// Host and port.
        hop: Arc<str>,
        /// What the system says.
        reason: Arc<io::Error>,
    },
    /// The egress proxy doesn't let us through.
    #[error("the proxy {hop} opens no tunnel: {reason}")]
    Proxy {
        /// Host and port of the proxy.
        hop: Arc<str>,
        /// What it says.
        reason: Arc<io::Error>,
    },
    /// The host's name has no address.
    #[error("can't resolve {hop}: {reason}")]
    Resolve {
        /// Host and port.
        hop: Arc<str>,
        /// What the resolver says.
        reason: Arc<io::Error>,
    },
    /// It took too long.
    #[error("no connection to {hop} in time: still waiting for {step}")]
    Timeout {
        /// Host and port.
        hop: Arc<str>,
        /// What was being waited for.
        step: Step,
    },
    /// The host isn't who it should be, or doesn't speak TLS.
    #[error("no TLS with {hop}: {reason}{}", mend(reason, named_by))]
    Tls {
        /// Host and port.
        hop: Arc<str>,
        /// What rustls says.
        reason: Arc<io::Error>,
        /// What to look at.
        named_by: &'static NamedBy,
    },
}

impl ConnectError {
    /// What a client over a [`Connector`](super::Connector) failed of, if there was no connection.
    pub fn cause_of(error: &legacy::Error) -> Option<&Self> {
        Error::source(error)?.downcast_ref()
    }

    /// At which step it failed.
    #[must_use]
    pub const fn step(&self) -> Step {
        match self {
            Self::Connect { .. } => Step::Connect,
            Self::Proxy { .. } => Step::Proxy,
            Self::Resolve { .. } => Step::Resolve,
            Self::Timeout { step, .. } => *step,
            Self::Tls { .. } => Step::Tls,
        }
    }

    /// What rustls found wrong, if it was rustls.
    #[must_use]
    pub fn tls_reason(&self) -> Option<&rustls::Error> {
        match self {
            Self::Tls { reason, .. } => rustls_error(reason),
            Self::Connect { .. }
            | Self::Proxy { .. }
            | Self::Resolve { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What to do about a refused certificate, where there is something to do on this side.
fn mend(error: &io::Error, named_by: &NamedBy) -> String {
    let Some(rustls::Error::InvalidCertificate(certificate)) = rustls_error(error) else {
        return String::new();
    };
    if matches!(certificate, CertificateError::UnknownIssuer) {
        let ca = named_by.ca;
        return format!("; if the host has a private CA, name its certificate in {ca}");
    }
    if matches!(
        certificate,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    ) {
        return "; check this machine's clock".to_owned();
    }
    if matches!(
        certificate,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        return format!("; check {}", named_by.host);
    }
    String::new()
}

/// The way to the vendor can't be taken as it is configured.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SetupError {
    /// The egress proxy can't be used. Its URL may hold a password and isn't shown.
    #[error("{origin} is no proxy that can be used: write http://[user:password@]host:port")]
    Proxy {
        /// The key or variable that names it.
        origin: &'static str,
    },
    /// rustls doesn't take the settings.
    #[error("TLS can't be set up: {0}")]
    Tls(Box<rustls::Error>),
    /// The host is nothing that a certificate can be valid for.
    #[error("'{name}' is no host name: mend {mend}")]
    Name {
        /// As configured.
        name: Box<str>,
        /// The keys that say it.
        mend: &'static str,
    },
}

/// The innermost source of an error: what the system, or the other end, said.
pub(crate) fn root_cause<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// The root cause as an I/O error, since that is what it is under all its wrappings.
pub(super) fn as_io(error: &(dyn Error + 'static)) -> io::Error {
    let root = root_cause(error);
    let kind = root
        .downcast_ref::<io::Error>()
        .map_or(io::ErrorKind::Other, io::Error::kind);
    io::Error::new(kind, root.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_says_how_to_mend_it() {
        let error = |reason| ConnectError::Tls {
            hop: "api.frontegg.com:443".into(),
            reason: Arc::new(io::Error::new(
                io::ErrorKind::InvalidData,
                rustls::Error::InvalidCertificate(reason),
            )),
            named_by: NamedBy::VENDOR,
        };
        let unknown = error(CertificateError::UnknownIssuer);
        assert!(unknown.to_string().contains("frontegg.ca_file"));
        assert!(unknown.tls_reason().is_some());
        let expired = error(CertificateError::Expired);
        assert!(expired.to_string().contains("clock"));
        let wrong = error(CertificateError::NotValidForName);
        assert!(wrong.to_string().contains("frontegg.region"));
        let other = error(CertificateError::BadSignature);
        assert!(other.to_string().ends_with("BadSignature"));
    }
}

//! The names in a client certificate that TLS has verified.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, error::X509Error, extensions::GeneralName, prelude::FromDer,
};

use crate::model::CertificateNames;

/// Why a certificate that was verified names nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateFault {
    /// It was good when its session began, which this connection resumes.
    #[error("it is not good at this time")]
    NotNow,
    /// It is no X.509.
    #[error(transparent)]
    Unreadable(#[from] X509Error),
}

/// The names in the first certificate of a verified chain; `None` where none was shown.
pub(super) fn names(
    chain: Option<&[CertificateDer<'_>]>,
) -> Result<Option<CertificateNames>, CertificateFault> {
    let Some(leaf) = chain.and_then(<[_]>::first) else {
        return Ok(None);
    };
    let parsed = X509Certificate::from_der(leaf);
    let (_rest, certificate) = parsed.map_err(X509Error::from)?;
    // SECURITY: a resumed session is not verified again, and tickets outlive short certificates.
    if !certificate.validity().is_valid() {
        return Err(CertificateFault::NotNow);
    }
    let mut names = CertificateNames::default();
    let mut uris = Vec::new();
    if let Some(alternatives) = certificate.subject_alternative_name()? {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(dns) = name {
                names.dns.push(dns.to_ascii_lowercase().into());
            } else if let GeneralName::URI(uri) = name {
                uris.push(*uri);
            }
        }
    }
    // an SVID has exactly one URI (the X509-SVID standard, section 2)
    if let [only] = uris.as_slice()
        && only.starts_with("spiffe://")
    {
        names.spiffe_id = Some((*only).into());
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(uris: &[&str], dns: &[&str], last_year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let uri = |text: &&str| SanType::URI((*text).try_into().unwrap());
        let name = |text: &&str| SanType::DnsName((*text).try_into().unwrap());
        params.subject_alt_names = uris.iter().map(uri).chain(dns.iter().map(name)).collect();
        params.not_after = date_time_ymd(last_year, 1, 1);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .into()
    }

    fn read(uris: &[&str], dns: &[&str]) -> CertificateNames {
        names(Some(&[certificate(uris, dns, 4000)]))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn the_one_spiffe_id_and_all_dns_names_are_read() {
        let read = read(
            &["spiffe://example.org/login"],
            &["Login.Internal", "b.internal"],
        );
        assert_eq!(
            read.spiffe_id.as_deref(),
            Some("spiffe://example.org/login")
        );
        assert_eq!(read.dns, ["login.internal", "b.internal"].map(Box::from));
        assert!(names(None).unwrap().is_none());
        assert!(names(Some(&[])).unwrap().is_none());
    }

    #[test]
    fn more_than_one_uri_or_another_is_no_spiffe_id() {
        assert_eq!(read(&["spiffe://a/b", "spiffe://a/c"], &[]).spiffe_id, None);
        assert_eq!(read(&["spiffe://a/b", "https://a/c"], &[]).spiffe_id, None);
        assert_eq!(read(&["https://a/c"], &[]).spiffe_id, None);
        assert_eq!(read(&[], &[]), CertificateNames::default());
    }

    #[test]
    fn one_that_has_ended_or_is_none_names_nobody() {
        let ended = names(Some(&[certificate(&[], &["a.internal"], 2001)]));
        assert!(matches!(ended, Err(CertificateFault::NotNow)));
        let garbage = names(Some(&[CertificateDer::from_slice(b"garbage")]));
        assert!(matches!(garbage, Err(CertificateFault::Unreadable(_))));
    }
}

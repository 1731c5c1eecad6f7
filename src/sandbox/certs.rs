//! The stand-in's own certificate authority, and the certificates that it gives out:
//! good ones, and those that a client must refuse.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The names that the stand-in is reached by.
pub const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("can't make the sandbox's certificates")]
pub struct CertificateError(#[from] rcgen::Error);

/// A certificate authority whose key never leaves this machine.
pub struct Authority {
    der: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as rustls takes them.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, signed by an [`Authority`].
    pub certificate: CertificateDer<'static>,
    /// Its private key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
    /// The certificate as PEM, for a file.
    pub certificate_pem: String,
    /// The private key as PEM, for a file.
    pub key_pem: String,
}

impl Authority {
    /// A new authority of this name, with a key of its own.
    ///
    /// # Errors
    /// Where the system has no random numbers.
    pub fn new(name: &str) -> Result<Self, CertificateError> {
        Self::with_key(name, KeyPair::generate()?)
    }

    /// The authority of this name whose key was kept, see [`Self::key_pem`]. Its
    /// certificate is signed anew, yet who trusts the old one trusts what it signs.
    ///
    /// # Errors
    /// Where the text is no private key.
    pub fn from_key_pem(name: &str, key: &str) -> Result<Self, CertificateError> {
        Self::with_key(name, KeyPair::from_pem(key)?)
    }

    fn with_key(name: &str, key: KeyPair) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            der: certificate.into(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's certificate, to trust.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The same as PEM, for a `ca_file`.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The private key, to keep the authority from one run to the next.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for these host names and addresses, good for server and client.
    ///
    /// # Errors
    /// Where a name is none.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, CertificateError> {
        self.sign(Self::leaf(names)?)
    }

    /// The same, but expired in the year 2000.
    ///
    /// # Errors
    /// Where a name is none.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Identity, CertificateError> {
        let mut params = Self::leaf(names)?;
        params.not_after = date_time_ymd(2000, 1, 1);
        self.sign(params)
    }

    /// A certificate for a client: a workload with these URIs (a SPIFFE ID is one) and host names.
    /// It ends at `until`, where that is given.
    ///
    /// # Errors
    /// Where a name is none.
    pub fn issue_client(
        &self,
        uris: &[&str],
        names: &[&str],
        until: Option<SystemTime>,
    ) -> Result<Identity, CertificateError> {
        let mut params = Self::leaf(names)?;
        for &uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(until) = until {
            params.not_after = until.into();
        }
        self.sign(params)
    }

    fn leaf(names: &[&str]) -> Result<CertificateParams, CertificateError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let common_name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Ok(params)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the parameters are made for this one certificate"
    )]
    fn sign(&self, params: CertificateParams) -> Result<Identity, CertificateError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            certificate: certificate.into(),
            key_pem: key.serialize_pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_was_kept_signs_under_the_same_key() {
        let first = Authority::new("kept").unwrap();
        let again = Authority::from_key_pem("kept", &first.key_pem()).unwrap();
        assert_eq!(first.key_pem(), again.key_pem());
        assert!(Authority::from_key_pem("kept", "no key").is_err());
    }

    #[test]
    fn a_certificate_and_its_key_are_given_as_pem_too() {
        let authority = Authority::new("test").unwrap();
        let identity = authority.issue(LOOPBACK).unwrap();
        assert!(
            identity
                .certificate_pem
                .starts_with("-----BEGIN CERTIFICATE")
        );
        assert!(identity.key_pem.starts_with("-----BEGIN PRIVATE KEY"));
        assert!(authority.issue(&["caf\u{e9}.example"]).is_err());
    }
}

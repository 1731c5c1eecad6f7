//! What makes the vendor believe the user's address: its "Inject client IP".

use std::{io, net::IpAddr};

use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::names::{FORWARDED_FOR, HEADERS_VERIFIER, VENDOR_ID};
use crate::config::{Frontegg, SecretSource};

/// The shared secret and the environment's client id. The credential is the third of them.
#[derive(Clone, Debug)]
pub struct AddressProof {
    /// The application's shared secret.
    verifier: HeaderValue,
    /// The environment's client id.
    vendor_id: HeaderValue,
}

impl AddressProof {
    /// Reads what is configured; `None` where the vendor is not to be told addresses.
    ///
    /// # Errors
    /// Where a file can't be read, or holds what can't travel in a header.
    pub fn read(settings: &Frontegg) -> io::Result<Option<Self>> {
        let Some(shared) = &settings.client_ip_secret else {
            return Ok(None);
        };
        let header = |source: &SecretSource| {
            let mut value = HeaderValue::from_str(source.read()?.expose_secret())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            value.set_sensitive(true);
            io::Result::Ok(value)
        };
        Ok(Some(Self {
            verifier: header(shared)?,
            vendor_id: header(&settings.client_id)?,
        }))
    }

    /// The address and what makes it believed.
    pub(super) fn fields(&self, client: IpAddr) -> [(HeaderName, HeaderValue); 3] {
        #[expect(
            clippy::expect_used,
            reason = "an address is written in digits, letters, dots and colons"
        )]
        let address = HeaderValue::from_str(&client.to_string()).expect("an address as text");
        [
            (FORWARDED_FOR, address),
            (HEADERS_VERIFIER, self.verifier.clone()),
            (VENDOR_ID, self.vendor_id.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::Ca;

    #[test]
    fn the_address_leaves_with_what_makes_it_believed_or_not_at_all() {
        let mut settings = Ca::new().settings(([127, 0, 0, 1], 8443).into());
        assert!(AddressProof::read(&settings).unwrap().is_none());
        settings.client_ip_secret = Some(SecretSource::Inline("shared".into()));
        let proof = AddressProof::read(&settings).unwrap().unwrap();
        let fields = proof.fields(IpAddr::from([203, 0, 113, 9]));
        let sent = fields
            .each_ref()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let expected: [(&str, &[u8]); 3] = [
            ("x-frontegg-forwarded-for", b"203.0.113.9"),
            ("x-frontegg-headers-verifier", b"shared"),
            ("frontegg-vendor-id", b"the-client-id"),
        ];
        assert_eq!(sent, expected);
        assert!(fields[1].1.is_sensitive());
        assert!(!format!("{proof:?}").contains("shared"), "{proof:?}");
    }
}

//! What makes the vendor believe the user's address: its "Inject client IP".

use std::{io, net::IpAddr};

use http::{HeaderMap, HeaderValue};
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

    /// Puts the address and what makes it believed into a request.
    pub(super) fn add(&self, client: IpAddr, headers: &mut HeaderMap) {
        #[expect(
            clippy::expect_used,
            reason = "an address is written in digits, letters, dots and colons"
        )]
        let address = HeaderValue::from_str(&client.to_string()).expect("an address as text");
        headers.insert(FORWARDED_FOR, address);
        headers.insert(HEADERS_VERIFIER, self.verifier.clone());
        headers.insert(VENDOR_ID, self.vendor_id.clone());
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
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
        proof.add(IpAddr::from([203, 0, 113, 9]), &mut headers);
        let values = [FORWARDED_FOR, HEADERS_VERIFIER, VENDOR_ID].map(|name| {
            let values: Vec<_> = headers.get_all(name).iter().cloned().collect();
            values
        });
        assert_eq!(values, [["203.0.113.9"], ["shared"], ["the-client-id"]]);
        assert!(headers[HEADERS_VERIFIER].is_sensitive());
        assert!(!format!("{proof:?}").contains("shared"), "{proof:?}");
    }
}

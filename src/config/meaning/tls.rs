//! `[listen.tls]`.

use std::path::PathBuf;

use rustls::{
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Reader,
    certificate::{certificates, roots_in},
};
use crate::config::settings::ListenTls;

/// `None` where the listener has none, or where it is wrong.
pub(super) fn tls(reader: &mut Reader<'_>, table: &str) -> Option<ListenTls> {
    let [certificate, private_key, client_ca] =
        ["certificate_file", "private_key_file", "client_ca_file"]
            .map(|name| format!("{table}.tls.{name}"));
    let (certificate_file, private_key_file) =
        certificate_and_key(reader, &certificate, &private_key, &client_ca)?;
    let chain = certificates(reader, &certificate, &certificate_file);
    let client_ca_file = client_ca_file(reader, &client_ca);
    let key = PrivateKeyDer::from_pem_file(&private_key_file).map_err(|error| {
        let what = format!(
            "{} holds no private key: {error}",
            private_key_file.display()
        );
        reader.problem(
            &private_key,
            what,
            "name a readable PEM file with an unencrypted key",
        );
    });
    reader.guard_mode(&private_key, &private_key_file);
    let (Some(chain), Ok(key)) = (chain, key) else {
        return None;
    };
    if let Err(error) = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        reader.problem(
            &private_key,
            format!("doesn't serve the certificate: {error}"),
            "name the key that the certificate was made for",
        );
        return None;
    }
    Some(ListenTls {
        certificate_file,
        private_key_file,
        client_ca_file,
    })
}

/// The two files without which there is no TLS; `None` where neither is named, or one is missing.
fn certificate_and_key(
    reader: &mut Reader<'_>,
    certificate: &str,
    private_key: &str,
    client_ca: &str,
) -> Option<(PathBuf, PathBuf)> {
    match (reader.path(certificate), reader.path(private_key)) {
        (Some(chain), Some(key)) => return Some((chain, key)),
        (None, None) if reader.given(client_ca).is_none() => {}
        (None, None) => reader.missing(
            certificate,
            client_ca,
            "is needed beside client_ca_file: the listener would speak plain HTTP",
            "name the PEM file with its certificate chain, and in private_key_file the one with its private key",
        ),
        (Some(_), None) => reader.missing(
            private_key,
            certificate,
            "is needed beside the certificate",
            "name the PEM file with its private key",
        ),
        (None, Some(_)) => reader.missing(
            certificate,
            private_key,
            "is needed beside the private key",
            "name the PEM file with its certificate chain",
        ),
    }
    None
}

fn client_ca_file(reader: &mut Reader<'_>, key: &str) -> Option<PathBuf> {
    let file = reader.path(key)?;
    roots_in(reader, key, &file).map(|_usable| file)
}

//! Certificates in files: that they are there, and for how long they are good.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::Reader;

/// Who has less time left than this hears of it: 30 days, in seconds.
const SOON: i64 = 30 * 24 * 60 * 60;

/// The certificates in a PEM file; at least one.
pub(super) fn certificates(
    reader: &mut Reader<'_>,
    key: &str,
    file: &Path,
) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let why = match read {
        Ok(certificates) if !certificates.is_empty() => {
            warn_of_time(reader, key, file, &certificates);
            return Some(certificates);
        }
        Ok(_none) => "there is none in it".to_owned(),
        Err(error) => error.to_string(),
    };
    let what = format!("{} holds no certificate: {why}", file.display());
    reader.problem(key, what, "name a readable PEM file with certificates");
    None
}

/// A PEM file's certificates as those of CAs that are trusted.
pub(super) fn roots_in(reader: &mut Reader<'_>, key: &str, file: &Path) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(reader, key, file)? {
        if let Err(error) = roots.add(certificate) {
            let what = format!(
                "{} holds a certificate that can't be used: {error}",
                file.display()
            );
            reader.problem(key, what, "name a PEM file with CA certificates");
            return None;
        }
    }
    Some(roots)
}

/// Warns where one of them has ended, ends soon or has not begun.
fn warn_of_time(
    reader: &mut Reader<'_>,
    key: &str,
    file: &Path,
    certificates: &[CertificateDer<'_>],
) {
    const MEND: &str = "put a new one there in time";
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default();
    let spans = certificates.iter().filter_map(|certificate| {
        let (_rest, certificate) = X509Certificate::from_der(certificate).ok()?;
        let validity = certificate.validity();
        Some((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ))
    });
    let Some((begin, end)) = spans.reduce(|one, two| (one.0.max(two.0), one.1.min(two.1))) else {
        return;
    };
    let file = file.display();
    if end < now {
        reader.warn(
            key,
            format!("a certificate in {file} ended on {}", day(end)),
            MEND,
        );
    } else if end < now.saturating_add(SOON) {
        reader.warn(
            key,
            format!("a certificate in {file} ends on {}", day(end)),
            MEND,
        );
    } else if begin > now {
        let what = format!("a certificate in {file} is not good before {}", day(begin));
        reader.warn(key, what, "set the clock, or wait until then");
    }
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_out_of_range| "a day beyond all calendars".to_owned(),
        |time| time.strftime("%F %T UTC").to_string(),
    )
}

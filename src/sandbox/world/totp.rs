//! Codes of authenticator apps (RFC 6238): SHA-1, 6 digits, 30 seconds, one step of
//! leeway either way, as all apps have it.
//!
//! A code is taken again within its time, which RFC 6238 (5.2) forbids to a real
//! service: here a walk through login and disabling needn't wait half a minute.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use totp_rs::{Builder, Secret, Totp};

use crate::sandbox::random;

/// What the app shows as the account's owner.
const ISSUER: &str = "Sandbox";

/// The code that an app with this base32 secret shows at `time`, in seconds since
/// 1970. `None` where the text is no secret of at least 128 bits.
#[must_use]
pub fn code(secret: &str, time: u64) -> Option<String> {
    Some(totp(secret)?.generate(time).to_string())
}

/// Whether an app with this secret shows, showed just before or is about to show `code`.
#[must_use]
pub fn accepts(secret: &str, code: &str, time: u64) -> bool {
    totp(secret).is_some_and(|totp| totp.check(code, time).is_some())
}

/// A new secret of 160 bits, base32.
#[must_use]
pub fn new_secret() -> String {
    Secret::from(random::bytes::<20>()).to_base32()
}

/// What the enrolment's QR code says: a URI that authenticator apps read.
#[must_use]
pub fn uri(secret: &str, account: &str) -> String {
    let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
    format!(
        "otpauth://totp/{ISSUER}:{account}?secret={secret}&issuer={ISSUER}\
         &algorithm=SHA1&digits=6&period=30"
    )
}

fn totp(secret: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok()?;
    Builder::new().with_secret(secret).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // appendix B, SHA-1, of its eight digits the last six
        let secret = Secret::from(*b"12345678901234567890").to_base32();
        for (time, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(&secret, time).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_code_is_good_one_step_either_way() {
        let secret = new_secret();
        let now = 1_800_000_000;
        let shown = code(&secret, now).unwrap();
        assert!(accepts(&secret, &shown, now - 30));
        assert!(accepts(&secret, &shown, now + 59));
        assert!(!accepts(&secret, "", now));
        assert!(!accepts("no secret", &shown, now));
    }

    #[test]
    fn the_uri_names_account_and_secret() {
        assert_eq!(
            uri("ABC", "a@b.example"),
            "otpauth://totp/Sandbox:a%40b%2Eexample?secret=ABC&issuer=Sandbox\
             &algorithm=SHA1&digits=6&period=30"
        );
    }
}

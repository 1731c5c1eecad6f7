//! Tokens, ids and codes that nobody guesses.

use std::fmt::Write;

/// `N` random bytes.
#[expect(
    clippy::expect_used,
    reason = "a system without random numbers can't do TLS either"
)]
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// 128 bits as 32 hexadecimal digits: for tokens.
pub(super) fn token() -> String {
    hex(&bytes::<16>())
}

/// A version 4 UUID (RFC 9562): for ids.
pub(super) fn id() -> String {
    uuid::Builder::from_random_bytes(bytes())
        .into_uuid()
        .to_string()
}

/// Six decimal digits: for codes that are sent.
pub(super) fn code() -> String {
    let number = u32::from_be_bytes(bytes());
    format!("{:06}", number.checked_rem(1_000_000).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a String can't fail
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_ids_and_codes_have_their_shapes() {
        assert_eq!(token().len(), 32);
        assert_ne!(token(), token());
        assert_eq!(id().len(), 36);
        assert_eq!(code().len(), 6);
        assert!(code().bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}

//! The compact form of a signed token (RFC 7515, section 7.1), read but not believed.

use jsonwebtoken::{Algorithm, Header, decode_header};

use super::JwtError;
use crate::model::Signature;

/// A token of which nothing is known but its form.
pub struct Compact<'t> {
    /// All of it.
    pub(super) text: &'t str,
    pub(super) signature: Signature,
    pub(super) key_id: Option<String>,
}

/// Bytes of a token. Servers on the way take 8 KiB to 16 KiB of a header.
const LONGEST: usize = 16 * 1024;

impl<'t> Compact<'t> {
    /// Reads a token's header.
    ///
    /// # Errors
    /// [`JwtError::Malformed`] where it isn't three parts under a header that is understood, or is
    /// signed in a way that nobody knows (`none` is one); [`JwtError::Algorithm`] where none of
    /// `accepted` signed it.
    pub fn parse(text: &'t str, accepted: &[Signature]) -> Result<Self, JwtError> {
        if text.len() > LONGEST {
            return Err(JwtError::Malformed("it is too long"));
        }
        let Header { alg, kid, crit, .. } = decode_header(text).map_err(|_quotes| {
            JwtError::Malformed("it has not three parts under a header that can be read")
        })?;
        // SECURITY: jsonwebtoken reads what must be understood (RFC 7515, section 4.1.11), and
        // leaves it at that. Nothing of it is.
        if crit.is_some() {
            return Err(JwtError::Malformed("its header demands an extension"));
        }
        let signature = accepted
            .iter()
            .copied()
            .find(|signature| algorithm(*signature) == alg)
            .ok_or(JwtError::Algorithm)?;
        Ok(Self {
            text,
            signature,
            key_id: kid,
        })
    }
}

/// A signature by jsonwebtoken's name, which has many more.
pub(super) const fn algorithm(signature: Signature) -> Algorithm {
    match signature {
        Signature::Es256 => Algorithm::ES256,
        Signature::Rs256 => Algorithm::RS256,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn parse(header: &str) -> Result<Option<String>, JwtError> {
        let text = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        Compact::parse(&text, &[Signature::Rs256]).map(|token| token.key_id)
    }

    #[test]
    fn a_header_is_read_once_and_wholly_understood() {
        let good = parse(r#"{"alg":"RS256","kid":"k","typ":"JWT","new":1}"#);
        assert_eq!(good, Ok(Some("k".to_owned())));
        assert_eq!(parse(r#"{"alg":"RS256"}"#), Ok(None));
        for (header, error) in [
            (r#"{"alg":"HS256"}"#, JwtError::Algorithm),
            (r#"{"alg":"ES256"}"#, JwtError::Algorithm),
            (
                r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
                JwtError::Malformed("its header demands an extension"),
            ),
            (
                r#"{"alg":"RS256","crit":[]}"#,
                JwtError::Malformed("its header demands an extension"),
            ),
        ] {
            assert_eq!(parse(header), Err(error), "{header}");
        }
        for header in [
            "",
            "[]",
            "{}",
            r#"{"alg":"none"}"#,
            r#"{"alg":"NONE"}"#,
            r#"{"alg":"rs256"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","crit":1}"#,
            r#"{"alg":"RS256""#,
        ] {
            assert!(
                matches!(parse(header), Err(JwtError::Malformed(_))),
                "{header}"
            );
        }
    }

    #[test]
    fn a_token_is_three_parts_and_bounded() {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let accepted = &[Signature::Rs256];
        assert!(Compact::parse(&format!("{head}.e30.AAAA"), accepted).is_ok());
        for text in [
            String::new(),
            head.clone(),
            format!("{head}.e30"),
            format!("{head}.e30.AAAA.AAAA"),
            format!("{head}=.e30.AAAA"),
            format!(" {head}.e30.AAAA"),
            format!("{head}.{}.AAAA", "A".repeat(LONGEST)),
        ] {
            let parsed = Compact::parse(&text, accepted).map(|_token| ());
            assert!(matches!(parsed, Err(JwtError::Malformed(_))), "{text}");
        }
    }
}

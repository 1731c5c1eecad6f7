//! The compact form of a signed token (RFC 7515, section 7.1), read but not believed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

use super::JwtError;
use crate::model::Signature;

/// A token of which nothing is known but its form.
pub struct Compact<'t> {
    pub(super) signature: Signature,
    pub(super) key_id: Option<String>,
    /// Header and payload as they came: what was signed.
    pub(super) signed: &'t [u8],
    payload: &'t str,
    proof: &'t str,
}

/// What of the header is read; a name that stands twice is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// Bytes of a token. Servers on the way take 8 KiB to 16 KiB of a header.
const LONGEST: usize = 16 * 1024;

impl<'t> Compact<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`JwtError::Malformed`] where it isn't three parts in base64url under a header that is
    /// understood; [`JwtError::Algorithm`] where none of `accepted` signed it.
    pub fn parse(text: &'t str, accepted: &[Signature]) -> Result<Self, JwtError> {
        if text.len() > LONGEST {
            return Err(JwtError::Malformed("it is too long"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(proof), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Malformed("it has not three parts"));
        };
        let header: Header = serde_json::from_slice(&decode(header)?)
            .map_err(|_quotes| JwtError::Malformed("its header can't be read"))?;
        if header.crit.is_some() {
            // what must be understood (RFC 7515, section 4.1.11) is not
            return Err(JwtError::Malformed("its header demands an extension"));
        }
        let signature = Signature::named(&header.alg)
            .filter(|signature| accepted.contains(signature))
            .ok_or(JwtError::Algorithm)?;
        let signed = text
            .len()
            .checked_sub(proof.len().saturating_add(1))
            .and_then(|end| text.as_bytes().get(..end));
        Ok(Self {
            signature,
            key_id: header.kid,
            signed: signed.unwrap_or_default(),
            payload,
            proof,
        })
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, JwtError> {
        decode(self.payload)
    }

    pub(super) fn proof(&self) -> Result<Vec<u8>, JwtError> {
        decode(self.proof)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_quotes| JwtError::Malformed("it is not base64url throughout"))
}

#[cfg(test)]
mod tests {
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
            (r#"{"alg":"none"}"#, JwtError::Algorithm),
            (r#"{"alg":"NONE"}"#, JwtError::Algorithm),
            (r#"{"alg":"HS256"}"#, JwtError::Algorithm),
            (r#"{"alg":"ES256"}"#, JwtError::Algorithm),
            (r#"{"alg":""}"#, JwtError::Algorithm),
            (
                r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
                JwtError::Malformed("its header demands an extension"),
            ),
        ] {
            assert_eq!(parse(header), Err(error), "{header}");
        }
        for header in [
            "",
            "[]",
            "{}",
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256""#,
        ] {
            assert!(
                matches!(parse(header), Err(JwtError::Malformed(_))),
                "{header}"
            );
        }
    }

    #[test]
    fn a_token_is_three_parts_of_base64url() {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let accepted = &[Signature::Rs256];
        let whole = format!("{head}.e30.AAAA");
        let token = Compact::parse(&whole, accepted).unwrap();
        assert_eq!(token.signed, format!("{head}.e30").as_bytes());
        assert_eq!(token.payload().unwrap(), b"{}");
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
        // several spellings of one signature would be several tokens
        for proof in ["AAA=", "AAAB==", "AB", "A+/A"] {
            let text = format!("{head}.e30.{proof}");
            let token = Compact::parse(&text, accepted).unwrap();
            assert!(token.proof().is_err(), "{proof}");
        }
    }
}

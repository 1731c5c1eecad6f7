//! The public keys of an issuer: a JSON Web Key Set (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{Compact, JwtError};
use crate::model::Signature;

/// An issuer's keys.
///
/// Invariant: at least one, each for one kind of signature.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    signature: Signature,
    public: ParsedPublicKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.signature.as_str(), self.id)
    }
}

/// What a token says, once it is known that its issuer signed it. Made only by [`KeySet::verify`].
pub struct Authentic(Vec<u8>);

impl Authentic {
    pub(super) fn payload(&self) -> &[u8] {
        &self.0
    }

    /// As if somebody had signed it, to read what nobody would sign.
    #[cfg(any(test, fuzzing))]
    pub(super) fn forged(payload: &[u8]) -> Self {
        Self(payload.to_vec())
    }
}

/// The text is no key set that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// None at all.
    #[error("it is no JSON object with a list 'keys'")]
    Malformed,
    /// One, but of other keys.
    #[error(
        "of its {0} keys none can be used: they must be for signatures, RSA of 2048 bits or more \
         with RS256, or EC on P-256 with ES256"
    )]
    NoUsableKey(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// One key as it is published. Members that are for other kinds of keys are passed over.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set. Keys that are for something else, or not understood, are passed over
    /// (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`KeySetError`] where no key is left.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let document: Document =
            serde_json::from_slice(text).map_err(|_quotes| KeySetError::Malformed)?;
        let count = document.keys.len();
        let keys: Vec<Key> = document.keys.into_iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey(count));
        }
        Ok(Self(keys))
    }

    /// How many keys it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Checks that the key that a token names signed it. A token that names none must be of the
    /// set's only key for its kind of signature.
    ///
    /// # Errors
    /// [`JwtError::UnknownKey`], [`JwtError::Algorithm`] where the key is for another kind of
    /// signature, [`JwtError::Signature`].
    pub fn verify(&self, token: &Compact<'_>) -> Result<Authentic, JwtError> {
        let (payload, proof) = (token.payload()?, token.proof()?);
        let named = |key: &&Key| token.key_id.is_none() || key.id == token.key_id;
        let mut candidates = self.0.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Err(JwtError::UnknownKey);
        }
        // SECURITY: the key says what it is for; the token's word alone never chooses.
        let mut fitting = candidates.filter(|key| key.signature == token.signature);
        let first = fitting.next().ok_or(JwtError::Algorithm)?;
        if token.key_id.is_none() && fitting.next().is_some() {
            return Err(JwtError::UnknownKey);
        }
        let signed_by = |key: &Key| key.public.verify_sig(token.signed, &proof).is_ok();
        if signed_by(first) || fitting.any(signed_by) {
            return Ok(Authentic(payload));
        }
        Err(JwtError::Signature)
    }
}

/// A key that can be used for what we are here for.
fn key(published: Value) -> Option<Key> {
    let jwk = Jwk::deserialize(published).ok()?;
    let is_for_signatures = jwk
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == "sig")
        && jwk
            .key_ops
            .as_ref()
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !is_for_signatures {
        return None;
    }
    let signature = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("EC", Some("P-256")) => Signature::Es256,
        ("RSA", _) => Signature::Rs256,
        _ => return None,
    };
    if jwk
        .alg
        .as_deref()
        .is_some_and(|alg| alg != signature.as_str())
    {
        return None;
    }
    let public = match signature {
        Signature::Es256 => p256(&bytes(jwk.x)?, &bytes(jwk.y)?),
        Signature::Rs256 => rsa(&bytes(jwk.n)?, &bytes(jwk.e)?),
    };
    Some(Key {
        id: jwk.kid,
        signature,
        public: public?,
    })
}

fn bytes(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// The point as SEC 1 writes it, uncompressed.
fn p256(x: &[u8], y: &[u8]) -> Option<ParsedPublicKey> {
    let point = [&[4], x, y].concat();
    let whole = x.len() == 32 && y.len() == 32;
    whole.then(|| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok())?
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<ParsedPublicKey> {
    /// 2048 bits; and what takes long to check is no key of an honest issuer's.
    const BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
    let unpadded = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number.get(zeros..).unwrap_or_default().to_vec()
    };
    let components = RsaPublicKeyComponents {
        n: unpadded(modulus),
        e: unpadded(exponent),
    };
    if !BYTES.contains(&components.n.len()) {
        return None;
    }
    components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::testing::Issuer, *};

    const BOTH: &[Signature] = &Signature::ALL;

    fn verify(keys: &KeySet, token: &str) -> Result<Vec<u8>, JwtError> {
        let token = Compact::parse(token, BOTH)?;
        keys.verify(&token)
            .map(|authentic| authentic.payload().to_vec())
    }

    fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn what_the_named_key_signed_is_believed() {
        let (rsa, ec) = (Issuer::rsa("r"), Issuer::p256("e"));
        let keys = set(&[rsa.jwk(), ec.jwk()]).unwrap();
        for issuer in [&rsa, &ec] {
            let token = issuer.sign(&json!({"sub": "u"}));
            assert_eq!(verify(&keys, &token), Ok(br#"{"sub":"u"}"#.to_vec()));
        }
    }

    #[test]
    fn a_key_does_only_what_it_is_for() {
        let (rsa, ec) = (Issuer::rsa("r"), Issuer::p256("e"));
        let keys = set(&[rsa.jwk(), ec.jwk()]).unwrap();
        let say = json!({"sub": "u"});
        let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
        // right signatures, under another key's name or another algorithm's
        let crossed = rsa.sign_under(&header("RS256", "e"), &say);
        assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
        let crossed = ec.sign_under(&header("RS256", "e"), &say);
        assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
        let crossed = ec.sign_under(&header("ES256", "r"), &say);
        assert_eq!(verify(&keys, &crossed), Err(JwtError::Algorithm));
        let renamed = rsa.sign_under(&header("RS256", "x"), &say);
        assert_eq!(verify(&keys, &renamed), Err(JwtError::UnknownKey));
        let anothers = Issuer::rsa("r").sign(&say);
        assert_eq!(verify(&keys, &anothers), Err(JwtError::Signature));
        for alg in ["none", "HS256", "RS384", "PS256"] {
            let token = rsa.sign_under(&header(alg, "r"), &say);
            assert_eq!(verify(&keys, &token), Err(JwtError::Algorithm), "{alg}");
        }
    }

    #[test]
    fn the_public_key_is_no_secret() {
        use aws_lc_rs::hmac;
        let rsa = Issuer::rsa("r");
        let keys = set(&[rsa.jwk()]).unwrap();
        let jwk = rsa.jwk();
        let modulus = jwk["n"].as_str().unwrap();
        for secret in [
            modulus.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        ] {
            let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"r"}"#);
            let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(r#"{"sub":"u"}"#));
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, &secret),
                signed.as_bytes(),
            );
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(verify(&keys, &token), Err(JwtError::Algorithm));
            // and the same MAC passed off as a signature
            let token = token.replace(
                &head,
                &URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"r"}"#),
            );
            assert_eq!(verify(&keys, &token), Err(JwtError::Signature));
        }
    }

    #[test]
    fn a_token_that_names_no_key_is_of_the_only_one() {
        let (one, two, ec) = (Issuer::rsa("1"), Issuer::rsa("2"), Issuer::p256("e"));
        let token = one.sign_under(&json!({"alg": "RS256"}), &json!({}));
        assert!(verify(&set(&[one.jwk(), ec.jwk()]).unwrap(), &token).is_ok());
        let several = set(&[one.jwk(), two.jwk()]).unwrap();
        assert_eq!(verify(&several, &token), Err(JwtError::UnknownKey));
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        let mut good = Issuer::p256("good").jwk();
        let rsa = Issuer::rsa("r").jwk();
        let change = |name: &str, value: Value| {
            let mut changed = rsa.clone();
            changed[name] = value;
            changed
        };
        let others = vec![
            change("use", "enc".into()),
            change("alg", "RS512".into()),
            change("alg", "HS256".into()),
            change("key_ops", json!(["sign"])),
            change("kty", "oct".into()),
            change("kty", "EC".into()),
            change("n", "AQAB".into()),
            change("n", Value::Null),
            change("n", URL_SAFE_NO_PAD.encode([255_u8; 2048]).into()),
            change("e", "!".into()),
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-384", "x": good["x"], "y": good["y"]}),
            json!({"kty": "EC", "crv": "P-256", "x": good["x"], "y": good["x"]}),
            json!({"kty": "EC", "crv": "P-256", "x": "AQAB", "y": good["y"]}),
            json!("key"),
        ];
        let count = others.len();
        assert_eq!(set(&others).unwrap_err(), KeySetError::NoUsableKey(count));
        good["key_ops"] = json!(["verify"]);
        let mut all = others;
        all.push(good);
        assert_eq!(set(&all).unwrap().count(), 1);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            let refused = KeySet::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refused, KeySetError::Malformed, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_change_to_a_token_is_seen(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            thread_local! {
                static ISSUED: (KeySet, String) = {
                    let issuer = Issuer::p256("e");
                    let token = issuer.sign(&json!({"sub": "u", "exp": 1}));
                    (set(&[issuer.jwk()]).unwrap(), token)
                };
            }
            ISSUED.with(|(keys, token)| {
                let mut changed = token.clone().into_bytes();
                let at = place.index(changed.len());
                changed[at] = byte;
                if let Ok(changed) = String::from_utf8(changed)
                    && changed != *token
                {
                    prop_assert!(verify(keys, &changed).is_err());
                }
                Ok(())
            })?;
        }
    }
}

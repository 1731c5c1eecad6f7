//! The public keys of an issuer: a JSON Web Key Set (RFC 7517).

#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use jsonwebtoken::{
    DecodingKey, DecodingKeyKind, Validation, decode,
    errors::{Error, ErrorKind},
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations,
        PublicKeyUse,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Compact, JwtError, compact::algorithm};
use crate::model::Signature;

/// An issuer's keys.
///
/// Invariant: at least one, each for one kind of signature.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    signature: Signature,
    public: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.signature.as_str(), self.id)
    }
}

/// What a token says, once it is known that its issuer signed it. Made only by [`KeySet::verify`].
pub struct Authentic(Map<String, Value>);

impl Authentic {
    pub(super) const fn claims(&self) -> &Map<String, Value> {
        &self.0
    }

    /// As if somebody had signed it, to read what nobody would sign.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn forged(claims: Map<String, Value>) -> Self {
        Self(claims)
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
        let mut verified = signed_by(first, token);
        for another in fitting {
            if verified != Err(JwtError::Signature) {
                break;
            }
            verified = signed_by(another, token);
        }
        verified.map(Authentic)
    }
}

/// What a token says, if this key signed it.
fn signed_by(key: &Key, token: &Compact<'_>) -> Result<Map<String, Value>, JwtError> {
    let mut validation = Validation::new(algorithm(key.signature));
    // what a token must say is checked where it is read: see `claims`
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match decode(token.text, &key.public, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &Error) -> JwtError {
    if matches!(error.kind(), ErrorKind::InvalidSignature) {
        return JwtError::Signature;
    }
    JwtError::Malformed("it is not base64url throughout, or says no JSON object")
}

/// A key that can be used for what we are here for.
fn key(published: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(published).ok()?;
    let signature = signature(&jwk.algorithm)?;
    if !is_for(&jwk.common, signature) {
        return None;
    }
    let public = usable(&DecodingKey::from_jwk(&jwk).ok()?)?;
    Some(Key {
        id: jwk.common.key_id,
        signature,
        public,
    })
}

/// The signature that a kind of key is for here.
fn signature(kind: &AlgorithmParameters) -> Option<Signature> {
    if let AlgorithmParameters::EllipticCurve(key) = kind {
        return (key.curve == EllipticCurve::P256).then_some(Signature::Es256);
    }
    matches!(kind, AlgorithmParameters::RSA(_)).then_some(Signature::Rs256)
}

/// Whether a key's owner lets it verify this kind of signature.
fn is_for(owner_says: &CommonParameters, signature: Signature) -> bool {
    let purpose = owner_says.public_key_use.as_ref();
    let operations = owner_says.key_operations.as_ref();
    purpose.is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
        && owner_says
            .key_algorithm
            .is_none_or(|named| named == KeyAlgorithm::from(algorithm(signature)))
}

/// The key, if it can verify anything.
///
/// jsonwebtoken looks at a key's strength and form when it verifies with it, and then a weak or
/// broken key is a wrong signature. Looked at here, it is passed over, and a set of such keys is
/// no set: its operator hears of it, and not its users.
fn usable(key: &DecodingKey) -> Option<DecodingKey> {
    /// 2048 bits; and what takes long to check is no key of an honest issuer's.
    const BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            // some issuers write a sign byte, which aws-lc refuses
            let (n, e) = (unpadded(n), unpadded(e));
            let is_usable = BYTES.contains(&n.len()) && !e.is_empty();
            is_usable.then(|| DecodingKey::from_rsa_raw_components(n, e))
        }
        DecodingKeyKind::SecretOrDer(point) => {
            let on_the_curve = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok();
            on_the_curve.then(|| key.clone())
        }
    }
}

fn unpadded(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

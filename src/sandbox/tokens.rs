//! The tokens of the stand-in: the environment's, and those of users with their JWKS.
//!
//! The environment's token is signed with a key that only the stand-in has (HS256); a
//! new key makes all earlier tokens void. Users' tokens are RS256, as the vendor's, or ES256
//! where that is asked for; and there are [forgeries](Forgery), which nobody may believe.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::AsDer,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{locked::Locked, random};

/// The `acr` of a token whose user has shown a second factor.
pub const MULTI_FACTOR: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No RSA key could be made.
    #[error("can't make a key for users' tokens")]
    Key,
    /// The JWT library refused the key or the claims.
    #[error("can't sign a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// What the environment's token says.
#[derive(Debug, Deserialize, Serialize)]
struct VendorClaims {
    scopes: Vec<String>,
    r#type: String,
    #[serde(rename = "vendorId")]
    vendor_id: String,
    iat: u64,
    exp: u64,
}

/// What a user's token says, in the vendor's names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserClaims {
    /// The user.
    pub sub: String,
    /// The tenant that the user is in now.
    pub tenant_id: String,
    /// All tenants of the user.
    pub tenant_ids: Vec<String>,
    /// The user's address.
    pub email: String,
    /// The user's name.
    pub name: String,
    /// Role keys.
    pub roles: Vec<String>,
    /// Permission keys.
    pub permissions: Vec<String>,
    /// The session.
    pub sid: String,
    /// `userToken`, `userApiToken` or `tenantApiToken`.
    pub r#type: String,
    /// The environment's client ID.
    pub aud: String,
    /// The vendor host.
    pub iss: String,
    /// Issued, in seconds since 1970.
    pub iat: u64,
    /// Void from then on, in seconds since 1970.
    pub exp: u64,
    /// Void before, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// [`MULTI_FACTOR`] after a step-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// How the user authenticated; holds `mfa` after a step-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// When the user did, in seconds since 1970.
    #[serde(default, rename = "auth_time", skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
}

/// A user's token that looks like a good one, but wasn't signed by the stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// Signed by another key under the right one's name.
    AnothersKey,
    /// HS256, with the public key for the secret.
    HmacOfPublicKey,
    /// Signed by a key that is published nowhere, under its own name.
    UnknownKey,
    /// `alg` is `none`, and there is no signature.
    Unsigned,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::AnothersKey,
        Self::HmacOfPublicKey,
        Self::UnknownKey,
        Self::Unsigned,
    ];
}

/// Signs and checks both kinds.
pub(super) struct Signer {
    vendor: Locked<[u8; 32]>,
    users: Locked<UserKeys>,
}

/// The keys of users' tokens. Each is made when first asked for: an RSA key takes a tenth of a
/// second, and most tests need none.
#[derive(Default)]
struct UserKeys {
    rsa: Option<Arc<UserKey>>,
    p256: Option<Arc<UserKey>>,
    /// Those before the last rotation: they sign no more.
    before: Vec<Arc<UserKey>>,
}

impl UserKeys {
    fn published(&self) -> impl Iterator<Item = &Arc<UserKey>> {
        self.rsa.iter().chain(&self.p256).chain(&self.before)
    }
}

struct UserKey {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
    algorithm: Algorithm,
    public: Jwk,
}

impl Signer {
    pub(super) fn new() -> Self {
        Self {
            vendor: Locked::new(random::bytes()),
            users: Locked::new(UserKeys::default()),
        }
    }

    /// A token of the environment `vendor_id`, void after `lifetime` seconds.
    pub(super) fn vendor(
        &self,
        vendor_id: &str,
        now: u64,
        lifetime: u64,
    ) -> Result<String, TokenError> {
        let claims = VendorClaims {
            scopes: Vec::new(),
            r#type: "vendor".to_owned(),
            vendor_id: vendor_id.to_owned(),
            iat: now,
            exp: now.saturating_add(lifetime),
        };
        let key = self.vendor.with(|key| EncodingKey::from_secret(key));
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
    }

    /// Whether this is a token of the environment that is neither expired nor revoked.
    pub(super) fn is_vendor(&self, token: &str, now: u64) -> bool {
        let key = self.vendor.with(|key| DecodingKey::from_secret(key));
        read::<VendorClaims>(token, &key, Algorithm::HS256)
            .is_some_and(|claims| claims.r#type == "vendor" && now < claims.exp)
    }

    /// Makes all tokens of the environment void.
    pub(super) fn revoke(&self) {
        self.vendor.with(|key| *key = random::bytes());
    }

    /// A user's token that says `claims`.
    pub(super) fn user(&self, claims: &UserClaims) -> Result<String, TokenError> {
        self.rsa()?.token(claims)
    }

    /// The same, signed with ES256. From then on that key is published too.
    pub(super) fn user_es256(&self, claims: &UserClaims) -> Result<String, TokenError> {
        self.users.with(|keys| match &keys.p256 {
            Some(key) => key.token(claims),
            None => keys.p256.insert(Arc::new(UserKey::p256()?)).token(claims),
        })
    }

    /// A user's token that nobody may believe.
    pub(super) fn forged(
        &self,
        forgery: Forgery,
        claims: &UserClaims,
    ) -> Result<String, TokenError> {
        let key = self.rsa()?;
        match forgery {
            Forgery::AnothersKey => {
                let mut another = UserKey::rsa()?;
                another.id.clone_from(&key.id);
                another.token(claims)
            }
            Forgery::HmacOfPublicKey => {
                let AlgorithmParameters::RSA(public) = &key.public.algorithm else {
                    return Err(TokenError::Key);
                };
                let secret = EncodingKey::from_secret(public.n.as_bytes());
                Ok(encode(&key.header(Algorithm::HS256), claims, &secret)?)
            }
            Forgery::UnknownKey => UserKey::p256()?.token(claims),
            Forgery::Unsigned => {
                let token = key.token(claims)?;
                let (_header, rest) = token.split_once('.').ok_or(TokenError::Key)?;
                let (payload, _proof) = rest.split_once('.').ok_or(TokenError::Key)?;
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
                Ok(format!("{header}.{payload}."))
            }
        }
    }

    /// Other keys sign from now on; those before stay published until the next rotation.
    pub(super) fn rotate(&self) {
        self.users.with(|keys| {
            let before = std::mem::take(keys);
            keys.before = before.rsa.into_iter().chain(before.p256).collect();
        });
    }

    /// What a user's token says, unless it is forged or expired.
    pub(super) fn read_user(&self, token: &str, now: u64) -> Option<UserClaims> {
        let keys: Vec<_> = self.users.with(|keys| keys.published().cloned().collect());
        let mut said = keys
            .iter()
            .filter_map(|key| read::<UserClaims>(token, &key.verify, key.algorithm));
        said.next().filter(|claims| now < claims.exp)
    }

    /// The keys that users' tokens are checked with.
    pub(super) fn jwks(&self) -> Result<JwkSet, TokenError> {
        self.rsa()?;
        let public = |key: &Arc<UserKey>| key.public.clone();
        Ok(JwkSet {
            keys: self
                .users
                .with(|keys| keys.published().map(public).collect()),
        })
    }

    fn rsa(&self) -> Result<Arc<UserKey>, TokenError> {
        self.users.with(|keys| match &keys.rsa {
            Some(key) => Ok(Arc::clone(key)),
            None => Ok(Arc::clone(keys.rsa.insert(Arc::new(UserKey::rsa()?)))),
        })
    }
}

impl UserKey {
    fn rsa() -> Result<Self, TokenError> {
        /// RFC 5208 wraps the RFC 8017 key that the JWT library wants; for RSA keys
        /// of 2048 bits the wrapping in front is always of this length.
        const WRAPPING: usize = 26;
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| TokenError::Key)?;
        let pkcs8 = pair.as_der().map_err(|_| TokenError::Key)?;
        let pkcs1 = pkcs8.as_ref().get(WRAPPING..).ok_or(TokenError::Key)?;
        Self::new(EncodingKey::from_rsa_der(pkcs1), Algorithm::RS256)
    }

    fn p256() -> Result<Self, TokenError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = pair.and_then(|pair| pair.to_pkcs8v1());
        let pkcs8 = pkcs8.map_err(|_| TokenError::Key)?;
        Self::new(EncodingKey::from_ec_der(pkcs8.as_ref()), Algorithm::ES256)
    }

    fn new(sign: EncodingKey, algorithm: Algorithm) -> Result<Self, TokenError> {
        let mut public = Jwk::from_encoding_key(&sign, algorithm)?;
        let id = random::token();
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            id,
            verify: DecodingKey::from_jwk(&public)?,
            sign,
            algorithm,
            public,
        })
    }

    fn token(&self, claims: &UserClaims) -> Result<String, TokenError> {
        Ok(encode(&self.header(self.algorithm), claims, &self.sign)?)
    }

    fn header(&self, algorithm: Algorithm) -> Header {
        let mut header = Header::new(algorithm);
        header.kid = Some(self.id.clone());
        header
    }
}

/// The claims of a token that this key signed. Time is the caller's to check: the
/// stand-in's clock may be ahead of the machine's.
fn read<T: DeserializeOwned>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<T> {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode::<T>(token, key, &validation)
        .ok()
        .map(|token| token.claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims(now: u64) -> UserClaims {
        UserClaims {
            sub: "user".to_owned(),
            tenant_id: "tenant".to_owned(),
            tenant_ids: vec!["tenant".to_owned()],
            email: "user@tenant.example".to_owned(),
            name: "User".to_owned(),
            roles: Vec::new(),
            permissions: Vec::new(),
            sid: "session".to_owned(),
            r#type: "userToken".to_owned(),
            aud: "client".to_owned(),
            iss: "https://tenant.example".to_owned(),
            iat: now,
            exp: now.saturating_add(60),
            nbf: None,
            acr: None,
            amr: None,
            auth_time: None,
        }
    }

    #[test]
    fn an_environment_token_is_good_until_it_expires_or_is_revoked() {
        let signer = Signer::new();
        let token = signer.vendor("client", NOW, 60).unwrap();
        assert!(signer.is_vendor(&token, NOW));
        assert!(signer.is_vendor(&token, NOW + 59));
        assert!(!signer.is_vendor(&token, NOW + 60));
        signer.revoke();
        assert!(!signer.is_vendor(&token, NOW));
        assert!(!signer.is_vendor("no.jwt.at-all", NOW));
    }

    #[test]
    fn a_user_token_reads_back_and_is_checked_with_the_published_key() {
        let signer = Signer::new();
        let said = claims(NOW);
        let token = signer.user(&said).unwrap();
        assert_eq!(signer.read_user(&token, NOW), Some(said.clone()));
        assert_eq!(signer.read_user(&token, NOW + 60), None);
        assert!(!signer.is_vendor(&token, NOW));

        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(header.alg, Algorithm::RS256);
        let keys = signer.jwks().unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        assert_eq!(read(&token, &key, Algorithm::RS256), Some(said));
        let other = Signer::new();
        other.jwks().unwrap();
        assert_eq!(other.read_user(&token, NOW), None);
    }

    #[test]
    fn other_keys_make_earlier_tokens_void_and_forgeries_always_are() {
        let signer = Signer::new();
        let said = claims(NOW);
        let tokens = [
            signer.user(&said).unwrap(),
            signer.user_es256(&said).unwrap(),
        ];
        assert_eq!(signer.jwks().unwrap().keys.len(), 2);
        for token in &tokens {
            assert_eq!(signer.read_user(token, NOW), Some(said.clone()));
        }
        for forgery in Forgery::ALL {
            let token = signer.forged(forgery, &said).unwrap();
            assert_eq!(signer.read_user(&token, NOW), None, "{forgery:?}");
        }
        signer.rotate();
        assert_eq!(signer.jwks().unwrap().keys.len(), 3);
        for token in &tokens {
            assert_eq!(signer.read_user(token, NOW), Some(said.clone()));
        }
        signer.rotate();
        assert_eq!(signer.jwks().unwrap().keys.len(), 2);
        for token in &tokens {
            assert_eq!(signer.read_user(token, NOW), None);
        }
    }
}

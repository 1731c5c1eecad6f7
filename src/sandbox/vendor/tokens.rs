//! The handle on the stand-in's tokens.

use std::{sync::atomic::Ordering, time::Duration};

use super::Vendor;
use crate::sandbox::{
    tokens::{Forgery, TokenError, UserClaims},
    world::User,
};

impl Vendor {
    /// From now on another API key is right. Tokens that were given out stay good.
    pub fn rotate_secret(&self, secret: &str) {
        self.shared
            .credentials
            .with(|credentials| secret.clone_into(&mut credentials.secret));
    }

    /// All tokens of the environment that were given out are void.
    pub fn revoke_tokens(&self) {
        self.shared.signer.revoke();
    }

    /// For how long the next tokens of the environment are good, in whole seconds.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.token_lifetime.with(|kept| *kept = lifetime);
    }

    /// How many tokens of the environment were given out. [`Self::count`] of
    /// [`Endpoint::TokenExchange`](super::Endpoint::TokenExchange) counts those who asked.
    #[must_use]
    pub fn tokens_issued(&self) -> u64 {
        self.shared.tokens_issued.load(Ordering::Relaxed)
    }

    /// What this user's token says after the first factor in this tenant; to be
    /// changed as a test likes, and [minted](Self::mint).
    #[must_use]
    pub fn claims(&self, user: &User, tenant: &str) -> UserClaims {
        self.shared.claims(user, tenant, "sandbox-session")
    }

    /// A user's token that says `claims`.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn mint(&self, claims: &UserClaims) -> Result<String, TokenError> {
        self.shared.signer.user(claims)
    }

    /// The same, signed with ES256. From then on that key is published too.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn mint_es256(&self, claims: &UserClaims) -> Result<String, TokenError> {
        self.shared.signer.user_es256(claims)
    }

    /// A token that says `claims`, and that nobody may believe.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn forge(&self, forgery: Forgery, claims: &UserClaims) -> Result<String, TokenError> {
        self.shared.signer.forged(forgery, claims)
    }

    /// The keys of users' tokens, as they are published.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn user_keys(&self) -> Result<serde_json::Value, TokenError> {
        Ok(serde_json::to_value(self.shared.signer.jwks()?).unwrap_or_default())
    }

    /// Users' tokens are signed with other keys from now on; those before stay published until
    /// the next rotation.
    pub fn rotate_user_keys(&self) {
        self.shared.signer.rotate();
    }
}

//! What has been begun and not finished: logins, codes under way, challenges.

use std::collections::HashMap;

use crate::sandbox::random;

/// How long a begun login, a code and a challenge live, in seconds.
const LIFETIME: u64 = 300;

/// A login that still needs its second factor, known by its `mfaToken`.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Login {
    pub(in crate::sandbox) user: String,
    pub(in crate::sandbox) tenant: String,
}

/// What a code that was sent is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Purpose {
    /// To remove this phone.
    DisablePhone(String),
    /// To add a phone of this number.
    EnrolPhone(String),
    /// To log in, sent by email.
    LoginByEmail,
    /// To log in, sent to this phone.
    LoginByPhone(String),
}

/// A code that was sent, known by its `otcToken`.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Sent {
    pub(in crate::sandbox) user: String,
    pub(in crate::sandbox) purpose: Purpose,
    pub(in crate::sandbox) code: String,
}

/// What a WebAuthn challenge is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Asked {
    /// To remove this security key.
    Disable(String),
    /// To add one.
    Enrol,
    /// To log in with this one.
    Login(String),
}

/// A WebAuthn challenge, known by its `webauthnToken`.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Challenge {
    pub(in crate::sandbox) user: String,
    pub(in crate::sandbox) asked: Asked,
    pub(in crate::sandbox) challenge: String,
}

/// Things that are known by a token, for [`LIFETIME`].
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Tokens<T>(HashMap<String, (u64, T)>);

impl<T: Clone> Tokens<T> {
    /// A token for `thing`. What has expired is forgotten on the way.
    pub(in crate::sandbox) fn issue(&mut self, thing: T, now: u64) -> String {
        self.0.retain(|_, (expires, _)| now < *expires);
        let token = random::token();
        let expires = now.saturating_add(LIFETIME);
        self.0.insert(token.clone(), (expires, thing));
        token
    }

    /// What this token is for, unless it has expired.
    pub(in crate::sandbox) fn find(&self, token: &str, now: u64) -> Option<T> {
        self.0
            .get(token)
            .filter(|(expires, _)| now < *expires)
            .map(|(_, thing)| thing.clone())
    }

    /// The token is used up.
    pub(in crate::sandbox) fn spend(&mut self, token: &str) {
        self.0.remove(token);
    }
}

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Everything that has been begun.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox) struct Pending {
    pub(in crate::sandbox) logins: Tokens<Login>,
    pub(in crate::sandbox) codes: Tokens<Sent>,
    pub(in crate::sandbox) challenges: Tokens<Challenge>,
    /// The secret that a user's next authenticator app will have, by user.
    pub(in crate::sandbox) secrets: HashMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_it_is_spent_or_expires() {
        let mut tokens = Tokens::default();
        let token = tokens.issue("thing", 1000);
        assert_eq!(tokens.find(&token, 1299), Some("thing"));
        assert_eq!(tokens.find(&token, 1300), None);
        assert_eq!(tokens.find("another", 1000), None);
        tokens.spend(&token);
        assert_eq!(tokens.find(&token, 1000), None);

        tokens.issue("old", 1000);
        tokens.issue("new", 2000);
        assert_eq!(tokens.0.len(), 1);
    }
}

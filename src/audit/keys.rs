//! What `audit.key` is used for: one derived key for each purpose, so that a hash made for
//! one can't be passed off as another.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{config::EmailForm, json::hex, model::MacKey};

/// The keys derived from `audit.key`.
pub(super) struct Keys {
    /// Of the chain.
    pub(super) chain: MacKey,
    /// Which `audit.key` they come from; 16 hexadecimal digits.
    pub(super) id: String,
    email: MacKey,
    login: MacKey,
}

impl Keys {
    /// Derives them. The labels are part of the log's format: changing one breaks old logs.
    pub(super) fn derive(secret: &SecretString) -> Self {
        let master = MacKey::new(secret.expose_secret().as_bytes());
        let derived = |label: &str| master.hash([label.as_bytes()]);
        let key = |label: &str| MacKey::new(&derived(label));
        Self {
            chain: key("mfa-gateway audit chain"),
            email: key("mfa-gateway audit email"),
            login: key("mfa-gateway audit login"),
            id: short("", &derived("mfa-gateway audit key id"), 8),
        }
    }

    /// An email in its canonical form, as the log shows it.
    pub(super) fn email(&self, canonical: &str, form: EmailForm) -> Box<str> {
        match form {
            EmailForm::Hash => {
                let hash = self.email.hash([canonical.as_bytes()]);
                short("email:", &hash, 16).into()
            }
            EmailForm::Mask => mask(canonical).into(),
            EmailForm::Plain => canonical.into(),
        }
    }

    /// A login token, as the log shows it.
    pub(super) fn login(&self, token: &str) -> Box<str> {
        short("login:", &self.login.hash([token.as_bytes()]), 16).into()
    }
}

/// The keys that a log may have been written with: `audit.key`, and those before it.
pub struct Keyring(Vec<Keys>);

impl Keyring {
    /// Of secrets, the present one first.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self(
            secrets
                .into_iter()
                .map(|secret| Keys::derive(&secret))
                .collect(),
        )
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn with_id<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Keys> {
        self.0.iter().filter(move |keys| keys.id == id)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Keys> {
        self.0.iter()
    }

    /// All that an email in its canonical form may be called in a log.
    #[must_use]
    pub fn accounts(&self, canonical: &str) -> Vec<Box<str>> {
        let hashes = self
            .0
            .iter()
            .map(|keys| keys.email(canonical, EmailForm::Hash));
        hashes
            .chain([mask(canonical).into(), canonical.into()])
            .collect()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|keys| &keys.id))
            .finish()
    }
}

/// The first `length` bytes of `hash` in hexadecimal, after `prefix`.
fn short(prefix: &str, hash: &[u8], length: usize) -> String {
    let size = prefix.len().saturating_add(length.saturating_mul(2));
    let mut text = String::with_capacity(size);
    text.push_str(prefix);
    for byte in hash.iter().take(length) {
        text.extend(hex(*byte).map(char::from));
    }
    text
}

/// `a…@e….com`: the first character of the local part and of the domain, and the last label.
fn mask(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let last = domain.rsplit_once('.').map_or("", |(_, label)| label);
    let dot = if last.is_empty() { "" } else { "." };
    format!("{}…@{}…{dot}{last}", first(local), first(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys::derive(&SecretString::from(secret))
    }

    #[test]
    fn the_same_email_has_the_same_hash_under_the_same_key_only() {
        let (one, other) = (keys("one"), keys("other"));
        let hash = one.email("ada@example.com", EmailForm::Hash);
        assert_eq!(hash, one.email("ada@example.com", EmailForm::Hash));
        assert_ne!(hash, one.email("bob@example.com", EmailForm::Hash));
        assert_ne!(hash, other.email("ada@example.com", EmailForm::Hash));
        assert_ne!(one.id, other.id);
        assert_eq!(hash.len(), "email:".len() + 32);
    }

    #[test]
    fn a_login_token_and_an_email_of_the_same_text_differ() {
        let keys = keys("one");
        let email = keys.email("x", EmailForm::Hash);
        let login = keys.login("x");
        assert_ne!(
            email.split_once(':').unwrap().1,
            login.split_once(':').unwrap().1
        );
    }

    #[test]
    fn a_mask_shows_two_letters_and_the_last_label() {
        assert_eq!(mask("ada@example.com"), "a…@e….com");
        assert_eq!(mask("ada@localhost"), "a…@l…");
        assert_eq!(mask("élan@mail.example.co.uk"), "é…@m….uk");
        let keys = keys("one");
        assert_eq!(
            &*keys.email("ada@example.com", EmailForm::Plain),
            "ada@example.com"
        );
    }
}

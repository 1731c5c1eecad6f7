//! A user and the factors that they have.

use serde_json::{Value, json};

use super::totp;
use crate::sandbox::random;

/// Someone who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The id, as in `frontegg-user-id`.
    pub id: String,
    /// The address that they log in with.
    pub email: String,
    /// Their name, for people.
    pub name: String,
    /// The first factor.
    pub password: String,
    /// The ids of their tenants; the first one is the one that they log in to.
    pub tenants: Vec<String>,
    /// What removes all factors, once.
    pub recovery_code: Option<String>,
    /// Their authenticator apps.
    pub authenticators: Vec<Authenticator>,
    /// Their phones, for codes by SMS.
    pub phones: Vec<Phone>,
    /// Their security keys.
    pub security_keys: Vec<SecurityKey>,
    /// Tokens of devices on which they need no second factor.
    pub remembered: Vec<String>,
}

/// An authenticator app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    /// The device's id.
    pub id: String,
    /// The shared secret, base32.
    pub secret: String,
}

/// A phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// The device's id.
    pub id: String,
    /// Its number, E.164.
    pub number: String,
}

/// A WebAuthn authenticator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityKey {
    /// The device's id.
    pub id: String,
    /// What it calls itself in WebAuthn.
    pub credential: String,
    /// Built in, or carried about.
    pub device_type: DeviceType,
}

/// What sort of WebAuthn authenticator it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceType {
    /// Carried about, such as a USB key.
    CrossPlatform,
    /// Built in, such as a fingerprint reader.
    Platform,
}

impl DeviceType {
    /// As the vendor writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrossPlatform => "CrossPlatform",
            Self::Platform => "Platform",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::CrossPlatform, Self::Platform]
            .into_iter()
            .find(|device_type| device_type.as_str() == name)
    }
}

impl User {
    /// Whether they have any second factor.
    #[must_use]
    pub const fn is_enrolled(&self) -> bool {
        !(self.authenticators.is_empty() && self.phones.is_empty() && self.security_keys.is_empty())
    }

    /// Removes every second factor, and with them the recovery code.
    pub fn clear_mfa(&mut self) {
        self.authenticators.clear();
        self.phones.clear();
        self.security_keys.clear();
        self.remembered.clear();
        self.recovery_code = None;
    }

    /// Whether `code` is right now shown by one of their authenticator apps; by that
    /// `device` alone, if one is given.
    #[must_use]
    pub fn shows(&self, code: &str, device: Option<&str>, now: u64) -> bool {
        self.authenticators
            .iter()
            .filter(|app| device.is_none_or(|id| app.id == id))
            .any(|app| totp::accepts(&app.secret, code, now))
    }

    /// Takes the one device of this id away, and the recovery code with the last one.
    /// `false` where there is none.
    pub fn remove_device(&mut self, id: &str) -> bool {
        let before = self.devices();
        self.authenticators.retain(|device| device.id != id);
        self.phones.retain(|device| device.id != id);
        self.security_keys.retain(|device| device.id != id);
        let removed = self.devices() < before;
        if !self.is_enrolled() {
            self.clear_mfa();
        }
        removed
    }

    /// The recovery code, made with the first factor.
    pub(in crate::sandbox) fn recovery_code(&mut self) -> String {
        self.recovery_code.get_or_insert_with(random::token).clone()
    }

    /// The device lists, as the vendor's clients expect them.
    #[must_use]
    pub fn mfa_devices(&self) -> Value {
        let keys = self.security_keys.iter().map(|key| {
            let device_type = key.device_type.as_str();
            json!({"id": key.id, "deviceType": device_type, "name": device_type})
        });
        let phones = self.phones.iter();
        let phones =
            phones.map(|phone| json!({"id": phone.id, "phoneNumber": mask(&phone.number)}));
        let apps = self.authenticators.iter().map(|app| json!({"id": app.id}));
        let emails = self.is_enrolled().then(|| json!({"email": self.email}));
        json!({
            "webauthn": keys.collect::<Vec<_>>(),
            "phones": phones.collect::<Vec<_>>(),
            "authenticators": apps.collect::<Vec<_>>(),
            "emails": emails.into_iter().collect::<Vec<_>>(),
        })
    }

    const fn devices(&self) -> usize {
        self.authenticators
            .len()
            .saturating_add(self.phones.len())
            .saturating_add(self.security_keys.len())
    }
}

/// A number of which only the last four digits are told.
pub(in crate::sandbox) fn mask(number: &str) -> String {
    let shown = number.len().saturating_sub(4);
    let digit = |(place, digit)| if place < shown { '*' } else { digit };
    number.chars().enumerate().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            recovery_code: Some("recover".to_owned()),
            authenticators: vec![Authenticator {
                id: "app".to_owned(),
                secret: totp::new_secret(),
            }],
            phones: vec![Phone {
                id: "phone".to_owned(),
                number: "+15555550100".to_owned(),
            }],
            ..User::default()
        }
    }

    #[test]
    fn the_recovery_code_goes_with_the_last_device() {
        let mut user = user();
        assert!(!user.remove_device("unknown"));
        assert!(user.remove_device("app"));
        assert_eq!(user.recovery_code.as_deref(), Some("recover"));
        assert!(user.remove_device("phone"));
        assert_eq!(user.recovery_code, None);
        assert!(!user.is_enrolled());
    }

    #[test]
    fn an_app_shows_its_own_code_only() {
        let mut user = user();
        user.authenticators.push(Authenticator {
            id: "other".to_owned(),
            secret: totp::new_secret(),
        });
        let code = totp::code(&user.authenticators[0].secret, 1_800_000_000).unwrap();
        assert!(user.shows(&code, None, 1_800_000_000));
        assert!(user.shows(&code, Some("app"), 1_800_000_000));
        assert!(!user.shows(&code, Some("other"), 1_800_000_000));
    }

    #[test]
    fn a_phone_number_is_told_by_its_end() {
        assert_eq!(mask("+15555550100"), "********0100");
        assert_eq!(mask("12"), "12");
        assert_eq!(
            user().mfa_devices()["phones"][0]["phoneNumber"],
            "********0100"
        );
    }
}

//! What is set for the whole environment, and for single tenants.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::sandbox::{clock::timestamp, random};

/// Whether users need a second factor, and whether their devices are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MfaPolicy {
    /// Its id.
    pub id: String,
    /// `DontForce`, `Force` or `ForceExceptSAML`.
    pub enforce: String,
    /// Whether a device can be remembered.
    pub allow_remember: bool,
    /// For how many seconds it is.
    pub device_expiration: u64,
    /// Made, in seconds since 1970.
    pub created: u64,
    /// Last changed, in seconds since 1970.
    pub updated: u64,
}

impl MfaPolicy {
    /// A policy with the vendor's defaults.
    #[must_use]
    pub fn new(enforce: &str, now: u64) -> Self {
        Self {
            id: random::id(),
            enforce: enforce.to_owned(),
            allow_remember: true,
            device_expiration: 1_209_600,
            created: now,
            updated: now,
        }
    }

    /// Whether a user without a second factor must get one at login.
    #[must_use]
    pub fn forces(&self) -> bool {
        self.enforce != "DontForce"
    }

    /// As the vendor answers it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "enforceMFAType": self.enforce,
            "allowRememberMyDevice": self.allow_remember,
            "mfaDeviceExpiration": self.device_expiration,
            "createdAt": timestamp(self.created).to_string(),
            "updatedAt": timestamp(self.updated).to_string(),
        })
    }
}

/// A kind of second factor that the environment offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Codes of an app.
    AuthenticatorApp,
    /// Codes by email.
    EmailCode,
    /// Codes by SMS.
    Sms,
    /// A security key.
    WebAuthnCrossPlatform,
    /// A reader that is built in.
    WebAuthnPlatform,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AuthenticatorApp,
        Self::WebAuthnPlatform,
        Self::WebAuthnCrossPlatform,
        Self::Sms,
        Self::EmailCode,
    ];

    /// As the vendor writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticatorApp => "AuthenticatorApp",
            Self::EmailCode => "EmailCode",
            Self::Sms => "SMS",
            Self::WebAuthnCrossPlatform => "WebAuthnCrossPlatform",
            Self::WebAuthnPlatform => "WebAuthnPlatform",
        }
    }

    /// The strategy of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == name)
    }
}

/// The environment's settings of the factors, as the vendor's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentConfig {
    /// `active`, `serviceName`.
    pub authentication_app: Value,
    /// `active`, `tokenLifetimeSeconds`.
    pub sms: Value,
    /// `active`, `tokenLifetimeSeconds`, `sender`.
    pub email: Value,
}

/// All that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// The environment's policy, for tenants without one.
    pub environment: Option<MfaPolicy>,
    /// Tenants' own.
    pub tenants: HashMap<String, MfaPolicy>,
    /// Settings of the factors.
    pub config: EnvironmentConfig,
    /// The factors that are offered.
    pub active: Vec<Strategy>,
}

impl Policies {
    /// What a new environment has: every factor offered, none demanded.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            environment: Some(MfaPolicy::new("DontForce", now)),
            tenants: HashMap::new(),
            config: EnvironmentConfig {
                authentication_app: json!({"active": true, "serviceName": "Sandbox"}),
                sms: json!({"active": true, "tokenLifetimeSeconds": 300}),
                email: json!({
                    "active": true,
                    "tokenLifetimeSeconds": 300,
                    "sender": "hello@sandbox.example",
                }),
            },
            active: Strategy::ALL.to_vec(),
        }
    }

    /// The policy that counts for a tenant: its own, else the environment's.
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Option<&MfaPolicy> {
        self.tenants.get(tenant).or(self.environment.as_ref())
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self::new(0)
    }
}

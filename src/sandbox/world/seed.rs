//! What is in the `sandbox` command's world: made up, always the same, so that a
//! printed `curl` line stays right.
//!
//! | user | tenant | second factors | recovery code |
//! |---|---|---|---|
//! | [`ADA`] | [`ACME`] | authenticator app | yes |
//! | [`GRACE`] | [`ACME`] | phone and authenticator app | yes |
//! | [`BARBARA`] | [`ACME`] | authenticator app | yes |
//! | [`HEDY`] | [`ACME`] | security key | yes |
//! | [`KATHERINE`] | [`ACME`] | none | no |
//! | [`EDITH`] | [`GLOBEX`] | none, and the tenant demands one at login | no |

use super::{
    Authenticator, DeviceType, MfaPolicy, Phone, Policies, SecurityKey, Tenant, User, World,
};

/// The environment's client ID.
pub const CLIENT_ID: &str = "5a4d0000-0000-4000-8000-00000000c11e";
/// The environment's API key.
pub const SECRET: &str = "5a4d0000-0000-4000-8000-0000000005ec";
/// What makes the stand-in believe the user's address that it is told.
pub const CLIENT_IP_SECRET: &str = "sandbox-client-ip-secret";
/// The password of all users.
pub const PASSWORD: &str = "Sandbox-pass-1";

/// A tenant that leaves second factors to its users.
pub const ACME: &str = "ac3e0000-0000-4000-8000-000000000001";
/// A tenant that demands a second factor.
pub const GLOBEX: &str = "610b0000-0000-4000-8000-000000000002";

/// What is fixed about one user.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// Their id.
    pub id: &'static str,
    /// Their address.
    pub email: &'static str,
    /// Their name.
    pub name: &'static str,
    /// Their tenant.
    pub tenant: &'static str,
    /// Id and base32 secret of their authenticator app.
    pub authenticator: Option<(&'static str, &'static str)>,
    /// Id and number of their phone.
    pub phone: Option<(&'static str, &'static str)>,
    /// Id and WebAuthn credential of their security key.
    pub security_key: Option<(&'static str, &'static str)>,
    /// Their recovery code.
    pub recovery_code: Option<&'static str>,
}

const NOBODY: Person = Person {
    id: "",
    email: "",
    name: "",
    tenant: ACME,
    authenticator: None,
    phone: None,
    security_key: None,
    recovery_code: None,
};

/// Has an authenticator app.
pub const ADA: Person = Person {
    id: "ada00000-0000-4000-8000-000000000001",
    email: "ada@acme.example",
    name: "Ada",
    authenticator: Some(("ada-app", "MFSGCIDTMFXGIYTPPAQHGZLDOJSXIIBR")),
    recovery_code: Some("ada-recovery-code-0001"),
    ..NOBODY
};

/// Has a phone and an authenticator app.
pub const GRACE: Person = Person {
    id: "96ace000-0000-4000-8000-000000000002",
    email: "grace@acme.example",
    name: "Grace",
    authenticator: Some(("grace-app", "M5ZGCY3FEBZWC3TEMJXXQIDTMVRXEZLU")),
    phone: Some(("grace-phone", "+15555550102")),
    recovery_code: Some("grace-recovery-code-0002"),
    ..NOBODY
};

/// Has lost the phone with her authenticator app: the one who recovers.
pub const BARBARA: Person = Person {
    id: "ba7ba7a0-0000-4000-8000-000000000003",
    email: "barbara@acme.example",
    name: "Barbara",
    authenticator: Some(("barbara-app", "MJQXEYTBOJQSA43FMNZGK5BANZXS4IBR")),
    recovery_code: Some("barbara-recovery-code-0003"),
    ..NOBODY
};

/// Has a security key.
pub const HEDY: Person = Person {
    id: "4ed70000-0000-4000-8000-000000000004",
    email: "hedy@acme.example",
    name: "Hedy",
    security_key: Some(("hedy-key", "aGVkeS1jcmVkZW50aWFs")),
    recovery_code: Some("hedy-recovery-code-0004"),
    ..NOBODY
};

/// Has no second factor.
pub const KATHERINE: Person = Person {
    id: "ca7e0000-0000-4000-8000-000000000005",
    email: "katherine@acme.example",
    name: "Katherine",
    ..NOBODY
};

/// Has no second factor, yet her tenant demands one.
pub const EDITH: Person = Person {
    id: "ed170000-0000-4000-8000-000000000006",
    email: "edith@globex.example",
    name: "Edith",
    tenant: GLOBEX,
    ..NOBODY
};

/// All of them.
pub const PEOPLE: [Person; 6] = [ADA, GRACE, BARBARA, HEDY, KATHERINE, EDITH];

const ENVIRONMENT_POLICY: &str = "90110000-0000-4000-8000-000000000001";
const GLOBEX_POLICY: &str = "90110000-0000-4000-8000-000000000002";

/// 2026-01-01T00:00:00Z, when the world was made.
const MADE: u64 = 1_767_225_600;

/// The world.
pub(super) fn world() -> World {
    let tenant = |id: &str, name: &str| Tenant {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    let policy = |id: &str, enforce| MfaPolicy {
        id: id.to_owned(),
        ..MfaPolicy::new(enforce, MADE)
    };
    let mut policies = Policies::new(MADE);
    policies.environment = Some(policy(ENVIRONMENT_POLICY, "DontForce"));
    let globex = policy(GLOBEX_POLICY, "Force");
    policies.tenants.insert(GLOBEX.to_owned(), globex);
    World {
        tenants: vec![tenant(ACME, "Acme"), tenant(GLOBEX, "Globex")],
        users: PEOPLE.iter().map(user).collect(),
        policies,
        ..World::default()
    }
}

fn user(person: &Person) -> User {
    let app = |(id, secret): (&str, &str)| Authenticator {
        id: id.to_owned(),
        secret: secret.to_owned(),
    };
    let phone = |(id, number): (&str, &str)| Phone {
        id: id.to_owned(),
        number: number.to_owned(),
    };
    let key = |(id, credential): (&str, &str)| SecurityKey {
        id: id.to_owned(),
        credential: credential.to_owned(),
        device_type: DeviceType::CrossPlatform,
    };
    User {
        id: person.id.to_owned(),
        email: person.email.to_owned(),
        name: person.name.to_owned(),
        password: PASSWORD.to_owned(),
        tenants: vec![person.tenant.to_owned()],
        recovery_code: person.recovery_code.map(str::to_owned),
        authenticators: person.authenticator.map(app).into_iter().collect(),
        phones: person.phone.map(phone).into_iter().collect(),
        security_keys: person.security_key.map(key).into_iter().collect(),
        remembered: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sandbox::world::totp;

    #[test]
    fn the_world_is_the_same_each_time() {
        let (first, second) = (World::seeded(), World::seeded());
        assert_eq!(first.users, second.users);
        assert_eq!(first.tenants, second.tenants);
        assert_eq!(first.policies, second.policies);
    }

    #[test]
    fn everyone_has_an_id_of_their_own_and_a_tenant_that_is_there() {
        let world = World::seeded();
        let ids: HashSet<_> = world.users.iter().map(|user| user.id.as_str()).collect();
        assert_eq!(ids.len(), PEOPLE.len());
        for user in &world.users {
            uuid::Uuid::parse_str(&user.id).unwrap();
            assert!(world.tenant(&user.tenants[0]).is_some(), "{}", user.name);
            assert_eq!(user.is_enrolled(), user.recovery_code.is_some());
            for app in &user.authenticators {
                assert!(totp::code(&app.secret, MADE).is_some());
            }
        }
    }
}

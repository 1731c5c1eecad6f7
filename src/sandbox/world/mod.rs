//! The world that the stand-in serves: tenants, users and their factors, in memory.
//!
//! A world is plain data that a test may change as it likes. [`World::seeded`] is the
//! one that the `sandbox` command shows; see [`seed`] for what is in it.

mod pending;
mod policy;
pub mod seed;
pub mod totp;
mod user;

pub(super) use pending::{Asked, Challenge, Login, Pending, Purpose, Sent};
pub use policy::{EnvironmentConfig, MfaPolicy, Policies, Strategy};
pub(super) use user::mask;
pub use user::{Authenticator, DeviceType, Phone, SecurityKey, User};

/// A customer of the application's; the vendor says account or tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id, as in `frontegg-tenant-id`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

/// Everything that the stand-in knows.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// All tenants.
    pub tenants: Vec<Tenant>,
    /// All users.
    pub users: Vec<User>,
    /// What is set for the environment and for tenants.
    pub policies: Policies,
    pub(super) pending: Pending,
}

impl World {
    /// The world of the `sandbox` command: the same in each run.
    #[must_use]
    pub fn seeded() -> Self {
        seed::world()
    }

    /// The tenant with this id.
    #[must_use]
    pub fn tenant(&self, id: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    /// The user with this id.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The user with this id, to change.
    pub fn user_mut(&mut self, id: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.id == id)
    }

    /// The user with this address; the vendor compares addresses without regard to case.
    pub fn user_by_email(&mut self, email: &str) -> Option<&mut User> {
        self.users
            .iter_mut()
            .find(|user| user.email.eq_ignore_ascii_case(email.trim()))
    }
}

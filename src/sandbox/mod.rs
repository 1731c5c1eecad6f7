//! A stand-in of the vendor on this machine: for the `sandbox` command and for tests.
//!
//! It promises what a client of the vendor's MFA API can see: TLS under a CA of its
//! own, the token exchange, all operations of the route table over a world in memory,
//! the vendor's statuses, error bodies and limits. It can be told to misbehave, and
//! keeps what it received. It promises nothing about secrecy: everything in it is made up.
//!
//! - [`vendor`]: the server and the handle on it; start here
//! - [`world`]: tenants, users, factors, and the [seeded](world::seed) ones
//! - [`certs`]: the CA, and certificates that are good, expired, foreign or another host's
//! - [`tokens`]: the environment's tokens, users' JWTs and their JWKS
//! - [`home`]: the folder of a sandbox
//! - [`setting`]: the configuration of the gateway in front of it, in that folder
//! - [`tour`]: makes the main job's calls, shows and checks what happens
//! - [`help`]: the same calls as `curl` lines
//! - [`webauthn`]: what an authenticator would send, as far as the stand-in looks at it

pub mod certs;
mod clock;
pub mod help;
pub mod home;
mod locked;
mod random;
pub mod setting;
pub mod tokens;
pub mod tour;
pub mod vendor;
pub mod webauthn;
pub mod world;

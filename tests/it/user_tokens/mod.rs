//! `subject.from = "user-token"`: a caller can name nobody but the user whose token it holds.

mod keys;
mod refused;
mod step_up;
mod subject;

use mfa_gateway::{
    route::Operation,
    sandbox::{
        tokens::UserClaims,
        world::seed::{CLIENT_ID, Person},
    },
};

use crate::support::{Builder, Call, Rig};

/// A gateway that believes the vendor's users, with all operations let through.
fn believing() -> Builder {
    Rig::builder()
        .all_routes()
        .set("subject.from", "'user-token'")
        .set("subject.user_token.issuer", "'{vendor}'")
        .set("subject.user_token.audience", &format!("'{CLIENT_ID}'"))
}

/// What this person's token says after the first factor.
fn claims(rig: &Rig, person: &Person) -> UserClaims {
    let user = rig.vendor.user(person.id).unwrap();
    rig.vendor.claims(&user, person.tenant)
}

fn token(rig: &Rig, person: &Person) -> String {
    rig.vendor.mint(&claims(rig, person)).unwrap()
}

/// A call in which nothing but the token says who it is for.
fn devices(token: &str) -> Call {
    Call::of(Operation::UserDevices).for_nobody().bearer(token)
}

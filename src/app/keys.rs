//! The keys that tokens are verified with: users', and those of service accounts.

use std::env;

use crate::{
    config::{Settings, SubjectFrom, is_within},
    gateway::TokenKeys,
    jwks::{Keeper, Place},
    net::SetupError,
};

/// What the settings ask for, and the tasks that keep it.
pub(super) fn keep(settings: &Settings) -> Result<(TokenKeys, Vec<Keeper<Place>>), SetupError> {
    let vendor = &settings.frontegg;
    let mut keepers = Vec::new();
    let mut kept = |place: Place, section| {
        let (keys, keeper) = Keeper::new(place, section, vendor.request_timeout);
        keepers.push(keeper);
        keys
    };
    let users = match &settings.subject.from {
        SubjectFrom::Fixed { .. } | SubjectFrom::Headers { .. } => None,
        SubjectFrom::UserToken(rules) => Some(Place::of_users(&rules.keys, vendor)?),
    };
    let variable = |name: &str| env::var(name).ok();
    let cluster = settings.kubernetes.as_ref();
    let accounts = cluster
        .map(|cluster| Place::of_cluster(cluster, vendor.connect_timeout, variable))
        .transpose()?;
    let keys = TokenKeys {
        users: users.map(|place| kept(place, "subject.user_token")),
        accounts: accounts.map(|place| kept(place, "kubernetes")),
    };
    Ok((keys, keepers))
}

/// Whether other keys are wanted than those that are kept, or by another way. If not, those in
/// hand stay: their issuer may be away just now.
pub(super) fn must_change(changed: &[String], settings: &Settings, kept: &TokenKeys) -> bool {
    let is_theirs = |key: &String| THEIRS.iter().any(|theirs| is_within(key, theirs));
    settings.kubernetes.is_some() != kept.accounts.is_some() || changed.iter().any(is_theirs)
}

/// The keys and sections that say which they are and how they are fetched.
const THEIRS: [&str; 7] = [
    "frontegg.ca_file",
    "frontegg.connect_timeout",
    "frontegg.proxy",
    "frontegg.request_timeout",
    "kubernetes",
    "subject.from",
    "subject.user_token",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::is_known;

    #[test]
    fn each_key_that_matters_is_one() {
        assert!(THEIRS.iter().all(|path| is_known(path)));
    }
}

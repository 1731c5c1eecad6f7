//! `[limits]`: how often.

use std::num::{NonZeroU32, NonZeroUsize};

use super::{Reader, redis};
use crate::{
    config::{
        caller::Caller,
        nearest::did_you_mean,
        secret::SecretSource,
        settings::{Limits, Listen, Mode, Policy},
        store::Store,
    },
    model::Quota,
    route::Operation,
};

const KEY: &str = "limits.key";

pub(super) fn read(
    reader: &mut Reader<'_>,
    listen: &[Listen],
    callers: &[Caller],
) -> Option<Limits> {
    let key = reader.secret(KEY);
    reader.warn_if_guessable(KEY, key.as_ref());
    let store = store(reader, key.as_ref());
    if reader.text("limits.mode") == "observe" {
        reader.warn(
            "limits.mode",
            "guesses are counted, but not refused",
            "set it to enforce once the numbers look right",
        );
    }
    let email = policy(reader, "limits.email");
    if email.quotas.is_empty() {
        reader.warn(
            "limits.email.quotas",
            "nothing limits the guesses of one account's recovery code",
            "leave it out to have the default",
        );
    }
    let email_client = policy(reader, "limits.email_client");
    if listen
        .iter()
        .any(|listen| !listen.trusted_proxies.is_empty())
    {
        lock_out(reader, &email, &email_client);
    } else {
        for unused in ["limits.email_client", "limits.client"] {
            if reader.differs(unused) {
                reader.warn(
                    unused,
                    "has no effect while no user's address is known",
                    "name in listen.trusted_proxies who may say it, or remove it",
                );
            }
        }
    }
    let upstream = upstream(reader);
    all_share_one_address(reader, &upstream);
    let contested = upstream.iter().map(|(operation, _policy)| *operation);
    let contested = contested.filter(|operation| is_contested(*operation, callers));
    Some(Limits {
        contested: contested.collect(),
        store: store?,
        max_keys: NonZeroUsize::new(reader.count("limits.max_keys"))?,
        key,
        fold_subaddress: reader.flag("limits.email.fold_subaddress"),
        email,
        email_client,
        client: policy(reader, "limits.client"),
        code: policy(reader, "limits.code"),
        send: policy(reader, "limits.send"),
        upstream,
    })
}

fn store(reader: &mut Reader<'_>, key: Option<&SecretSource>) -> Option<Store> {
    if reader.text("limits.store") != "redis" {
        for unused in ["limits.redis", "limits.on_store_failure"] {
            if reader.differs(unused) {
                reader.warn(
                    unused,
                    "has no effect while limits.store is \"memory\"",
                    "write store = \"redis\" in [limits], or remove it",
                );
            }
        }
        return Some(Store::Memory);
    }
    if key.is_none() {
        reader.missing_secret(
            KEY,
            "limits.store",
            "is needed with a shared store: replicas that hash under different keys count apart",
            "make one for all replicas with: (umask 077; openssl rand -base64 32 > limits.key), and name that file in limits.key_file",
        );
    }
    redis::read(reader).map(Store::Shared)
}

/// One address must not be able to use up an email's attempts as fast as they are regained: the
/// owner, at another address, would be locked out for as long as it goes on.
fn lock_out(reader: &mut Reader<'_>, email: &Policy, email_client: &Policy) {
    if !owner_is_safe(email, email_client) {
        reader.warn(
            "limits.email_client.quotas",
            "one address can use up an email's attempts as fast as they are regained, and so lock the owner out",
            "for each quota of limits.email have one here with fewer attempts that are regained more slowly",
        );
    }
}

/// Whether for each quota of the email there is one of an address that runs out earlier and comes
/// back more slowly.
fn owner_is_safe(email: &Policy, email_client: &Policy) -> bool {
    email.quotas.iter().all(|email| {
        let mut clients = email_client.quotas.iter();
        clients.any(|client| {
            client.attempts() < email.attempts() && client.interval() > email.interval()
        })
    })
}

/// Behind us all users have one address, unless the vendor is told theirs. Who writes that limit
/// down knows of it.
fn all_share_one_address(reader: &mut Reader<'_>, upstream: &[(Operation, Policy)]) {
    const LIMIT: &str = "limits.upstream.recover";
    const SECRET: &str = "frontegg.client_ip.shared_secret";
    let is_sent = reader.differs(SECRET) || reader.differs(&format!("{SECRET}_file"));
    let recover = upstream
        .iter()
        .find(|(operation, _policy)| *operation == Operation::Recover);
    let quota = recover.and_then(|(_operation, policy)| policy.quotas.first());
    if let Some(quota) = quota.filter(|_quota| !is_sent && !reader.is_written(LIMIT)) {
        let what = format!(
            "all users together have {} recoveries in {} s: the vendor counts them by address, and is told only this gateway's",
            quota.attempts(),
            quota.per().as_secs(),
        );
        reader.warn(
            LIMIT,
            what,
            "have the vendor enable \"Inject client IP\", and set frontegg.client_ip and listen.trusted_proxies; or write the limit down if that is enough",
        );
    }
}

/// Whether more than one caller may use an operation.
fn is_contested(operation: Operation, callers: &[Caller]) -> bool {
    let may = |caller: &&Caller| caller.operations.contains(&operation);
    callers.iter().filter(may).count() > 1
}

fn policy(reader: &Reader<'_>, table: &str) -> Policy {
    Policy {
        quotas: reader.quotas(&format!("{table}.quotas")).to_vec(),
        mode: mode(reader, table),
    }
}

fn mode(reader: &Reader<'_>, table: &str) -> Mode {
    let own = reader.given(&format!("{table}.mode"));
    match own.unwrap_or_else(|| reader.text("limits.mode")) {
        "observe" => Mode::Observe,
        _enforce => Mode::Enforce,
    }
}

fn upstream(reader: &mut Reader<'_>) -> Vec<(Operation, Policy)> {
    let mut policies = Vec::new();
    for table in reader.entries.tables("limits.upstream.*") {
        let name = table.strip_prefix("limits.upstream.").unwrap_or(&table);
        let name = name.trim_matches('"');
        let Some(operation) = Operation::named(name) else {
            let names = Operation::ALL.iter().map(|operation| operation.name());
            let mend = did_you_mean(name, names, "`mfa-gateway routes` lists all operations");
            if !reader.problems.touch(&table) {
                reader.problem(&table, "is not an operation", mend);
            }
            continue;
        };
        let attempts =
            u32::try_from(reader.number(&format!("{table}.attempts"))).unwrap_or(u32::MAX);
        let quota = NonZeroU32::new(attempts)
            .and_then(|attempts| Quota::new(attempts, reader.duration(&format!("{table}.per"))));
        let mode = mode(reader, &table);
        policies.push((
            operation,
            Policy {
                quotas: quota.into_iter().collect(),
                mode,
            },
        ));
    }
    policies
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn policy(quotas: &[(u32, u64)]) -> Policy {
        let quota = |&(attempts, per): &(u32, u64)| {
            Quota::new(attempts.try_into().unwrap(), Duration::from_secs(per)).unwrap()
        };
        Policy {
            quotas: quotas.iter().map(quota).collect(),
            mode: Mode::Enforce,
        }
    }

    #[test]
    fn an_address_that_keeps_up_with_an_email_can_lock_its_owner_out() {
        let email = policy(&[(5, 900), (20, 86_400)]);
        assert!(owner_is_safe(&email, &policy(&[(3, 900), (6, 86_400)])));
        // as many at once, or as fast, or not at all over a day
        assert!(!owner_is_safe(&email, &policy(&[(5, 900), (6, 86_400)])));
        assert!(!owner_is_safe(&policy(&[(5, 900)]), &policy(&[(3, 540)])));
        assert!(!owner_is_safe(&email, &policy(&[(3, 900)])));
        assert!(!owner_is_safe(&email, &policy(&[])));
    }
}

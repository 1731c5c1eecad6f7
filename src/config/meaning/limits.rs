//! `[limits]`: how often.

use std::num::{NonZeroU32, NonZeroUsize};

use super::Reader;
use crate::{
    config::{
        nearest::did_you_mean,
        settings::{Limits, Listen, Mode, Policy},
    },
    model::Quota,
    route::Operation,
};

pub(super) fn read(reader: &mut Reader<'_>, listen: &[Listen]) -> Option<Limits> {
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
    let is_known = listen
        .iter()
        .any(|listen| !listen.trusted_proxies.is_empty());
    for unused in ["limits.email_client", "limits.client"] {
        if reader.is_set(unused) && !is_known {
            reader.warn(
                unused,
                "has no effect while no user's address is known",
                "name in listen.trusted_proxies who may say it, or remove it",
            );
        }
    }
    Some(Limits {
        max_keys: NonZeroUsize::new(reader.count("limits.max_keys"))?,
        key: reader.secret("limits.key"),
        fold_subaddress: reader.flag("limits.email.fold_subaddress"),
        email,
        email_client: policy(reader, "limits.email_client"),
        client: policy(reader, "limits.client"),
        code: policy(reader, "limits.code"),
        send: policy(reader, "limits.send"),
        upstream: upstream(reader),
    })
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
                reader.problem(&table, "is no operation", mend);
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

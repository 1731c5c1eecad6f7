//! Reads a list of quotas.

use std::{num::NonZeroU32, time::Duration};

use figment::value::{Dict, Value};

use super::{
    kind::{Fault, fault},
    units::parse_duration,
};
use crate::model::Quota;

/// More than any policy needs; each costs a few bytes an email.
const MOST_QUOTAS: usize = 4;
const MOST_ATTEMPTS: u32 = 1_000_000;
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 86_400);

pub(super) fn read(items: &[Value]) -> Result<Vec<Quota>, Fault> {
    if items.len() > MOST_QUOTAS {
        return Err(fault(
            format!("holds {} quotas", items.len()),
            format!("keep the {MOST_QUOTAS} that matter"),
        ));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            item.as_dict()
                .ok_or_else(|| {
                    fault(
                        "must be a table",
                        "write it like { attempts = 5, per = \"15m\" }",
                    )
                })
                .and_then(quota)
                .map_err(|problem| {
                    let number = index.saturating_add(1);
                    fault(format!("quota {number}: {}", problem.what), problem.mend)
                })
        })
        .collect()
}

fn quota(table: &Dict) -> Result<Quota, Fault> {
    if let Some(unknown) = table
        .keys()
        .find(|name| !["attempts", "per"].contains(&name.as_str()))
    {
        return Err(fault(
            format!("{unknown} is not a key of a quota"),
            "a quota has attempts and per",
        ));
    }
    let attempts = table
        .get("attempts")
        .and_then(Value::to_i128)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|attempts| *attempts <= MOST_ATTEMPTS)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| {
            fault(
                format!("attempts must be a whole number from 1 to {MOST_ATTEMPTS}"),
                "to have no limit write quotas = []",
            )
        })?;
    let per = table
        .get("per")
        .and_then(Value::as_str)
        .and_then(parse_duration);
    per.filter(|per| (Duration::from_secs(1)..=LONGEST_PERIOD).contains(per))
        .and_then(|per| Quota::new(attempts, per))
        .ok_or_else(|| {
            fault(
                "per must be a duration from 1s to 366d",
                "write it like per = \"15m\"",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn a_quota_is_checked_whole() {
        for (bad, what) in [
            (
                "[{ attempts = 0, per = \"1m\" }]",
                "quota 1: attempts must be",
            ),
            ("[{ attempts = 5 }]", "quota 1: per must be a duration"),
            (
                "[{ attempts = 5, per = \"1m\", burst = 2 }]",
                "quota 1: burst is not a key",
            ),
            ("[{ attempts = 5, per = \"0s\" }]", "quota 1: per must be"),
            ("[5]", "quota 1: must be a table"),
            ("[1, 2, 3, 4, 5]", "holds 5 quotas"),
        ] {
            let items = file::inline(bad).unwrap().into_array().unwrap();
            let got = read(&items).unwrap_err().what;
            assert!(got.starts_with(what), "{bad}: {got}");
        }
    }
}

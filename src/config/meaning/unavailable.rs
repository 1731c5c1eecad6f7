//! Keys of features that this version doesn't have. To say them is a mistake that must
//! show at once: a limit or a caller that is quietly ignored protects nobody.

use super::Reader;
use crate::config::{entries::default_of, keys::Key};

/// A key or section, and the value that is meant; empty: any but the default.
/// Whoever builds a feature takes its lines out.
const UNAVAILABLE: &[(&str, &str)] = &[("telemetry.otlp_endpoint", "")];

/// The row about a key, if there is one.
fn row(key: &Key) -> Option<&'static (&'static str, &'static str)> {
    UNAVAILABLE.iter().find(|(path, _value)| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

impl Key {
    /// Whether this version has what it is for. One that it hasn't must be left at its
    /// default.
    #[must_use]
    pub fn is_available(&self) -> bool {
        row(self).is_none_or(|(_path, value)| !value.is_empty())
    }
}

pub(super) fn check(reader: &mut Reader<'_>) {
    for entry in reader.entries.iter() {
        let Some((_path, value)) = row(entry.key) else {
            continue;
        };
        let default = default_of(entry.key);
        let is_default = default.is_some_and(|default| default.same(&entry.meant));
        let is_meant = value.is_empty() || entry.meant.json().as_str() == Some(value);
        if is_default || !is_meant {
            continue;
        }
        match *value {
            "" => reader.problem(&entry.path, "is not available in this version", "remove it"),
            value => reader.problem(
                &entry.path,
                format!("{value:?} is not available in this version"),
                format!("write {}", entry.key.default),
            ),
        }
    }
}

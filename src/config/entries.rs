//! The written form: the layers checked against the table of keys, then laid over each other.
//!
//! Each layer is checked by itself, so that a mistake is found and placed although a
//! later layer covers it; figment then merges what is left and remembers for each value
//! which layer it came from.

use std::{collections::BTreeMap, fmt};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    check::Checker,
    file::{self, join},
    keys::{self, KEYS, Key, Repeats, SECTIONS, Section},
    meant::Meant,
    problem::{Origin, Problem, Problems},
    sources::{Layer, Sources},
};

/// Operations that have a limit of the vendor's own by default.
pub(super) const LIMITED_UPSTREAM: [&str; 2] = ["recover", "login.verify"];

/// One key of the effective configuration.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its path, with the index of a repeated section.
    pub(super) path: String,
    pub(super) key: &'static Key,
    pub(super) meant: Meant,
    pub(super) origin: Origin,
    /// Which layer it came from; later ones are higher, the default is 0.
    pub(super) rank: usize,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.path, self.meant.toml(), self.origin)
    }
}

/// The effective configuration, key by key, in the order of the table.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    all: Vec<Entry>,
    /// Where each key and table was last written, the empty ones too.
    places: BTreeMap<String, Origin>,
    /// Variables that aren't ours, and are obeyed.
    obeyed: BTreeMap<String, String>,
}

impl Entries {
    /// Reads all layers. What is wrong is told, and read as if it weren't there.
    pub(super) fn read(sources: &Sources, problems: &mut Problems) -> Self {
        let layers = sources.layers(problems);
        Self {
            obeyed: sources.obeyed(),
            ..Self::of_layers(&layers, problems)
        }
    }

    /// Lays the layers over each other.
    pub(super) fn of_layers(layers: &[Layer], problems: &mut Problems) -> Self {
        let mut merged = Figment::new();
        let mut listeners: Option<&Layer> = None;
        for layer in layers {
            let mut values = Checker { layer, problems }.table(&layer.values, "", "");
            match (listeners, values.get("listen")) {
                (_, Some(Value::Array(..))) => listeners = Some(layer),
                // Merged, the table would silently take the place of the whole list.
                (Some(list), Some(Value::Dict(_tag, table))) => {
                    let path = table
                        .keys()
                        .next()
                        .map_or_else(|| "listen".to_owned(), |name| join("listen", name));
                    problems.add(Problem {
                        origin: layer.origin(&path).clone(),
                        key: path,
                        what: format!("for which of the [[listen]] tables of {}?", list.name),
                        mend: "write it into one of those tables".to_owned(),
                    });
                    values.remove("listen");
                }
                (_, _) => {}
            }
            merged = merged.merge(Checked {
                name: layer.name.clone(),
                values,
            });
        }
        let values = Provider::data(&merged)
            .ok()
            .and_then(|mut profiles| profiles.remove(&Profile::Default))
            .unwrap_or_default();
        let place = |path: &str, value: &Value| {
            let name = &merged.get_metadata(value.tag())?.name;
            let rank = layers.iter().position(|layer| layer.name == *name)?;
            let origin = layers.get(rank)?.origin(path).clone();
            Some((origin, rank.saturating_add(1)))
        };
        Self {
            all: settle(&values, place),
            places: layers.iter().flat_map(Layer::places).collect(),
            obeyed: BTreeMap::new(),
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.all.iter()
    }

    /// The entry at this path.
    pub(super) fn at(&self, path: &str) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.path == path)
    }

    /// Where this key or table was written.
    pub(super) fn place(&self, path: &str) -> Option<&Origin> {
        self.places.get(path)
    }

    /// A variable that isn't ours, and is obeyed.
    pub(super) fn obeyed(&self, variable: &str) -> Option<&str> {
        self.obeyed.get(variable).map(String::as_str)
    }

    /// The paths of all tables of this section, such as `callers[0]`.
    pub(super) fn tables(&self, section: &str) -> Vec<String> {
        let mut tables = Vec::new();
        for entry in self
            .all
            .iter()
            .filter(|entry| entry.key.section() == section)
        {
            let name = entry.key.name();
            if let Some(table) = entry.path.strip_suffix(name) {
                let table = table.strip_suffix('.').unwrap_or(table);
                if tables.last().is_none_or(|last| last != table) {
                    tables.push(table.to_owned());
                }
            }
        }
        tables.dedup();
        tables
    }
}

/// One layer's sound part, for figment.
struct Checked {
    name: String,
    values: Dict,
}

impl Provider for Checked {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Every key of every table, from the merged values or else by default.
fn settle(values: &Dict, place: impl Fn(&str, &Value) -> Option<(Origin, usize)>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for section in SECTIONS {
        for (table, written) in instances(values, section) {
            for key in KEYS.iter().filter(|key| key.section() == section.path) {
                let path = join(&table, key.name());
                let value = written.and_then(|table| table.get(key.name()));
                let said = value.and_then(|value| {
                    let (origin, rank) = place(&path, value)?;
                    Some((key.kind.read(value).ok()?, origin, rank))
                });
                let settled = said.or_else(|| Some((default_of(key)?, Origin::Default, 0)));
                if let Some((meant, origin, rank)) = settled {
                    entries.push(Entry {
                        path,
                        key,
                        meant,
                        origin,
                        rank,
                    });
                }
            }
        }
    }
    // All of one listener before the next, as a file would have them.
    entries.sort_by_cached_key(|entry| {
        let top = entry.path.split(['.', '[']).next().unwrap_or_default();
        let section = SECTIONS.iter().position(|section| section.path == top);
        let rest = entry.path.strip_prefix(top).unwrap_or_default();
        let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        (
            section,
            index.and_then(|(index, _rest)| index.parse::<usize>().ok()),
        )
    });
    entries
}

/// A key's default; `None` where it has none.
pub(super) fn default_of(key: &Key) -> Option<Meant> {
    let value = file::inline(key.default)?;
    key.kind.read(&value).ok()
}

/// The tables of a section with their paths; a table that isn't written counts as empty.
fn instances<'a>(values: &'a Dict, section: &Section) -> Vec<(String, Option<&'a Dict>)> {
    let mut found = vec![(String::new(), Some(values))];
    let mut pattern = String::new();
    for segment in section.path.split('.') {
        pattern = match pattern.as_str() {
            "" => segment.to_owned(),
            outer => format!("{outer}.{segment}"),
        };
        let repeats = keys::section(&pattern).map_or(Repeats::Never, |section| section.repeats);
        found = found
            .into_iter()
            .flat_map(|(path, table)| inner(&path, table, segment, repeats))
            .collect();
    }
    found
}

fn inner<'a>(
    path: &str,
    table: Option<&'a Dict>,
    segment: &str,
    repeats: Repeats,
) -> Vec<(String, Option<&'a Dict>)> {
    if segment == "*" {
        let named = table.into_iter().flat_map(Dict::keys).map(String::as_str);
        let more = named.filter(|name| !LIMITED_UPSTREAM.contains(name));
        return LIMITED_UPSTREAM
            .into_iter()
            .chain(more)
            .map(|name| {
                let inner = table.and_then(|table| table.get(name));
                (join(path, name), inner.and_then(Value::as_dict))
            })
            .collect();
    }
    let path = join(path, segment);
    let value = table.and_then(|table| table.get(segment));
    match value.and_then(Value::as_array) {
        Some(items) => {
            let each = items.iter().enumerate();
            each.map(|(index, item)| (format!("{path}[{index}]"), item.as_dict()))
                .collect()
        }
        None if repeats == Repeats::Always => Vec::new(),
        None => vec![(path, value.and_then(Value::as_dict))],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::kind::Kind, *};

    #[test]
    fn the_table_is_sound() {
        let mut seen = HashSet::new();
        for key in KEYS {
            assert!(seen.insert(key.path), "{} stands twice", key.path);
            assert!(
                keys::section(key.section()).is_some(),
                "{} has no section",
                key.path
            );
            assert!(
                default_of(key).is_some() || key.default.is_empty(),
                "{}: bad default",
                key.path
            );
            if key.kind == Kind::Secret {
                let twin = format!("{}_file", key.path);
                let twin = keys::key(&twin).expect(&twin);
                assert_eq!(twin.kind, Kind::Path);
            }
        }
        for section in SECTIONS {
            assert!(seen.insert(section.path), "{} stands twice", section.path);
        }
    }
}

//! Checks one layer against the table of keys.

use figment::value::{Dict, Value};

use super::{
    file::{self, join},
    keys::{self, KEYS, Key, Repeats, SECTIONS, Section},
    kind::{Fault, Kind, fault},
    nearest::nearest,
    problem::{Problem, Problems},
    sources::Layer,
};

/// Checks one layer against the table.
pub(super) struct Checker<'a> {
    pub(super) layer: &'a Layer,
    pub(super) problems: &'a mut Problems,
}

impl Checker<'_> {
    /// The sound part of a table; what isn't sound is told.
    pub(super) fn table(&mut self, written: &Dict, path: &str, pattern: &str) -> Dict {
        let mut sound = Dict::new();
        for (name, value) in written {
            let path = join(path, name);
            let known = keys::child(pattern, name);
            let value = if let Some(key) = known.and_then(keys::key) {
                if key.kind == Kind::Secret {
                    self.one_of_two(written, name, &path);
                }
                self.leaf(value, &path, key)
            } else if let Some(section) = known.and_then(keys::section) {
                self.section(value, &path, section)
            } else {
                self.unknown(&path, pattern);
                None
            };
            if let Some(value) = value {
                sound.insert(name.clone(), value);
            }
        }
        sound
    }

    /// A secret and its file must not be given by the same layer, or none of the two is later.
    fn one_of_two(&mut self, written: &Dict, name: &str, path: &str) {
        let is_given = |name: &str| {
            let text = written.get(name).and_then(Value::as_str);
            text.is_some_and(|text| !text.is_empty())
        };
        if is_given(name) && is_given(&format!("{name}_file")) {
            let fault = fault(
                format!("{path} is given at the same place too"),
                "keep one of the two, best the file",
            );
            self.fault(&format!("{path}_file"), fault);
        }
    }

    fn leaf(&mut self, value: &Value, path: &str, key: &Key) -> Option<Value> {
        let typed = match value.as_str() {
            Some(text) if self.layer.is_text => key.kind.typed(text),
            Some(_) | None => Ok(value.clone()),
        };
        let checked = typed.and_then(|value| key.kind.read(&value).map(|_meant| value));
        checked.map_err(|fault| self.fault(path, fault)).ok()
    }

    fn section(&mut self, value: &Value, path: &str, section: &Section) -> Option<Value> {
        let inline = value
            .as_str()
            .filter(|_text| self.layer.is_text)
            .and_then(file::inline);
        let value = inline.as_ref().unwrap_or(value);
        // So YAML reads a section whose keys are all commented out.
        if let Value::Empty(..) = value {
            return match section.repeats {
                Repeats::Always => None,
                Repeats::Maybe | Repeats::Never => Some(Dict::new().into()),
            };
        }
        if let (Some(table), Repeats::Maybe | Repeats::Never) = (value.as_dict(), section.repeats) {
            return Some(self.table(table, path, section.path).into());
        }
        let items = value
            .as_array()
            .filter(|_items| section.repeats != Repeats::Never);
        let tables =
            items.and_then(|items| items.iter().map(Value::as_dict).collect::<Option<Vec<_>>>());
        let Some(tables) = tables else {
            let (what, mend) = match section.repeats {
                Repeats::Always => (
                    "must be a list of tables",
                    format!("write [[{}]] above each", section.path),
                ),
                Repeats::Maybe => (
                    "must be a table, or a list of them",
                    format!("write [{0}], or [[{0}]] above each", section.path),
                ),
                Repeats::Never => (
                    "must be a table",
                    format!("write [{}] above its keys", section.path),
                ),
            };
            self.fault(
                path,
                Fault {
                    what: what.to_owned(),
                    mend,
                },
            );
            return None;
        };
        let each = tables.into_iter().enumerate();
        let each = each.map(|(index, table)| {
            Value::from(self.table(table, &format!("{path}[{index}]"), section.path))
        });
        Some(each.collect::<Vec<_>>().into())
    }

    // SECURITY: says the name only. The value of a misspelt api_key is the API key.
    fn unknown(&mut self, path: &str, pattern: &str) {
        let mend = match nearest_key(path) {
            // `limits.upstream.login.verify` is four names, and two were meant.
            _ if pattern.ends_with(".*") => {
                "a name with dots goes in quotes: limits.upstream.\"login.verify\"".to_owned()
            }
            Some(near) => format!("did you mean {near}?"),
            None => "remove it; `mfa-gateway config defaults` lists all keys".to_owned(),
        };
        self.fault(
            path,
            Fault {
                what: "is not a key of the configuration".to_owned(),
                mend,
            },
        );
    }

    fn fault(&mut self, path: &str, fault: Fault) {
        self.problems.add(Problem {
            key: path.to_owned(),
            origin: self.layer.origin(path).clone(),
            what: fault.what,
            mend: fault.mend,
        });
    }
}

/// The known key that is nearest to this path: one with the same name elsewhere, or one
/// that is spelt much like it.
fn nearest_key(path: &str) -> Option<&'static str> {
    let known = || {
        let sections = SECTIONS.iter().map(|section| section.path);
        KEYS.iter().map(|key| key.path).chain(sections)
    };
    let name = path.rsplit('.').next().unwrap_or(path);
    let outer = path.strip_suffix(name).unwrap_or_default();
    let within = known().filter(|key| {
        key.rsplit_once('.').map_or("", |(table, _)| table) == outer.trim_end_matches('.')
    });
    nearest(path, within)
        .or_else(|| known().find(|key| key.rsplit('.').next() == Some(name)))
        .or_else(|| nearest(path, known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_here_and_elsewhere() {
        assert_eq!(nearest_key("listen.adress"), Some("listen.address"));
        assert_eq!(nearest_key("region"), Some("frontegg.region"));
        assert_eq!(nearest_key("fronteg"), Some("frontegg"));
        assert_eq!(nearest_key("frontegg.apikey"), Some("frontegg.api_key"));
        assert_eq!(nearest_key("callers[0].nam"), Some("callers.name"));
        assert_eq!(nearest_key("zzz"), None);
    }
}

//! Shows a configuration: the defaults as a file to start from, and what is in effect.

use std::fmt::Write as _;

use serde_json::json;

use super::{
    Loaded, Problem,
    entries::{Entry, LIMITED_UPSTREAM},
    file::join,
    keys::{KEYS, Key, Repeats, SECTIONS, Section},
};

/// The width at which comments are broken.
const WIDTH: usize = 96;

/// All defaults as a commented TOML file.
#[must_use]
pub fn defaults() -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "",
        "Every key of mfa-gateway with its default, as `mfa-gateway config defaults` prints them. \
         Leave out what you don't change. An empty text means: not set. Each key can be given as a \
         variable too: MFA_GATEWAY__LISTEN__MAX_BODY is listen.max_body.",
    );
    for section in SECTIONS {
        if KEYS.iter().any(|key| key.section() == section.path) {
            text.push('\n');
            default_section(&mut text, section);
        }
    }
    text
}

fn default_section(text: &mut String, section: &Section) {
    comment(text, "", section.doc);
    let keys = || KEYS.iter().filter(|key| key.section() == section.path);
    // A section that is empty by default is shown as an example.
    let prefix = match section.repeats {
        Repeats::Always => "# ",
        Repeats::Maybe | Repeats::Never => "",
    };
    match section.path.strip_suffix(".*") {
        Some(outer) => {
            for key in keys() {
                comment(text, "", &format!("{}: {}", key.name(), key.doc));
            }
            for name in LIMITED_UPSTREAM {
                line(text, &format!("[{}]", join(outer, name)));
                for key in keys() {
                    line(text, &format!("{} = {}", key.name(), key.default));
                }
            }
        }
        None => {
            let heading = match section.repeats {
                Repeats::Always => format!("# [[{}]]", section.path),
                Repeats::Maybe | Repeats::Never => format!("[{}]", section.path),
            };
            line(text, &heading);
            for key in keys() {
                comment(text, prefix, key.doc);
                let without = if key.default.is_empty() && prefix.is_empty() {
                    "# "
                } else {
                    prefix
                };
                line(
                    text,
                    format!("{without}{} = {}", key.name(), key.default).trim_end(),
                );
            }
        }
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn comment(text: &mut String, prefix: &str, doc: &str) {
    let mut current = format!("{prefix}#");
    for word in doc.split_whitespace() {
        if current.len().saturating_add(word.len()) >= WIDTH {
            line(text, &current);
            current = format!("{prefix}#");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(text, &current);
}

impl Loaded {
    /// The effective configuration as TOML, each key with the layer that it came from;
    /// secrets redacted.
    #[must_use]
    pub fn show_toml(&self) -> String {
        let mut text = String::new();
        let mut open = String::new();
        for entry in self.entries.iter() {
            let table = table_of(entry);
            if table != open {
                let heading = match table
                    .strip_suffix(']')
                    .and_then(|rest| rest.rsplit_once('['))
                {
                    Some((name, _index)) => format!("[[{name}]]"),
                    None => format!("[{}]", unindexed(table)),
                };
                let gap = if text.is_empty() { "" } else { "\n" };
                line(&mut text, &format!("{gap}{heading}"));
                table.clone_into(&mut open);
            }
            let assignment = format!("{} = {}", entry.key.name(), entry.meant.toml());
            // Writing to a String can't fail.
            if writeln!(text, "{assignment:<44} # {}", entry.origin).is_err() {
                break;
            }
        }
        text
    }

    /// The same for scripts: one object a key.
    #[must_use]
    pub fn show_json(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .entries
            .iter()
            .map(|entry| {
                json!({
                    "key": entry.path,
                    "value": entry.meant.json(),
                    "origin": entry.origin.json(),
                })
            })
            .collect();
        let warnings: Vec<_> = self.warnings.iter().map(Problem::json).collect();
        json!({ "configuration": keys, "warnings": warnings })
    }
}

fn table_of(entry: &Entry) -> &str {
    let name: &Key = entry.key;
    let table = entry.path.strip_suffix(name.name()).unwrap_or(&entry.path);
    table.strip_suffix('.').unwrap_or(table)
}

/// `listen[1].tls` is written as `[listen.tls]`, below its `[[listen]]`.
fn unindexed(table: &str) -> String {
    match table.split_once('[') {
        Some((name, rest)) => {
            let rest = rest.split_once(']').map_or("", |(_index, rest)| rest);
            format!("{name}{rest}")
        }
        None => table.to_owned(),
    }
}

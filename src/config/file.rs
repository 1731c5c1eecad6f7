//! Reads TOML, YAML and JSON into one form of values, and remembers the line of each key.
//!
//! All whole numbers become signed 64-bit ones. No error repeats what the file says,
//! since that may be a secret.

use std::{collections::BTreeMap, path::Path};

use figment::value::{Dict, Empty, Tag, Value};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use toml_edit::{Document, Item, TableLike};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// As the file's name ends.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) values: Dict,
    /// By key path; counted from 1.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Why a file says nothing.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: String,
    pub(super) line: Option<usize>,
}

/// Reads a file's text.
///
/// # Errors
/// Where the text isn't well-formed, or is no table.
pub(super) fn parse(format: Format, text: &str) -> Result<Parsed, Broken> {
    match format {
        Format::Json => json(text),
        Format::Toml => toml(text),
        Format::Yaml => yaml(text),
    }
}

/// Reads one value as it would stand behind `=` in TOML, or as JSON.
pub(super) fn inline(text: &str) -> Option<Value> {
    let text = text.trim();
    match text.parse::<toml_edit::Value>() {
        Ok(value) => {
            let mut reader = TomlReader::default();
            Some(reader.item(&Item::Value(value), ""))
        }
        Err(_no_toml) => {
            let document = format!("{{\"value\": {text}}}");
            json(&document).ok()?.values.remove("value")
        }
    }
}

/// The path of `name` in the table at `parent`, quoted where TOML would quote it.
pub(super) fn join(parent: &str, name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let segment = if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    };
    match parent {
        "" => segment,
        _ => format!("{parent}.{segment}"),
    }
}

fn toml(text: &str) -> Result<Parsed, Broken> {
    let document = Document::parse(text).map_err(|error| Broken {
        what: format!("is not valid TOML: {}", error.message().replace('\n', ", ")),
        line: error.span().map(|span| line_at(text, span.start)),
    })?;
    let mut reader = TomlReader {
        text,
        lines: BTreeMap::new(),
    };
    let values = reader.table(document.as_table(), "");
    Ok(Parsed {
        values,
        lines: reader.lines,
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before
        .filter(|byte| *byte == b'\n')
        .count()
        .saturating_add(1)
}

#[derive(Default)]
struct TomlReader<'a> {
    text: &'a str,
    lines: BTreeMap<String, usize>,
}

impl TomlReader<'_> {
    fn table(&mut self, table: &dyn TableLike, path: &str) -> Dict {
        table
            .iter()
            .map(|(name, item)| {
                let path = join(path, name);
                let span = table.key(name).and_then(toml_edit::Key::span);
                if let Some(span) = span.or_else(|| item.span()) {
                    self.lines
                        .insert(path.clone(), line_at(self.text, span.start));
                }
                (name.to_owned(), self.item(item, &path))
            })
            .collect()
    }

    fn item(&mut self, item: &Item, path: &str) -> Value {
        if let Some(table) = item.as_table_like() {
            return Value::from(self.table(table, path));
        }
        if let Some(tables) = item.as_array_of_tables() {
            let each = tables.iter().enumerate().map(|(index, table)| {
                let path = format!("{path}[{index}]");
                if let Some(span) = table.span() {
                    self.lines
                        .insert(path.clone(), line_at(self.text, span.start));
                }
                Value::from(self.table(table, &path))
            });
            return Value::from(each.collect::<Vec<_>>());
        }
        match item.as_value() {
            Some(toml_edit::Value::String(text)) => Value::from(text.value().as_str()),
            Some(toml_edit::Value::Integer(number)) => Value::from(*number.value()),
            Some(toml_edit::Value::Float(number)) => Value::from(*number.value()),
            Some(toml_edit::Value::Boolean(flag)) => Value::from(*flag.value()),
            Some(toml_edit::Value::Datetime(time)) => Value::from(time.value().to_string()),
            Some(toml_edit::Value::Array(items)) => {
                let each = items.iter().enumerate().map(|(index, value)| {
                    self.item(&Item::Value(value.clone()), &format!("{path}[{index}]"))
                });
                Value::from(each.collect::<Vec<_>>())
            }
            Some(toml_edit::Value::InlineTable(_)) | None => {
                Value::Empty(Tag::Default, Empty::None)
            }
        }
    }
}

/// JSON is nearly YAML, so its lines come from the same reader.
fn json(text: &str) -> Result<Parsed, Broken> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| Broken {
        what: format!("is not valid JSON, at column {}", error.column()),
        line: Some(error.line()),
    })?;
    yaml(&as_yaml(text))
}

/// Sound JSON without what YAML doesn't take: tabs, which stand between tokens only, and characters
/// that are escaped as a pair of surrogates.
fn as_yaml(json: &str) -> String {
    let json = json.replace('\t', " ");
    let mut plain = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        if let Some(character) = surrogates(escape) {
            plain.push(character);
            rest = escape.get(PAIR..).unwrap_or_default();
        } else {
            // the one behind may be a backslash itself
            let mut behind = escape.chars();
            plain.push('\\');
            plain.extend(behind.next());
            rest = behind.as_str();
        }
    }
    plain.push_str(rest);
    plain
}

/// The length of a pair behind its first backslash: `ud83d\ude00`.
const PAIR: usize = 11;

fn surrogates(escape: &str) -> Option<char> {
    let (high, low) = escape.get(..PAIR)?.split_once('\\')?;
    let unit = |escape: &str| u16::from_str_radix(escape.strip_prefix('u')?, 16).ok();
    char::decode_utf16([unit(high)?, unit(low)?])
        .next()?
        .ok()
        .filter(|character| character.len_utf16() == 2)
}

fn yaml(text: &str) -> Result<Parsed, Broken> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| Broken {
        what: format!("can't be read: {}", error.info()),
        line: Some(error.marker().line()),
    })?;
    let mut lines = BTreeMap::new();
    if let Some(second) = documents.get(1) {
        return Err(Broken {
            what: "holds more than one document".to_owned(),
            line: Some(second.span.start.line()),
        });
    }
    let Some(document) = documents.first().filter(|only| !only.data.is_null()) else {
        return Ok(Parsed::default());
    };
    let values = yaml_value(document, "", &mut lines).into_dict();
    let values = values.ok_or_else(|| Broken {
        what: "is not a table of keys".to_owned(),
        line: Some(document.span.start.line()),
    })?;
    Ok(Parsed { values, lines })
}

fn yaml_value(node: &MarkedYaml<'_>, path: &str, lines: &mut BTreeMap<String, usize>) -> Value {
    match &node.data {
        YamlData::Value(Scalar::Boolean(flag)) => Value::from(*flag),
        YamlData::Value(Scalar::Integer(number)) => Value::from(*number),
        YamlData::Value(Scalar::FloatingPoint(number)) => Value::from(number.into_inner()),
        YamlData::Value(Scalar::String(text)) => Value::from(text.as_ref()),
        YamlData::Mapping(entries) => {
            let each = entries.iter().map(|(key, value)| {
                // A key that isn't text is no key of ours: any name will do to say so.
                let name = key.data.as_str().unwrap_or("?");
                let path = join(path, name);
                lines.insert(path.clone(), key.span.start.line());
                (name.to_owned(), yaml_value(value, &path, lines))
            });
            Value::from(each.collect::<Dict>())
        }
        YamlData::Sequence(items) => {
            let each = items.iter().enumerate().map(|(index, item)| {
                let path = format!("{path}[{index}]");
                lines.insert(path.clone(), item.span.start.line());
                yaml_value(item, &path, lines)
            });
            Value::from(each.collect::<Vec<_>>())
        }
        YamlData::Value(Scalar::Null)
        | YamlData::Alias(_)
        | YamlData::BadValue
        | YamlData::Representation(..)
        | YamlData::Tagged(..) => Value::Empty(Tag::Default, Empty::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "# first\n[frontegg]\nregion = \"us\"\nhttp2 = true\n\n[[callers]]\nname = \"a\"\n[[callers]]\nname = \"b\"\noperations = [\n  \"*\",\n]\n[limits]\nupstream.\"login.verify\" = { attempts = 5 }\n";
    const YAML: &str = "# first\nfrontegg:\n  region: us\n  http2: true\n\ncallers:\n- name: a\n- name: b\n  operations:\n  - '*'\n\n\nlimits:\n  upstream: {login.verify: {attempts: 5}}\n";
    const JSON: &str = "{\n\"frontegg\": {\n\"region\": \"us\",\n\"http2\": true},\n\n\"callers\": [\n{\"name\": \"a\"},\n{\"name\": \"b\",\n\"operations\": [\"*\"]}],\n\n\n\n\"limits\": {\n\"upstream\": {\"login.verify\": {\"attempts\": 5}}}\n}";

    #[test]
    fn the_three_formats_say_the_same() {
        let [toml, yaml, json] = [
            (Format::Toml, TOML),
            (Format::Yaml, YAML),
            (Format::Json, JSON),
        ]
        .map(|(format, text)| parse(format, text).unwrap());
        assert_eq!(toml.values, yaml.values);
        assert_eq!(yaml.values, json.values);
        for parsed in [&toml, &yaml, &json] {
            assert_eq!(parsed.lines["frontegg.region"], 3);
            assert_eq!(parsed.lines["frontegg.http2"], 4);
            assert_eq!(parsed.lines["limits.upstream.\"login.verify\""], 14);
        }
        assert_eq!(
            (toml.lines["callers[1].name"], yaml.lines["callers[1].name"]),
            (9, 8)
        );
    }

    #[test]
    fn a_broken_file_is_named_by_line_and_nothing_of_it_is_repeated() {
        for (format, text, line) in [
            (Format::Toml, "a = 1\nkey = \"hunter2\nb = 2\n", 2),
            (Format::Toml, "a = 1\na = hunter2\n", 2),
            (Format::Yaml, "a: 1\nkey: \"hunter2\n", 2),
            (Format::Yaml, "a: 1\na: hunter2\n", 2),
            (Format::Yaml, "hunter2\n", 1),
            (Format::Json, "{\"a\": 1,\n \"key\": \"hunter2}", 2),
            (Format::Json, "{\"a\": 1,\n \"a\": \"hunter2\"}", 2),
            (Format::Json, "{a: hunter2}", 1),
        ] {
            let broken = parse(format, text).unwrap_err();
            assert_eq!(broken.line, Some(line), "{text}: {}", broken.what);
            assert!(!broken.what.contains("hunter2"), "{}", broken.what);
        }
    }

    #[test]
    fn json_that_is_no_yaml_is_read() {
        let text = r#"{"a": "\ud83d\ude00\u00e9\\ud83d \"", "\ud83d\ude00":
            2}"#;
        let parsed = parse(Format::Json, text).unwrap();
        assert_eq!(parsed.values["a"].as_str(), Some("😀é\\ud83d \""));
        assert!(parsed.values.contains_key("😀"));
        assert!(parse(Format::Json, "{\n\t\"a\":\t1\n}").is_ok());
    }

    #[test]
    fn an_inline_value_is_toml_or_json() {
        assert_eq!(inline("[\"a\", 'b']"), Some(Value::from(vec!["a", "b"])));
        let (toml, json) = (inline("{ a = 1 }"), inline("{\"a\": 1}"));
        assert!(toml.is_some() && toml == json);
        assert_eq!(inline("[a, b"), None);
        assert_eq!(inline("1}, {\"x\": 2"), None);
    }
}

//! The JSON Schema of a configuration file, for editors and for checks before a roll-out.

use serde_json::{Map, Value, json};

use super::{
    entries::default_of,
    keys::{KEYS, Key, Repeats, SECTIONS, Section},
    kind::Kind,
};

/// The schema, in the dialect of 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = table("");
    if let Some(object) = schema.as_object_mut() {
        object.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        object.insert("$id".into(), "urn:mfa-gateway:configuration".into());
        object.insert("title".into(), "mfa-gateway".into());
    }
    schema
}

fn table(pattern: &str) -> Value {
    let mut properties = Map::new();
    let mut others = json!(false);
    for key in KEYS.iter().filter(|key| key.section() == pattern) {
        properties.insert(key.name().into(), property(key));
    }
    for section in SECTIONS {
        match section.path.rsplit_once('.') {
            Some((outer, "*")) if outer == pattern => others = repeated(section),
            Some((outer, name)) if outer == pattern => {
                properties.insert(name.into(), repeated(section));
            }
            None if pattern.is_empty() => {
                properties.insert(section.path.into(), repeated(section));
            }
            Some(_) | None => {}
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": others,
    })
}

fn repeated(section: &Section) -> Value {
    let mut one = table(section.path);
    let list = json!({ "type": "array", "items": one.clone() });
    let mut schema = match section.repeats {
        Repeats::Always => list,
        Repeats::Maybe => json!({ "oneOf": [one, list] }),
        Repeats::Never => one.take(),
    };
    describe(&mut schema, section.doc);
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = match key.kind {
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Count { least, most } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Duration { .. } => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::OneOrMore => json!({
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
        }),
        Kind::Path | Kind::Text => json!({ "type": "string" }),
        Kind::Quotas => json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "attempts": { "type": "integer", "minimum": 1 },
                    "per": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" },
                },
                "required": ["attempts", "per"],
                "additionalProperties": false,
            },
        }),
        Kind::Secret => json!({ "type": "string", "writeOnly": true }),
        Kind::Size { .. } => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }),
        Kind::Url => json!({ "type": "string" }),
    };
    describe(&mut schema, key.doc);
    if let (Some(object), Some(default)) = (schema.as_object_mut(), default_of(key)) {
        object.insert("default".into(), default.json());
    }
    schema
}

fn describe(schema: &mut Value, doc: &str) {
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".into(), doc.into());
    }
}

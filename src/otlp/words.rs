//! The words that all messages share: who speaks, and attributes.

use std::{process, sync::LazyLock};

use uuid::Uuid;

use super::messages::{AnyValue, KeyValue, Resource, Scope, Value};

/// An attribute that is text.
#[must_use]
pub fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::Text(value.into()))
}

/// An attribute that is a number.
#[must_use]
pub fn number(key: &str, value: impl TryInto<i64>) -> KeyValue {
    attribute(key, Value::Number(value.try_into().unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}

/// This process, in the words of OpenTelemetry's semantic conventions.
#[must_use]
pub fn about_us() -> Resource {
    /// Another with each start, as `service.instance.id` is to be.
    static INSTANCE: LazyLock<String> = LazyLock::new(|| Uuid::now_v7().to_string());
    Resource {
        attributes: vec![
            text("service.name", env!("CARGO_PKG_NAME")),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", INSTANCE.as_str()),
            number("process.pid", process::id()),
        ],
    }
}

/// The part of us that speaks.
#[must_use]
pub fn scope(name: &str) -> Scope {
    Scope {
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

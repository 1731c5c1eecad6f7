//! A value of its kind, and how it is shown.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::units::{show_duration, show_size};
use crate::model::Quota;

/// A value of its kind.
#[derive(Clone, Debug)]
pub(super) enum Meant {
    Bytes(u64),
    Duration(Duration),
    Flag(bool),
    List(Vec<String>),
    Number(u64),
    Quotas(Vec<Quota>),
    Secret(SecretString),
    Text(String),
}

impl Meant {
    /// As it would be written in TOML; secrets and passwords within URLs redacted.
    pub(super) fn toml(&self) -> String {
        match self {
            Self::Quotas(quotas) => {
                let items: Vec<_> = quotas
                    .iter()
                    .map(|quota| {
                        let per = show_duration(quota.per());
                        format!("{{ attempts = {}, per = \"{per}\" }}", quota.attempts())
                    })
                    .collect();
                format!("[{}]", items.join(", "))
            }
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| quoted(&masked(item))).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Bytes(_)
            | Self::Duration(_)
            | Self::Flag(_)
            | Self::Number(_)
            | Self::Secret(_)
            | Self::Text(_) => self.json().to_string(),
        }
    }

    /// The same as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Bytes(bytes) => show_size(*bytes).into(),
            Self::Duration(duration) => show_duration(*duration).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::List(items) => items.iter().map(|item| masked(item)).collect(),
            Self::Number(number) => (*number).into(),
            Self::Quotas(quotas) => quotas
                .iter()
                .map(|quota| {
                    serde_json::json!({
                        "attempts": quota.attempts(),
                        "per": show_duration(quota.per()),
                    })
                })
                .collect(),
            Self::Secret(secret) if secret.expose_secret().is_empty() => "".into(),
            Self::Secret(_) => "[redacted]".into(),
            Self::Text(text) => masked(text).into(),
        }
    }

    /// Whether it is the same; secrets are compared as they are.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(one), Self::Secret(two)) => one.expose_secret() == two.expose_secret(),
            // A list of URLs may differ in a password alone.
            (Self::List(one), Self::List(two)) => one == two,
            (Self::Text(one), Self::Text(two)) => one == two,
            _ => self.json() == other.json(),
        }
    }
}

/// A basic string of TOML, and of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text without the user and password of a URL in it.
fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_secret, host)) => format!("{scheme}://[redacted]@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown() {
        let secret = |text: &str| Meant::Secret(SecretString::from(text)).toml();
        assert_eq!(secret("hunter2"), "\"[redacted]\"");
        assert_eq!(secret(""), "\"\"");
        assert_eq!(
            masked("http://me:hunter2@proxy:3128/a@b"),
            "http://[redacted]@proxy:3128/a@b"
        );
        assert_eq!(masked("http://proxy:3128"), "http://proxy:3128");
    }

    #[test]
    fn secrets_are_the_same_only_where_their_texts_are() {
        let secret = |text: &str| Meant::Secret(SecretString::from(text));
        assert!(secret("a").same(&secret("a")) && !secret("a").same(&secret("b")));
        let url = |text: &str| Meant::Text(text.to_owned());
        assert!(!url("http://a:1@x").same(&url("http://a:2@x")));
    }
}

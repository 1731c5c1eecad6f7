//! What may be written at a key, and how it is read.
//!
//! A value comes typed from a file, or as text from the environment and `--set`; text is
//! first given the type that the key asks for, so that `0123` stays text where text is meant.

use std::{fmt, time::Duration};

use figment::value::Value;
use secrecy::SecretString;

use super::{
    file,
    meant::Meant,
    nearest, quotas,
    units::{parse_duration, parse_size},
};

/// What may be written at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Count {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A duration such as `10s`.
    Duration {
        /// The shortest.
        least: &'static str,
        /// The longest.
        most: &'static str,
    },
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    List,
    /// A text, or a list of them.
    OneOrMore,
    /// A file's path; empty: none.
    Path,
    /// A list of quotas.
    Quotas,
    /// A text that is shown to nobody. Each such key has a twin named `…_file`.
    Secret,
    /// A size such as `64KiB`.
    Size {
        /// The smallest.
        least: &'static str,
        /// The largest.
        most: &'static str,
    },
    /// Text.
    Text,
    /// A URL, which may hold a password.
    Url,
}

/// A value that isn't of its kind: what is wrong with it, and the mend.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) mend: String,
}

pub(super) fn fault(what: impl Into<String>, mend: impl Into<String>) -> Fault {
    Fault {
        what: what.into(),
        mend: mend.into(),
    }
}

impl Kind {
    /// Reads a typed value.
    ///
    /// # Errors
    /// Where it isn't of this kind. The fault repeats the value only where that is no secret.
    pub(super) fn read(self, value: &Value) -> Result<Meant, Fault> {
        let wrong = || {
            fault(
                format!("must be {}, not {}", self.article(), type_of(value)),
                format!("write it like {}", self.example()),
            )
        };
        match self {
            Self::Choice(words) => {
                let text = value.as_str().ok_or_else(wrong)?;
                choice(words, text).map(|word| Meant::Text(word.to_owned()))
            }
            Self::Count { least, most } => {
                let number = value.to_i128().ok_or_else(wrong)?;
                u64::try_from(number)
                    .ok()
                    .filter(|number| (least..=most).contains(number))
                    .map(Meant::Number)
                    .ok_or_else(|| out_of_range(&least, &most))
            }
            Self::Duration { least, most } => {
                let text = value.as_str().ok_or_else(wrong)?;
                let duration = parse_duration(text).ok_or_else(|| no_unit(self, text))?;
                let shortest = parse_duration(least).unwrap_or(Duration::ZERO);
                let longest = parse_duration(most).unwrap_or(Duration::MAX);
                (shortest..=longest)
                    .contains(&duration)
                    .then_some(Meant::Duration(duration))
                    .ok_or_else(|| out_of_range(&least, &most))
            }
            Self::Flag => value.to_bool().map(Meant::Flag).ok_or_else(wrong),
            Self::List => texts(value).map(Meant::List).ok_or_else(wrong),
            Self::OneOrMore => value
                .as_str()
                .map(|one| vec![one.to_owned()])
                .or_else(|| texts(value))
                .map(Meant::List)
                .ok_or_else(wrong),
            Self::Quotas => quotas::read(value.as_array().ok_or_else(wrong)?).map(Meant::Quotas),
            Self::Secret => {
                let text = value.as_str().ok_or_else(wrong)?;
                Ok(Meant::Secret(SecretString::from(text)))
            }
            Self::Size { least, most } => {
                let text = value.as_str().ok_or_else(wrong)?;
                let bytes = parse_size(text).ok_or_else(|| no_unit(self, text))?;
                let smallest = parse_size(least).unwrap_or(0);
                let largest = parse_size(most).unwrap_or(u64::MAX);
                (smallest..=largest)
                    .contains(&bytes)
                    .then_some(Meant::Bytes(bytes))
                    .ok_or_else(|| out_of_range(&least, &most))
            }
            Self::Path | Self::Text | Self::Url => {
                let text = value.as_str().ok_or_else(wrong)?;
                Ok(Meant::Text(text.to_owned()))
            }
        }
    }

    /// Gives a text from the environment or `--set` the type that this kind asks for.
    ///
    /// # Errors
    /// Where it can't be read so.
    pub(super) fn typed(self, text: &str) -> Result<Value, Fault> {
        let wrong = || {
            fault(
                format!("must be {}", self.article()),
                format!("write it like {}", self.example()),
            )
        };
        match self {
            Self::Count { .. } => {
                let number = text.trim().replace('_', "").parse::<i128>();
                number.map(Value::from).map_err(|_no_number| wrong())
            }
            Self::Flag => {
                let flag = text.trim().parse::<bool>();
                flag.map(Value::from).map_err(|_neither| wrong())
            }
            Self::List | Self::OneOrMore => {
                let trimmed = text.trim();
                // `[::1]:8080` starts with a bracket too, but doesn't end with one.
                if trimmed.starts_with('[') && trimmed.ends_with(']') {
                    return file::inline(trimmed).ok_or_else(wrong);
                }
                let items = trimmed.split(',').map(str::trim);
                Ok(items
                    .filter(|item| !item.is_empty())
                    .collect::<Vec<_>>()
                    .into())
            }
            Self::Quotas => file::inline(text).ok_or_else(wrong),
            Self::Choice(_)
            | Self::Duration { .. }
            | Self::Path
            | Self::Secret
            | Self::Size { .. }
            | Self::Text
            | Self::Url => Ok(Value::from(text)),
        }
    }

    /// "a duration", for messages and the reference.
    #[must_use]
    pub const fn article(self) -> &'static str {
        match self {
            Self::Choice(_) | Self::Text => "text",
            Self::Count { .. } => "a whole number",
            Self::Duration { .. } => "a duration",
            Self::Flag => "true or false",
            Self::List => "a list of texts",
            Self::OneOrMore => "text or a list of texts",
            Self::Path => "a path",
            Self::Quotas => "a list of quotas",
            Self::Secret => "text, a secret",
            Self::Size { .. } => "a size",
            Self::Url => "a URL",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Choice(_) | Self::Secret | Self::Text => "\"text\", in quotes",
            Self::Count { .. } => "10",
            Self::Duration { .. } => "\"250ms\", \"10s\", \"15m\", \"2h\" or \"1d\"",
            Self::Flag => "true or false, without quotes",
            Self::List | Self::OneOrMore => "[\"one\", \"two\"]",
            Self::Path => "\"/run/secrets/key\", in quotes",
            Self::Quotas => "[{ attempts = 5, per = \"15m\" }]",
            Self::Size { .. } => "\"512B\", \"64KiB\", \"100MiB\" or \"1GiB\"",
            Self::Url => "\"https://host/path\", in quotes",
        }
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items.map(|item| item.as_str().map(str::to_owned)).collect()
}

fn choice<'a>(words: &'a [&'a str], text: &str) -> Result<&'a str, Fault> {
    words
        .iter()
        .copied()
        .find(|word| *word == text)
        .ok_or_else(|| {
            let offered: Vec<_> = words
                .iter()
                .copied()
                .filter(|word| !word.is_empty())
                .collect();
            let mend = nearest::nearest(text, offered.iter().copied()).map_or_else(
                || "choose one of them".to_owned(),
                |near| format!("did you mean {near:?}?"),
            );
            fault(
                format!("must be one of {}, not {text:?}", offered.join(", ")),
                mend,
            )
        })
}

fn no_unit(kind: Kind, text: &str) -> Fault {
    fault(
        format!("{text:?} is not {}", kind.article()),
        format!("write it like {}", kind.example()),
    )
}

fn out_of_range(least: &impl fmt::Display, most: &impl fmt::Display) -> Fault {
    fault(
        "is out of range",
        format!("write a value from {least} to {most}"),
    )
}

fn type_of(value: &Value) -> &'static str {
    if value.as_str().is_some() {
        "text"
    } else if value.to_bool().is_some() {
        "true or false"
    } else if value.as_dict().is_some() {
        "a table"
    } else if value.as_array().is_some() {
        "a list of something else"
    } else if value.to_i128().is_some() {
        "a number"
    } else if value.to_f64().is_some() {
        "a fraction"
    } else {
        "nothing"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kind: Kind, text: &str) -> String {
        match kind.typed(text).and_then(|value| kind.read(&value)) {
            Ok(meant) => meant.toml(),
            Err(fault) => format!("{}; {}", fault.what, fault.mend),
        }
    }

    #[test]
    fn text_is_read_by_the_kind_that_is_meant() {
        let count = Kind::Count {
            least: 1,
            most: 1_000,
        };
        assert_eq!(typed(Kind::Text, "0123"), "\"0123\"");
        assert_eq!(typed(Kind::Text, "true"), "\"true\"");
        assert_eq!(typed(count, "1_000"), "1000");
        assert_eq!(
            typed(count, "1_001"),
            "is out of range; write a value from 1 to 1000"
        );
        assert_eq!(
            typed(count, "-1"),
            "is out of range; write a value from 1 to 1000"
        );
        assert_eq!(typed(Kind::Flag, "true"), "true");
        assert!(typed(Kind::Flag, "yes").starts_with("must be true or false"));
        assert_eq!(typed(Kind::OneOrMore, "[::1]:8080"), "[\"[::1]:8080\"]");
        assert_eq!(typed(Kind::List, "a, b,"), "[\"a\", \"b\"]");
        assert_eq!(typed(Kind::List, "[\"a,b\"]"), "[\"a,b\"]");
        assert_eq!(typed(Kind::List, ""), "[]");
        let quotas = "[{ attempts = 5, per = \"15m\" }]";
        assert_eq!(typed(Kind::Quotas, quotas), quotas);
        assert_eq!(
            typed(Kind::Quotas, r#"[{"attempts": 5, "per": "900s"}]"#),
            quotas
        );
    }
}

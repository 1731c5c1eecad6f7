//! What is wrong with a configuration, where it was written, and the mend.

use std::{fmt, path::PathBuf};

use serde_json::json;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the built-in default.
    Default,
    /// In this file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// On this line, where that is known.
        line: Option<usize>,
    },
    /// On the command line.
    Set,
    /// In this variable of the environment.
    Variable(String),
}

impl Origin {
    /// The layer's name.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Set => "set",
            Self::Variable(_) => "environment",
        }
    }

    /// For scripts.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Default | Self::Set => json!({ "layer": self.layer() }),
            Self::File { path, line } => {
                json!({ "layer": self.layer(), "file": path.to_string_lossy(), "line": line })
            }
            Self::Variable(name) => json!({ "layer": self.layer(), "variable": name }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::Set => f.write_str("--set"),
            Self::Variable(name) => write!(f, "{name}"),
        }
    }
}

/// One mistake, or something that is probably one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key's path; empty where a whole file is meant.
    pub key: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong. Never repeats a secret.
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl Problem {
    /// For scripts.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({
            "key": self.key,
            "origin": self.origin.json(),
            "problem": self.what,
            "mend": self.mend,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            origin,
            what,
            mend,
        } = self;
        match key.as_str() {
            "" => writeln!(f, "{what}")?,
            _ => writeln!(f, "{key}: {what}")?,
        }
        writeln!(f, "  from  {origin}")?;
        write!(f, "  mend  {mend}")
    }
}

/// All that is wrong with a configuration; at least one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one, unless it is known already.
    pub(super) fn add(&mut self, problem: Problem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Forgets what is wrong with other sections. What is wrong with a whole source stays: it may
    /// have said something about this one.
    pub(super) fn keep_for(&mut self, section: &str) {
        self.0.retain(|known| {
            known.key.is_empty() || known.key == section || is_within(&known.key, section)
        });
    }

    /// Whether something is known about this key, what it is within, or what is within it.
    pub(super) fn touch(&self, key: &str) -> bool {
        self.0.iter().any(|known| {
            known.key == key || is_within(key, &known.key) || is_within(&known.key, key)
        })
    }

    /// Whether a whole file could not be read: what is set nowhere else may be set there.
    pub(super) fn lack_a_file(&self) -> bool {
        let is_file = |known: &Problem| matches!(known.origin, Origin::File { .. });
        self.0
            .iter()
            .any(|known| known.key.is_empty() && is_file(known))
    }

    /// One by one, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Whether this key is in that table or list.
pub(super) fn is_within(key: &str, outer: &str) -> bool {
    !outer.is_empty()
        && key
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(key: &str) -> Problem {
        Problem {
            key: key.to_owned(),
            origin: Origin::File {
                path: "gateway.toml".into(),
                line: Some(3),
            },
            what: "is not a key".to_owned(),
            mend: "did you mean listen.address?".to_owned(),
        }
    }

    #[test]
    fn a_problem_reads_as_a_block() {
        assert_eq!(
            problem("listen.adress").to_string(),
            "listen.adress: is not a key\n  from  gateway.toml:3\n  mend  did you mean listen.address?"
        );
    }

    #[test]
    fn the_same_problem_is_told_once() {
        let mut problems = Problems::default();
        let elsewhere = Problem {
            origin: Origin::Set,
            ..problem("listen")
        };
        for problem in [problem("listen"), elsewhere.clone(), problem("listen")] {
            problems.add(problem);
        }
        assert_eq!(problems.0, [problem("listen"), elsewhere]);
        assert!(problems.touch("listen.tls") && !problems.touch("admin"));
    }
}

//! What all sections read with: values by the path of their key, and problems with the place of
//! the key that they are about. What the values mean together is left to the sections.

use std::{
    fmt::Display,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret;

use crate::{
    config::{
        entries::{Entries, Entry, default_of},
        meant::Meant,
        problem::{Origin, Problem, Problems, is_within},
        secret::SecretSource,
    },
    model::Quota,
};

/// Hands out values, and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) entries: &'a Entries,
    /// Keys with a value that could not be read. They have another one here, so what is wrong
    /// with that would only confuse.
    unread: Vec<String>,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// `problems` are those of the layers.
    pub(super) fn new(entries: &'a Entries, problems: Problems) -> Self {
        let unread = problems.iter().map(|problem| problem.key.clone());
        Self {
            entries,
            unread: unread.collect(),
            problems,
            warnings: Vec::new(),
        }
    }

    pub(super) fn entry(&self, path: &str) -> Option<&'a Entry> {
        let entry = self.entries.at(path);
        debug_assert!(entry.is_some(), "{path} is not in the table of keys");
        entry
    }

    pub(super) fn text(&self, path: &str) -> &'a str {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Text(text)) => text,
            _other_kind => "",
        }
    }

    /// A text that may be left out.
    pub(super) fn given(&self, path: &str) -> Option<&'a str> {
        Some(self.text(path)).filter(|text| !text.is_empty())
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.given(path).map(PathBuf::from)
    }

    pub(super) fn list(&self, path: &str) -> &'a [String] {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::List(items)) => items,
            _other_kind => &[],
        }
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        matches!(
            self.entry(path).map(|entry| &entry.meant),
            Some(Meant::Flag(true))
        )
    }

    pub(super) fn number(&self, path: &str) -> u64 {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Number(number)) => *number,
            _other_kind => 0,
        }
    }

    /// A number of things that fit into memory.
    pub(super) fn count(&self, path: &str) -> usize {
        usize::try_from(self.number(path)).unwrap_or(usize::MAX)
    }

    pub(super) fn bytes(&self, path: &str) -> u64 {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Bytes(bytes)) => *bytes,
            _other_kind => 0,
        }
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Duration(duration)) => *duration,
            _other_kind => Duration::ZERO,
        }
    }

    pub(super) fn quotas(&self, path: &str) -> &'a [Quota] {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Quotas(quotas)) => quotas,
            _other_kind => &[],
        }
    }

    /// Whether some layer says it, be it the default.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.origin(path) != Origin::Default
    }

    /// Whether it, or something within it, is other than by default.
    pub(super) fn differs(&self, path: &str) -> bool {
        let within = |entry: &&Entry| entry.path == path || is_within(&entry.path, path);
        let differs =
            |entry: &Entry| default_of(entry.key).is_none_or(|default| !default.same(&entry.meant));
        self.entries.iter().filter(within).any(differs)
    }

    /// Of the key, else of the table, else of the first key that is written in it.
    fn origin(&self, path: &str) -> Origin {
        let written = |entry: &&Entry| entry.origin != Origin::Default;
        let within = |entry: &&Entry| is_within(&entry.path, path);
        let entry = self.entries.at(path).filter(written);
        entry
            .map(|entry| &entry.origin)
            .or_else(|| self.entries.place(path))
            .or_else(|| {
                let mut inner = self.entries.iter().filter(within).filter(written);
                inner.next().map(|entry| &entry.origin)
            })
            .cloned()
            .unwrap_or(Origin::Default)
    }

    pub(super) fn add(&mut self, problem: Problem) {
        let covers = |unread: &String| problem.key == *unread || is_within(&problem.key, unread);
        if !self.unread.iter().any(covers) {
            self.problems.add(problem);
        }
    }

    pub(super) fn problem(&mut self, path: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Problem {
            key: path.to_owned(),
            origin: self.origin(path),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A problem about a key that is written nowhere, because of what is written `near`.
    pub(super) fn missing(
        &mut self,
        path: &str,
        near: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        if self.problems.lack_a_file() {
            return;
        }
        self.add(Problem {
            key: path.to_owned(),
            origin: self.origin(near),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A problem about a variable that isn't ours, and overrules what is written at `path`.
    pub(super) fn obeyed(
        &mut self,
        variable: &str,
        path: &str,
        what: impl Into<String>,
        mend: &str,
    ) {
        self.add(Problem {
            key: path.to_owned(),
            origin: Origin::Variable(variable.to_owned()),
            what: what.into(),
            mend: mend.to_owned(),
        });
    }

    pub(super) fn warn(&mut self, path: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.warnings.push(Problem {
            key: path.to_owned(),
            origin: self.origin(path),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A text that must be of some form where it is given.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        mend: &str,
    ) -> Option<T> {
        let text = self.given(path)?;
        parse(text)
            .map_err(|error| self.problem(path, format!("{text:?} {error}"), mend))
            .ok()
    }

    /// The secret at `path`, or the file named by its twin: of the two the later layer wins.
    pub(super) fn secret(&mut self, path: &str) -> Option<SecretSource> {
        let twin = format!("{path}_file");
        let file = self.path(&twin);
        let inline = match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Secret(secret)) => {
                Some(secret.clone()).filter(|secret| !secret.expose_secret().is_empty())
            }
            _other_kind => None,
        };
        let rank = |path: &str| self.entry(path).map_or(0, |entry| entry.rank);
        let is_later = rank(path) > rank(&twin);
        let source = match (inline, file) {
            (None, None) => return None,
            (Some(secret), None) => SecretSource::Inline(secret),
            (Some(secret), Some(_)) if is_later => SecretSource::Inline(secret),
            (_, Some(file)) => {
                self.guard_mode(&twin, &file);
                SecretSource::File(file)
            }
        };
        match source.read() {
            Ok(_secret) => Some(source),
            Err(error) => {
                let what = format!("{} can't be read: {error}", self.text(&twin));
                self.problem(
                    &twin,
                    what,
                    "put the secret into that file, and let the gateway read it",
                );
                None
            }
        }
    }

    /// One of fewer characters could be tried out.
    pub(super) fn warn_if_guessable(&mut self, path: &str, source: Option<&SecretSource>) {
        const SHORTEST: usize = 16;
        let is_short = |source: &&SecretSource| {
            let secret = source.read();
            secret.is_ok_and(|secret| secret.expose_secret().len() < SHORTEST)
        };
        if let Some(source) = source.filter(is_short) {
            self.warn(
                &source.key(path),
                "is short enough to be guessed",
                "make one with: openssl rand -base64 32",
            );
        }
    }

    /// The secret at `path`, which there must be because of what is written `near`.
    pub(super) fn needed_secret(
        &mut self,
        path: &str,
        near: &str,
        mend: &str,
    ) -> Option<SecretSource> {
        let source = self.secret(path);
        if source.is_none() {
            self.missing_secret(path, near, "is needed, and set nowhere", mend);
        }
        source
    }

    /// A problem about a secret that is given nowhere, unless it is given and can't be read.
    pub(super) fn missing_secret(&mut self, path: &str, near: &str, what: &str, mend: &str) {
        let twin = format!("{path}_file");
        if !self.problems.touch(path) && !self.problems.touch(&twin) {
            self.missing(path, near, what, mend);
        }
    }

    pub(super) fn guard_mode(&mut self, path: &str, file: &Path) {
        let mode = fs::metadata(file).map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o004 != 0) {
            let what = format!("everyone on this machine can read {}", file.display());
            self.warn(path, what, format!("chmod o-rwx {}", file.display()));
        }
    }
}

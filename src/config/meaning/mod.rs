//! The meant form: what the entries mean together, or everything that is wrong with them.
//!
//! Each section has a function of its own. It tells every problem to the [`Reader`] and
//! goes on with something harmless, so that one run finds all of them.

mod audit;
mod callers;
mod certificate;
mod frontegg;
mod headers;
mod known_by;
mod limits;
mod listen;
mod redis;
mod routes;
mod subject;
mod telemetry;
mod tls;
mod tokens;

pub use routes::Verdict;

use std::{
    fmt::Display,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret;

use super::{
    Admin, Settings, Shutdown,
    entries::{Entries, Entry, default_of},
    meant::Meant,
    problem::{Origin, Problem, Problems, is_within},
    secret::SecretSource,
};
use crate::model::Quota;

/// Where the admin listener is, whatever is wrong outside `[admin]`.
///
/// # Errors
/// `problems`, and what is wrong with `admin.address`.
pub(super) fn admin_address(
    entries: &Entries,
    problems: Problems,
) -> Result<Option<SocketAddr>, Problems> {
    alone(entries, problems, listen::admin_address)
}

/// The admin listener and its key, whatever is wrong outside `[admin]`.
///
/// # Errors
/// `problems`, and what is wrong with `[admin]`.
pub(super) fn admin(entries: &Entries, problems: Problems) -> Result<Option<Admin>, Problems> {
    alone(entries, problems, listen::admin)
}

/// The audit log's keys, the present one first, whatever is wrong outside `[audit]`.
///
/// # Errors
/// `problems`, and what is wrong with the keys.
pub(super) fn audit_keys(
    entries: &Entries,
    problems: Problems,
) -> Result<Vec<SecretSource>, Problems> {
    let mend = "name the file that holds it by --key-file, or the configuration by -c";
    let (key, previous) = alone(entries, problems, |reader| audit::keys(reader, mend))?;
    Ok(key.into_iter().chain(previous).collect())
}

/// One part, without the others.
fn alone<T>(
    entries: &Entries,
    problems: Problems,
    read: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, Problems> {
    let mut reader = Reader::new(entries, problems);
    let part = read(&mut reader);
    if reader.problems.is_empty() {
        Ok(part)
    } else {
        Err(reader.problems)
    }
}

/// Makes settings of the entries, with what is probably a mistake but not surely.
///
/// # Errors
/// Every problem of the layers and of the meaning.
pub(super) fn settings(
    entries: &Entries,
    problems: Problems,
) -> Result<(Settings, Vec<Problem>), Problems> {
    let mut reader = Reader::new(entries, problems);
    let callers = callers::read(&mut reader);
    let listen = listen::listeners(&mut reader, !callers.is_empty());
    let admin = listen::admin(&mut reader);
    known_by::are_seen(&mut reader, &callers, &listen);
    listen::no_two_alike(&mut reader, &listen, admin.as_ref());
    let frontegg = frontegg::read(&mut reader, &listen);
    let routes = routes::read(&mut reader);
    let headers = headers::read(&mut reader);
    let subject = subject::read(&mut reader, &routes, &listen);
    callers::agree(&mut reader, &callers, &routes, &subject);
    let kubernetes = tokens::kubernetes(&mut reader, &callers);
    let limits = limits::read(&mut reader, &listen, &callers);
    let collector = telemetry::collector(&mut reader);
    let audit = audit::read(&mut reader, collector.as_ref());
    let telemetry = telemetry::read(&mut reader, collector);
    let shutdown = Shutdown {
        delay: reader.duration("shutdown.delay"),
        timeout: reader.duration("shutdown.timeout"),
    };
    match (frontegg, subject, kubernetes, limits, audit) {
        (Some(frontegg), Some(subject), Some(kubernetes), Some(limits), Some(audit))
            if reader.problems.is_empty() =>
        {
            let settings = Settings {
                listen,
                admin,
                frontegg,
                routes,
                headers,
                subject,
                callers,
                kubernetes,
                limits,
                audit,
                telemetry,
                shutdown,
            };
            Ok((settings, reader.warnings))
        }
        (_, _, _, _, _) => Err(reader.problems),
    }
}

/// Hands out values, and collects what is wrong with them.
struct Reader<'a> {
    entries: &'a Entries,
    /// Keys with a value that could not be read. They have another one here, so what is wrong
    /// with that would only confuse.
    unread: Vec<String>,
    problems: Problems,
    warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// `problems` are those of the layers.
    fn new(entries: &'a Entries, problems: Problems) -> Self {
        let unread = problems.iter().map(|problem| problem.key.clone());
        Self {
            entries,
            unread: unread.collect(),
            problems,
            warnings: Vec::new(),
        }
    }

    fn entry(&self, path: &str) -> Option<&'a Entry> {
        let entry = self.entries.at(path);
        debug_assert!(entry.is_some(), "{path} is not in the table of keys");
        entry
    }

    fn text(&self, path: &str) -> &'a str {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Text(text)) => text,
            _other_kind => "",
        }
    }

    /// A text that may be left out.
    fn given(&self, path: &str) -> Option<&'a str> {
        Some(self.text(path)).filter(|text| !text.is_empty())
    }

    fn path(&self, path: &str) -> Option<PathBuf> {
        self.given(path).map(PathBuf::from)
    }

    fn list(&self, path: &str) -> &'a [String] {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::List(items)) => items,
            _other_kind => &[],
        }
    }

    fn flag(&self, path: &str) -> bool {
        matches!(
            self.entry(path).map(|entry| &entry.meant),
            Some(Meant::Flag(true))
        )
    }

    fn number(&self, path: &str) -> u64 {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Number(number)) => *number,
            _other_kind => 0,
        }
    }

    /// A number of things that fit into memory.
    fn count(&self, path: &str) -> usize {
        usize::try_from(self.number(path)).unwrap_or(usize::MAX)
    }

    fn bytes(&self, path: &str) -> u64 {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Bytes(bytes)) => *bytes,
            _other_kind => 0,
        }
    }

    fn duration(&self, path: &str) -> Duration {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Duration(duration)) => *duration,
            _other_kind => Duration::ZERO,
        }
    }

    fn quotas(&self, path: &str) -> &'a [Quota] {
        match self.entry(path).map(|entry| &entry.meant) {
            Some(Meant::Quotas(quotas)) => quotas,
            _other_kind => &[],
        }
    }

    /// Whether some layer says it, be it the default.
    fn is_written(&self, path: &str) -> bool {
        self.origin(path) != Origin::Default
    }

    /// Whether it, or something within it, is other than by default.
    fn differs(&self, path: &str) -> bool {
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

    fn add(&mut self, problem: Problem) {
        let covers = |unread: &String| problem.key == *unread || is_within(&problem.key, unread);
        if !self.unread.iter().any(covers) {
            self.problems.add(problem);
        }
    }

    fn problem(&mut self, path: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Problem {
            key: path.to_owned(),
            origin: self.origin(path),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A problem about a key that is written nowhere, because of what is written `near`.
    fn missing(
        &mut self,
        path: &str,
        near: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(Problem {
            key: path.to_owned(),
            origin: self.origin(near),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A problem about a variable that isn't ours, and overrules what is written at `path`.
    fn obeyed(&mut self, variable: &str, path: &str, what: impl Into<String>, mend: &str) {
        self.add(Problem {
            key: path.to_owned(),
            origin: Origin::Variable(variable.to_owned()),
            what: what.into(),
            mend: mend.to_owned(),
        });
    }

    fn warn(&mut self, path: &str, what: impl Into<String>, mend: impl Into<String>) {
        self.warnings.push(Problem {
            key: path.to_owned(),
            origin: self.origin(path),
            what: what.into(),
            mend: mend.into(),
        });
    }

    /// A text that must be of some form where it is given.
    fn parsed<T, E: Display>(
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
    fn secret(&mut self, path: &str) -> Option<SecretSource> {
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
    fn warn_if_guessable(&mut self, path: &str, source: Option<&SecretSource>) {
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
    fn needed_secret(&mut self, path: &str, near: &str, mend: &str) -> Option<SecretSource> {
        let source = self.secret(path);
        if source.is_none() {
            self.missing_secret(path, near, "is needed, and set nowhere", mend);
        }
        source
    }

    /// A problem about a secret that is given nowhere, unless it is given and can't be read.
    fn missing_secret(&mut self, path: &str, near: &str, what: &str, mend: &str) {
        let twin = format!("{path}_file");
        if !self.problems.touch(path) && !self.problems.touch(&twin) {
            self.missing(path, near, what, mend);
        }
    }

    fn guard_mode(&mut self, path: &str, file: &Path) {
        let mode = fs::metadata(file).map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o004 != 0) {
            let what = format!("everyone on this machine can read {}", file.display());
            self.warn(path, what, format!("chmod o-rwx {}", file.display()));
        }
    }
}

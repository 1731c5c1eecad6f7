//! Where the configuration is written, one layer each: files, the vendor's variables,
//! our variables, the command line. Later ones win.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use figment::value::{Dict, Value};

use super::{
    egress::PROXY_VARIABLES,
    file::{self, Format, join},
    problem::{Origin, Problem, Problems},
};

/// Read where no file is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/mfa-gateway/gateway.toml";

/// Two underscores, since Kubernetes puts `MFA_GATEWAY_PORT=tcp://…` into every pod beside
/// a Service named mfa-gateway.
const PREFIX: &str = "MFA_GATEWAY__";

/// Variables that deployments of the vendor's own clients have already.
const VENDOR: [(&str, &str); 3] = [
    ("FRONTEGG_API_KEY", "api_key"),
    ("FRONTEGG_CLIENT_ID", "client_id"),
    ("FRONTEGG_REGION", "region"),
];

/// Variables that others read too, and that are not keys here but are obeyed.
const OBEYED: [&str; 3] = [PROXY_VARIABLES[0], PROXY_VARIABLES[1], RUST_LOG];

/// Names which lines the log has, above `telemetry.log`.
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// All that a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, in the order in which they were named.
    pub files: Vec<PathBuf>,
    /// Where none is named: this one, at each load anew if it is there.
    pub usual_file: Option<PathBuf>,
    /// `KEY=VALUE`, in the order of the command line.
    pub set: Vec<String>,
    /// The environment; what isn't for us is passed over.
    pub environment: BTreeMap<String, OsString>,
}

impl Sources {
    /// With this process's environment, and [`DEFAULT_FILE`] where no file is named.
    #[must_use]
    pub fn of_process(files: Vec<PathBuf>, set: Vec<String>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _value)| {
                name.starts_with(PREFIX)
                    || VENDOR.iter().any(|(vendor, _key)| vendor == name)
                    || OBEYED.contains(&name.as_str())
            })
            .collect();
        Self {
            files,
            usual_file: Some(PathBuf::from(DEFAULT_FILE)),
            set,
            environment,
        }
    }

    /// What isn't ours, and is obeyed. Who obeys passes over what is not UTF-8.
    pub(super) fn obeyed(&self) -> BTreeMap<String, String> {
        let text = |name: &str| self.environment.get(name)?.to_str();
        let each = OBEYED
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), text(name)?.to_owned())));
        each.collect()
    }

    /// One layer for each that says something, in their order.
    pub(super) fn layers(&self, problems: &mut Problems) -> Vec<Layer> {
        let mut layers = Vec::new();
        let usual = self
            .usual_file
            .iter()
            .filter(|usual| self.files.is_empty() && usual.exists());
        for path in self.files.iter().chain(usual) {
            match Layer::of_file(path) {
                Ok(layer) => layers.push(layer),
                Err(problem) => problems.add(*problem),
            }
        }
        layers.push(self.vendor(problems));
        layers.push(self.variables(problems));
        layers.push(self.command_line(problems));
        layers
    }

    fn vendor(&self, problems: &mut Problems) -> Layer {
        let mut layer = Layer::of_text("the vendor's variables");
        for (variable, key) in VENDOR {
            let Some(value) = self.variable(variable, problems) else {
                continue;
            };
            // Compose files pass on variables that aren't set as empty ones.
            if !value.is_empty() {
                let path = ["frontegg".to_owned(), key.to_owned()];
                layer.insert(
                    &path,
                    value,
                    Origin::Variable(variable.to_owned()),
                    problems,
                );
            }
        }
        layer
    }

    fn variables(&self, problems: &mut Problems) -> Layer {
        let mut layer = Layer::of_text("the environment");
        for name in self.environment.keys() {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let path: Vec<_> = rest.split("__").map(str::to_lowercase).collect();
            if let Some(value) = self.variable(name, problems) {
                layer.insert(&path, value, Origin::Variable(name.clone()), problems);
            }
        }
        layer
    }

    fn variable(&self, name: &str, problems: &mut Problems) -> Option<&str> {
        let value = self.environment.get(name)?;
        let text = value.to_str();
        if text.is_none() {
            problems.add(Problem {
                key: String::new(),
                origin: Origin::Variable(name.to_owned()),
                what: format!("the variable {name} is not UTF-8"),
                mend: "give it as text, or as a file by the key of the same name with _file".into(),
            });
        }
        text
    }

    fn command_line(&self, problems: &mut Problems) -> Layer {
        let mut layer = Layer::of_text("--set");
        for (index, assignment) in self.set.iter().enumerate() {
            let path = assignment.split_once('=').and_then(|(key, value)| {
                let segments = toml_edit::Key::parse(key.trim()).ok()?;
                let path: Vec<_> = segments.iter().map(|key| key.get().to_owned()).collect();
                Some((path, value))
            });
            match path {
                Some((path, value)) => layer.insert(&path, value, Origin::Set, problems),
                // SECURITY: not repeated, it may hold a secret.
                None => problems.add(Problem {
                    key: String::new(),
                    origin: Origin::Set,
                    what: format!("--set number {} is not KEY=VALUE", index.saturating_add(1)),
                    mend: "write it like --set listen.max_body=64KiB; a key with dots in quotes, \
                           like limits.upstream.\"login.verify\".attempts"
                        .into(),
                }),
            }
        }
        layer
    }
}

/// What one source says, before anything is checked.
#[derive(Debug)]
pub(super) struct Layer {
    /// No two layers have the same.
    pub(super) name: String,
    pub(super) values: Dict,
    /// Values are text, whatever is meant.
    pub(super) is_text: bool,
    /// Of the whole.
    origin: Origin,
    /// By key path.
    places: BTreeMap<String, Origin>,
}

impl Layer {
    fn of_text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Dict::new(),
            is_text: true,
            origin: Origin::Set,
            places: BTreeMap::new(),
        }
    }

    fn of_file(path: &Path) -> Result<Self, Box<Problem>> {
        let at = |line| Origin::File {
            path: path.to_owned(),
            line,
        };
        let name = path.display();
        let problem = |line, what: String, mend: &str| {
            Box::new(Problem {
                key: String::new(),
                origin: at(line),
                what,
                mend: mend.to_owned(),
            })
        };
        let format = Format::of(path).ok_or_else(|| {
            let what = format!("the configuration file {name} has no known ending");
            problem(None, what, "name it .toml, .yaml or .json")
        })?;
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("the configuration file {name} can't be read: {error}");
            problem(
                None,
                what,
                "check the path given by -c, and who may read it",
            )
        })?;
        let parsed = file::parse(format, &text).map_err(|broken| {
            let what = format!("the configuration file {name} {}", broken.what);
            problem(broken.line, what, "correct the file's form at this place")
        })?;
        Ok(Self::of_parsed(path, parsed))
    }

    fn of_parsed(path: &Path, parsed: file::Parsed) -> Self {
        let at = |line| Origin::File {
            path: path.to_owned(),
            line,
        };
        Self {
            name: path.to_string_lossy().into_owned(),
            values: parsed.values,
            is_text: false,
            origin: at(None),
            places: parsed
                .lines
                .into_iter()
                .map(|(path, line)| (path, at(Some(line))))
                .collect(),
        }
    }

    /// For fuzzing, which has bytes and no files.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of_toml(text: &str) -> Option<Self> {
        let parsed = file::parse(Format::Toml, text).ok()?;
        Some(Self::of_parsed(Path::new("fuzz.toml"), parsed))
    }

    /// Where the key at `path`, or else the nearest table around it, was written.
    pub(super) fn origin(&self, path: &str) -> &Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.places.get(path) {
                return origin;
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(outer) => path = outer,
                None => return &self.origin,
            }
        }
    }

    /// Where each key and table was written.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, Origin)> {
        let places = self.places.iter();
        places.map(|(path, origin)| (path.clone(), origin.clone()))
    }

    fn insert(&mut self, path: &[String], text: &str, origin: Origin, problems: &mut Problems) {
        let Some((last, tables)) = path.split_last() else {
            return;
        };
        let mut table = &mut self.values;
        let mut outer = String::new();
        for name in tables {
            outer = join(&outer, name);
            let place = self.places.entry(outer.clone());
            place.or_insert_with(|| origin.clone());
            let inner = table
                .entry(name.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            // Given whole and in parts: the parts are put into the whole, if that is a table.
            if let Some(whole) = inner.as_str().and_then(file::inline) {
                *inner = whole;
            }
            let Value::Dict(_tag, inner) = inner else {
                problems.add(Problem {
                    key: outer,
                    origin,
                    what: "is given as a whole, and in parts too".to_owned(),
                    mend: "keep one of the two".to_owned(),
                });
                return;
            };
            table = inner;
        }
        table.insert(last.clone(), Value::from(text));
        self.places.insert(join(&outer, last), origin);
    }
}

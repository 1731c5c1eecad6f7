//! The whole log: real files, FIFOs and devices, one or several runtimes.

mod examples;
mod faults;
mod files;
mod forms;
mod order;
mod reload;
mod turns;

use std::{
    fs,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::{
    Audit, AuditLog, Config,
    chain::Link,
    keys::{Keyring, Keys},
    read::{Input, Progress},
    verify::{Report, verify},
};
use crate::{
    config::{Durability, EmailForm, OnFailure, Output, SecretSource},
    event::{Event, LimitNote, Outcome, Peer, Stage, UpstreamNote},
    model::{CallerName, Region, RequestId, TenantId, UserId},
    route::Operation,
};

/// Far more than any of the tests needs; none waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn config(outputs: &[&Path]) -> Config {
    Config {
        outputs: outputs
            .iter()
            .map(|path| Output::File(path.to_path_buf()))
            .collect(),
        durability: Durability::Written,
        timeout: Duration::from_secs(10),
        on_failure: OnFailure::Deny,
        email: EmailForm::Hash,
        key: SecretSource::Inline("the audit key".into()),
        previous_keys: Vec::new(),
        chain: true,
        rotate_size: None,
        rotate_age: None,
        rotate_compress: false,
        rotate_keep: 0,
        collapse: None,
    }
}

pub(super) async fn open(config: &Config) -> AuditLog {
    AuditLog::open(config).await.unwrap()
}

fn keys() -> Keys {
    Keys::derive(&"the audit key".into())
}

fn keyring() -> Keyring {
    Keyring::new(["the audit key".into()])
}

/// A recovery, as far as it goes by `stage`, with everything in it.
pub(super) fn event(stage: Stage) -> Event {
    let (outcome, status, reason) = match stage {
        Stage::Admitted => (Outcome::Pending, None, None),
        Stage::Completed => (Outcome::Succeeded, Some(StatusCode::OK), None),
        Stage::Refused => (
            Outcome::Refused,
            Some(StatusCode::TOO_MANY_REQUESTS),
            Some("rate-limited"),
        ),
    };
    Event {
        start: SystemTime::now(),
        request_id: RequestId::new(),
        caller_request_id: Some(HeaderValue::from_static("req-7")),
        peer: Peer::Tcp("127.0.0.1:41234".parse().unwrap()),
        client: Some("203.0.113.7".parse().unwrap()),
        operation: Some(Operation::Recover),
        region: Region::Eu,
        caller: Some(CallerName::new("support-console")),
        tenant: Some(TenantId::parse("tenant-1").unwrap()),
        user: None,
        email: Some(keys().email("ada@example.com", EmailForm::Hash)),
        login: None,
        device: None,
        limit: Some(LimitNote {
            name: "email",
            remaining: 4,
            would_refuse: false,
        }),
        upstream: (stage == Stage::Completed).then(|| UpstreamNote {
            host: Arc::from("api.frontegg.com"),
            status: Some(StatusCode::OK),
            trace_id: Some(HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c")),
            duration: Duration::from_millis(41),
        }),
        outcome,
        reason,
        status,
        duration: Duration::from_millis(43),
    }
}

pub(super) fn user_event(stage: Stage, operation: Operation) -> Event {
    Event {
        operation: Some(operation),
        user: Some(UserId::parse("user-1").unwrap()),
        email: None,
        ..event(stage)
    }
}

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// What the records of `path` are about: the event, or the stage.
fn story(path: &Path) -> Vec<String> {
    let word = |record: &Value| {
        let unmapped = &record["unmapped"];
        let event = unmapped["event"].as_str();
        event
            .unwrap_or_else(|| unmapped["stage"].as_str().unwrap())
            .to_owned()
    };
    records(path).iter().map(word).collect()
}

/// What a good log of one chain holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Summary {
    records: u64,
    missed: u64,
    last: Link,
}

fn report(files: &[&Path]) -> Report {
    let inputs: Vec<_> = files
        .iter()
        .map(|path| Input::File(path.to_path_buf()))
        .collect();
    verify(&inputs, &keyring(), None, &Progress::default()).unwrap()
}

fn verified(files: &[&Path]) -> Summary {
    let report = report(files);
    assert_eq!(report.bad, None);
    let [chain] = report.chains.as_slice() else {
        panic!("one chain, not {:?}", report.chains);
    };
    Summary {
        records: chain.records,
        missed: chain.missed,
        last: chain.link(),
    }
}

/// The same of what was read from a pipe.
fn verified_bytes(bytes: &[u8]) -> Summary {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    verified(&[file.path()])
}

/// The rotated files of `path`, oldest first.
pub(super) fn rotated(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file != path && !file.file_name().unwrap().to_str().unwrap().starts_with('.')
        })
        .collect();
    let number = |file: &PathBuf| -> u64 {
        let name = file.to_str().unwrap();
        let name = name.strip_suffix(".gz").unwrap_or(name);
        name.rsplit_once('-').unwrap().1.parse().unwrap()
    };
    files.sort_by_key(number);
    files
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Writes one record and waits until it is accepted.
pub(super) async fn put(audit: &Audit, stage: Stage) {
    audit.record(&event(stage)).await.unwrap();
}

fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

/// Opens a FIFO for reading without waiting for its writer, and reads nothing yet.
fn fifo_reader(path: &Path) -> fs::File {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .unwrap()
}

/// Reads until the last writer closes.
fn read_all(mut reader: fs::File) -> Vec<u8> {
    let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
    rustix::fs::fcntl_setfl(&reader, flags.difference(rustix::fs::OFlags::NONBLOCK)).unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    all
}

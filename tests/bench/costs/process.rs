//! The gateway as a process, on a core of its own, and what others count of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::oneshot, time::sleep};

use crate::redis::Redis;

/// A variant's configuration, and where it may be written.
pub(crate) struct Configuration {
    pub(crate) path: PathBuf,
    pub(crate) toml: String,
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts it, watched by the command `watcher` if there is one, and waits until it listens.
    pub(crate) async fn start(name: &str, with: &Configuration, watcher: &[&str]) -> Self {
        fs::write(&with.path, &with.toml).unwrap();
        let binary = std::env::var("MFA_GATEWAY_BIN");
        let binary = binary.unwrap_or_else(|_unset| env!("CARGO_BIN_EXE_mfa-gateway").to_owned());
        let first = first_core();
        let mut words: Vec<&str> = match &first {
            Some(core) => vec!["taskset", "-c", core],
            None => Vec::new(),
        };
        words.extend(watcher);
        words.extend([binary.as_str(), "run", "-c", with.path.to_str().unwrap()]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {}: {error}", words[0]));
        let (found, address) = oneshot::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let shown = name.to_owned();
        std::thread::spawn(move || listen_to(stderr, &shown, found));
        let address = address
            .await
            .unwrap_or_else(|_ended| panic!("{name} ended before it listened"));
        Self { child, address }
    }

    /// How long its threads have run so far, by the scheduler's own account.
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = tasks.map(|task| {
            let account = fs::read_to_string(task.unwrap().path().join("schedstat"));
            // a thread that has just ended
            let account = account.unwrap_or_default();
            let ran = account.split_whitespace().next();
            ran.map_or(0, |ran| ran.parse::<u64>().unwrap())
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Lets it drain.
    pub(crate) async fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        while self.child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // an error here means that it has ended already
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Reads its log to the end: finds the address in it, and shows what has gone wrong.
fn listen_to(log: impl BufRead, name: &str, found: oneshot::Sender<SocketAddr>) {
    let mut found = Some(found);
    for line in log.lines().map_while(Result::ok) {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["message"] == "listening"
            && let Some(found) = found.take()
        {
            let address = entry["address"].as_str().unwrap().parse().unwrap();
            found.send(address).unwrap();
        }
        if entry["level"] == "ERROR" || entry.is_null() {
            eprintln!("{name}: {line}");
        }
    }
}

/// Puts this process, and the servers that it starts, on the last core that it may use, and
/// says so. The gateway gets the first.
pub(crate) fn pin_to_last_core() -> String {
    let [Some(first), Some(last)] = [first_core(), cores().last().cloned()] else {
        return "nothing pinned: no taskset, or one core".to_owned();
    };
    let me = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-p", "-c", &last, &me])
        .stdout(Stdio::null())
        .status();
    assert!(pinned.unwrap().success(), "taskset fails");
    PINNED.set(first.clone()).unwrap();
    format!("the gateway on core {first}, all else on core {last}")
}

/// The gateway's core, once this process has left it.
static PINNED: std::sync::OnceLock<String> = std::sync::OnceLock::new();

fn first_core() -> Option<String> {
    if let Some(core) = PINNED.get() {
        return Some(core.clone());
    }
    let cores = cores();
    (is_installed("taskset") && cores.len() > 1).then(|| cores[0].clone())
}

/// The first and the last core that this process may use.
fn cores() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let mut cores: Vec<_> = list
        .unwrap_or_default()
        .split([',', '-'])
        .map(|core| core.trim().to_owned())
        .collect();
    cores.dedup();
    cores
}

pub(crate) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

/// What Redis itself says that the scripts took: per request, where `requests` were made.
pub(crate) fn script_time(store: &Redis, requests: u64) -> Duration {
    let statistics = store.command(&["INFO", "commandstats"]).concat();
    let used: u64 = statistics
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_evalsha:"))
        .flat_map(|line| line.split(','))
        .filter_map(|field| field.strip_prefix("usec="))
        .map(|microseconds| microseconds.parse::<u64>().unwrap())
        .sum();
    Duration::from_micros(used) / u32::try_from(requests).unwrap()
}

pub(crate) fn lines(path: &Path) -> usize {
    let text = fs::read(path).unwrap();
    memchr::memchr_iter(b'\n', &text).count()
}

/// Reads what strace wrote at its end: `% time`, seconds, microseconds a call, calls, …, name.
pub(crate) async fn counted_syncs(path: &Path) -> u64 {
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains("total") {
            let calls = text.lines().filter_map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let is_sync = words.last().is_some_and(|name| name.ends_with("sync"));
                is_sync.then(|| words[3].parse::<u64>().unwrap())
            });
            return calls.sum();
        }
        sleep(Duration::from_millis(10)).await;
    }
}

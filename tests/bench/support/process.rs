//! The gateway as a process, on cores of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{sync::oneshot, time::sleep};

/// A variant's configuration, and where it may be written.
pub(crate) struct Configuration {
    pub(crate) path: PathBuf,
    pub(crate) toml: String,
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Starts it on the first core, watched by the command `watcher` if there is one, and waits
    /// until it listens.
    pub(crate) async fn start(name: &str, with: &Configuration, watcher: &[&str]) -> Self {
        Self::start_on(first_core(), name, with, watcher).await
    }

    /// The same on these cores.
    pub(crate) async fn start_on(
        cores: Option<&str>,
        name: &str,
        with: &Configuration,
        watcher: &[&str],
    ) -> Self {
        let (child, address) = launch(cores, name, with, watcher);
        let address = address
            .await
            .unwrap_or_else(|_ended| panic!("{name} ended before it listened"));
        Self { child, address }
    }

    /// How long its threads have run so far, by the scheduler's own account.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_times(self.child.id()).values().sum()
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

/// Starts a gateway and doesn't wait: the address where it listens comes when it does.
pub(crate) fn launch(
    cores: Option<&str>,
    name: &str,
    with: &Configuration,
    watcher: &[&str],
) -> (Child, oneshot::Receiver<SocketAddr>) {
    fs::write(&with.path, &with.toml).unwrap();
    let binary = std::env::var("MFA_GATEWAY_BIN");
    let binary = binary.unwrap_or_else(|_unset| env!("CARGO_BIN_EXE_mfa-gateway").to_owned());
    let mut words: Vec<&str> = match cores {
        Some(cores) => vec!["taskset", "-c", cores],
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
    (child, address)
}

/// How long each thread of a process has run so far, by the scheduler's own account.
pub(crate) fn cpu_times(process: u32) -> BTreeMap<PathBuf, Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let times = tasks.map(|task| {
        let thread = task.unwrap().path();
        let account = fs::read_to_string(thread.join("schedstat"));
        // a thread that has just ended
        let account = account.unwrap_or_default();
        let ran = account.split_whitespace().next();
        let ran = ran.map_or(0, |ran| ran.parse().unwrap());
        (thread, Duration::from_nanos(ran))
    });
    times.collect()
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
            // who knows the address doesn't wait for it
            found.send(address).ok();
        }
        if entry["level"] == "ERROR" || entry.is_null() {
            eprintln!("{name}: {line}");
        }
    }
}

/// Puts this process, and the servers that it starts, on the last core that it may use, and
/// says so. The gateway gets the first.
pub(crate) fn pin_to_last_core() -> String {
    let [Some(first), Some(last)] = [first_core(), cores().last().map(String::as_str)] else {
        return "nothing pinned: no taskset, or one core".to_owned();
    };
    pin(std::process::id(), last);
    format!("the gateway on core {first}, all else on core {last}")
}

/// Keeps a thread, and those that it starts, on these cores.
pub(crate) fn pin(thread: u32, cores: &str) {
    let pinned = Command::new("taskset")
        .args(["-p", "-c", cores, &thread.to_string()])
        .stdout(Stdio::null())
        .status();
    assert!(pinned.unwrap().success(), "taskset fails");
}

pub(crate) fn first_core() -> Option<&'static str> {
    let cores = cores();
    (is_installed("taskset") && cores.len() > 1).then(|| cores[0].as_str())
}

/// The cores that this process might use when it was first asked, before it left any.
pub(crate) fn cores() -> &'static [String] {
    static CORES: OnceLock<Vec<String>> = OnceLock::new();
    CORES.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let ranges = list.unwrap_or_default().split(',').map(str::trim);
        let ranges = ranges.filter(|range| !range.is_empty());
        let numbers = ranges.flat_map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            from.parse::<usize>().unwrap()..=to.parse().unwrap()
        });
        numbers.map(|core| core.to_string()).collect()
    })
}

pub(crate) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let command = command
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

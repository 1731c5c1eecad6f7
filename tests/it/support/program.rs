//! The built binary as a process: started, listened to, told to stop, and killed when dropped.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tokio::sync::watch;

use super::patience::{eventually, within};

/// A running `mfa-gateway`. What it writes is kept, and shown if the test fails.
pub(crate) struct Program {
    child: Child,
    stdout: watch::Receiver<Vec<String>>,
    stderr: watch::Receiver<Vec<String>>,
}

impl Program {
    /// Starts it with these arguments, and with nothing in its environment but `environment`.
    pub(crate) fn start<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        environment: &[(String, String)],
    ) -> Self {
        let (mut program, stdout) = Self::start_unread(arguments, environment);
        program.stdout = keep(stdout);
        program
    }

    /// The same, but whoever calls this has the end of its stdout, to read, to stall or to close.
    pub(crate) fn start_unread<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        environment: &[(String, String)],
    ) -> (Self, ChildStdout) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mfa-gateway"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let program = Self {
            stdout: watch::channel(Vec::new()).1,
            stderr: keep(child.stderr.take().unwrap()),
            child,
        };
        (program, stdout)
    }

    /// All that it has written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.borrow().join("\n")
    }

    /// All that it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.borrow().join("\n")
    }

    /// Waits until it has logged (as JSON) `count` lines with this message, and gives them.
    pub(crate) async fn logged(&self, message: &str, count: usize) -> Vec<Value> {
        let found = |lines: &Vec<String>| {
            let lines = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            let found: Vec<Value> = lines
                .filter(|line: &Value| line["message"] == message)
                .collect();
            (found.len() >= count).then_some(found)
        };
        let mut stderr = self.stderr.clone();
        let waiting = stderr.wait_for(|lines| found(lines).is_some());
        match within(message, waiting).await {
            Ok(lines) => found(&lines).unwrap(),
            Err(_closed) => panic!("it ended before it logged {message:?}:\n{}", self.stderr()),
        }
    }

    /// What the process list shows of it.
    pub(crate) fn command_line(&self) -> Vec<u8> {
        fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Lets it open no file or socket while so, beside those that it has.
    pub(crate) fn open_nothing(&self, so: bool) {
        let pid = Some(Pid::from_child(&self.child));
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = if so { Some(0) } else { maximum };
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }

    /// Waits for its end, and until all that it wrote has been read.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = eventually("its end", || child.try_wait().unwrap()).await;
        for written in [&mut self.stdout, &mut self.stderr] {
            within("the end of what it wrote", async {
                while written.changed().await.is_ok() {}
            })
            .await;
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // an error here means that it has ended already
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("-- stdout of the gateway\n{}", self.stdout());
            eprintln!("-- stderr of the gateway\n{}", self.stderr());
        }
    }
}

/// Reads lines on a thread of their own until the stream ends; the channel closes with it.
fn keep(stream: impl Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (lines, kept) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.send_modify(|lines| lines.push(line));
        }
    });
    kept
}

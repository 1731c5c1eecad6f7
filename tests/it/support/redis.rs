//! A real Redis or Valkey on a port of the system's choice. Ends with its owner.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// For a server to come up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Redis {
    child: Child,
    program: &'static str,
    arguments: Vec<String>,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Redis {
    /// `None`, and said aloud, where no server is installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with further arguments.
    pub(crate) fn start_with(more: &[&str]) -> Option<Self> {
        let mut arguments = vec!["--save", "", "--appendonly", "no", "--loglevel", "warning"];
        arguments.extend(more);
        Self::run(&arguments, |_folder| None)
    }

    /// A sentinel that watches a master called `main` on this machine.
    pub(crate) fn sentinel(master: u16) -> Option<Self> {
        let text = format!(
            "sentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n"
        );
        Self::run(&["--sentinel"], move |folder| {
            let path = folder.path().join("sentinel.conf");
            std::fs::write(&path, &text).unwrap();
            Some(path.display().to_string())
        })
    }

    /// Three masters that share all keys.
    pub(crate) fn cluster() -> Option<[Self; 3]> {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let node = || Self::start_with(&arguments);
        let nodes = [node()?, node()?, node()?];
        let thirds = [0..5_461, 5_461..10_923, 10_923..16_384];
        for ((epoch, node), slots) in ["1", "2", "3"].iter().zip(&nodes).zip(thirds) {
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            let mut words = vec!["CLUSTER", "ADDSLOTS"];
            words.extend(slots.iter().map(String::as_str));
            node.command(&words);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]);
        }
        let first = nodes[0].port.to_string();
        for node in &nodes[1..] {
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &first]);
        }
        let began = Instant::now();
        let agree = |node: &Self| {
            let state = &node.command(&["CLUSTER", "INFO"])[0];
            state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
        };
        while !nodes.iter().all(agree) {
            assert!(began.elapsed() < PATIENCE, "the cluster does not come up");
            std::thread::yield_now();
        }
        Some(nodes)
    }

    fn run(arguments: &[&str], file: impl FnOnce(&TempDir) -> Option<String>) -> Option<Self> {
        let installed = |program: &&&str| {
            let mut version = Command::new(program);
            let version = version.arg("--version").stdout(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        let Some(program) = ["redis-server", "valkey-server"].iter().find(installed) else {
            eprintln!("LEFT OUT: tests of the shared store: no redis-server or valkey-server");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let given = arguments.iter().map(|&argument| argument.to_owned());
        let arguments: Vec<_> = file(&folder).into_iter().chain(given).collect();
        let port = free_port();
        let mut redis = Self {
            child: spawn(program, port, &arguments, &folder),
            program,
            arguments,
            port,
            folder,
        };
        // somebody may have taken the port meanwhile, or the one that a cluster's node takes too
        while !redis.comes_up() {
            redis.port = free_port();
            redis.child = spawn(program, redis.port, &redis.arguments, &redis.folder);
        }
        Some(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// It answers nobody any more, but the kernel still takes connections for it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.program, self.port, &self.arguments, &self.folder);
        assert!(self.comes_up(), "the server's port is taken");
    }

    /// Says a command and gives the answer, nested ones in a row.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<String> {
        say(self.port, words).unwrap()
    }

    /// Waits until it answers; `false` where it ended instead. Another's answer is not its own.
    fn comes_up(&mut self) -> bool {
        let began = Instant::now();
        let process = format!("process_id:{}\r\n", self.child.id());
        let answers =
            |port| say(port, &["INFO", "server"]).is_ok_and(|info| info[0].contains(&process));
        while !answers(self.port) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not come up");
            std::thread::yield_now();
        }
        true
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // also where it is paused
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(program: &str, port: u16, arguments: &[String], folder: &TempDir) -> Child {
    Command::new(program)
        .args(arguments)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Free a moment ago. Below 55536, as a cluster's node takes the one 10000 above too.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_536 {
            return port;
        }
    }
}

fn say(port: u16, words: &[&str]) -> std::io::Result<Vec<String>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    read(&mut BufReader::new(stream), &mut answer)?;
    Ok(answer)
}

fn read(from: &mut impl BufRead, to: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let Some((kind, rest)) = line.trim_end().split_at_checked(1) else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    match kind {
        "-" => return Err(std::io::Error::other(rest.to_owned())),
        "$" if rest != "-1" => {
            let mut bytes = vec![0; rest.parse::<usize>().unwrap()];
            from.read_exact(&mut bytes)?;
            from.read_line(&mut String::new())?;
            to.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        "*" => {
            for _ in 0..rest.parse::<usize>().unwrap_or(0) {
                read(from, to)?;
            }
        }
        _simple => to.push(rest.to_owned()),
    }
    Ok(())
}

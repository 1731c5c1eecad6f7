//! What a process owes its machine: signals, files, sockets, limits.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use mfa_gateway::sandbox::{certs::Authority, world::seed::BARBARA};
use rustix::process::{Signal, getuid};
use tempfile::TempDir;

use super::support::{Rig, eventually, recover};

#[tokio::test]
async fn after_an_audit_file_was_renamed_records_go_to_a_new_one_on_request() {
    let rig = Rig::start().await;
    rig.call(recover(BARBARA.email, "wrong")).await;
    fs::rename(rig.path("audit.log"), rig.path("audit.log.1")).unwrap();
    rig.gateway.signal(Signal::USR1);
    eventually("a new audit file", || {
        rig.path("audit.log").exists().then_some(())
    })
    .await;
    let client = rig.client.clone();
    client
        .send(recover(BARBARA.email, "wrong"))
        .await
        .unwrap()
        .assert_passed(401);

    let lines = |name| {
        let text = fs::read_to_string(rig.path(name)).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let (old, new) = (lines("audit.log.1"), lines("audit.log"));
    let stages = |records: &[serde_json::Value]| {
        let stages = records
            .iter()
            .filter_map(|record| record["unmapped"]["stage"].as_str());
        stages.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(stages(&old), ["admitted", "completed"]);
    assert_eq!(stages(&new), ["admitted", "completed"]);
    // the chain goes on from file to file
    let last = &old.last().unwrap()["unmapped"]["hash"];
    assert_eq!(&new[0]["unmapped"]["prev"], last);
    let mode = fs::metadata(rig.path("audit.log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_unix_socket_is_guarded_by_its_mode_and_gone_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("gateway.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "left behind by one that was killed");
    let mut rig = Rig::builder()
        .listen(&[&format!("unix:{}", socket.display())])
        .set("listen.unix_mode", "'0600'")
        .start()
        .await;
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    rig.call(recover(BARBARA.email, "wrong"))
        .await
        .assert_passed(401);
    rig.call(recover(BARBARA.email, "wrong").http2())
        .await
        .assert_passed(401);
    rig.gateway.signal(Signal::TERM);
    assert_eq!(rig.gateway.end().await.code(), Some(0));
    assert!(!socket.exists());
}

/// A gateway with no vendor to reach, started by a command of the test's own.
struct Alone {
    child: Child,
    /// Holds the CA's certificate.
    _folder: TempDir,
}

impl Alone {
    /// Starts it, and waits until it listens.
    fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, Authority::new("alone").unwrap().pem()).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ca = format!("frontegg.ca_file={}", ca.display());
        let set = [
            "listen.address=127.0.0.1:0",
            "admin.address=",
            "frontegg.identity_url=https://127.0.0.1:1",
            "frontegg.auth_url=https://127.0.0.1:1/auth/vendor/",
            "frontegg.client_id=id",
            "frontegg.api_key=key",
            "audit.key=an audit key for tests, 32 bytes long",
            "telemetry.log_format=json",
            &ca,
        ];
        command
            .arg("run")
            .args(set.iter().flat_map(|set| ["--set", set]));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut alone = Self {
            child,
            _folder: folder,
        };
        let lines = BufReader::new(alone.child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.map_while(Result::ok) {
            if line.contains(r#""message":"listening""#) {
                return alone;
            }
            said.push(line);
        }
        panic!("it ended before it listened: {said:?}");
    }

    fn process(&self) -> PathBuf {
        format!("/proc/{}", self.child.id()).into()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_mfa-gateway");

#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\"", BINARY]);
    let alone = Alone::start(&mut few);
    let limits = fs::read_to_string(alone.process().join("limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = files.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard");
}

#[test]
fn nobody_but_root_looks_into_the_process() {
    let mut command = Command::new(BINARY);
    if getuid().is_root() {
        // root's own processes look the same either way
        command.uid(65_534).gid(65_534);
    }
    let alone = Alone::start(&mut command);
    // the files of a process that can't be dumped belong to root
    let owner = fs::metadata(alone.process().join("environ")).unwrap().uid();
    assert_eq!(owner, 0);
}

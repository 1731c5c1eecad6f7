//! The `sandbox` command: the tour, the lines to try, and what it leaves behind.

use std::{fs, net::TcpListener, path::Path, process::Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use super::support::{Program, eventually, leave_out, within};

const BINARY: &str = env!("CARGO_BIN_EXE_mfa-gateway");

/// A folder in which a sandbox that is given none makes its own.
fn temporary() -> (TempDir, Vec<(String, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, vec![("TMPDIR".to_owned(), path)])
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A sandbox that serves from a folder which it keeps.
async fn serving(folder: &Path) -> (Program, String) {
    let folder = folder.to_str().unwrap();
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--state", folder];
    let sandbox = Program::start(arguments, &[]);
    sandbox.logged("listening", 1).await;
    let said = eventually("the lines to try", || {
        let said = sandbox.stdout();
        said.contains("Authenticator apps show").then_some(said)
    })
    .await;
    (sandbox, said)
}

async fn stop(mut sandbox: Program) {
    sandbox.signal(Signal::TERM);
    assert_eq!(sandbox.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_tour_goes_well_and_leaves_nothing_behind() {
    let (folder, environment) = temporary();
    let mut command = Command::new(BINARY);
    command
        .args(["sandbox", "--tour"])
        .env_clear()
        .envs(environment);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let tour = within("the tour's end", command.output()).await.unwrap();
    let told = String::from_utf8(tour.stdout).unwrap();
    let errors = String::from_utf8(tour.stderr).unwrap();
    assert_eq!(tour.status.code(), Some(0), "{told}\n{errors}");
    assert!(!told.contains('\u{1b}'), "it is coloured, yet no terminal");
    assert!(!told.contains("FAILED"), "{told}");
    for part in [
        "recover",
        "429",
        "user.sms.disable",
        "completed",
        "admitted",
        "route-not-allowed",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(entries(folder.path()), [""; 0]);
}

#[tokio::test]
async fn a_reader_of_the_tour_may_go_away() {
    let (folder, environment) = temporary();
    let mut command = Command::new("bash");
    command.args([
        "-c",
        &format!("{BINARY} sandbox --tour | head -1; echo ${{PIPESTATUS[0]}}"),
    ]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let tour = within("the tour's end", command.output()).await.unwrap();
    let told = String::from_utf8(tour.stdout).unwrap();
    assert_eq!(
        told.lines().last(),
        Some("0"),
        "{tour:?}",
        tour = tour.stderr
    );
    assert_eq!(tour.stderr, b"");
    assert_eq!(entries(folder.path()), [""; 0]);
}

#[tokio::test]
async fn the_lines_to_try_work_as_they_stand() {
    if !Command::new("curl")
        .arg("--version")
        .output()
        .await
        .is_ok_and(|run| run.status.success())
    {
        return leave_out("the sandbox's lines to try: no curl");
    }
    let folder = tempfile::tempdir().unwrap();
    let (sandbox, said) = serving(folder.path()).await;
    let mut parts = said.split("\n# ").skip(1);
    let mut lines = |start: &str| {
        let part = parts.next().unwrap();
        assert!(part.starts_with(start), "{part}");
        let lines = part
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("  "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let status = async |script: &str| {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", script])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let run = within("curl", shell.output()).await.unwrap();
        let answer = String::from_utf8(run.stdout).unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("{script}: {answer}"));
        status.to_owned()
    };
    assert_eq!(status(&lines("Recover: Barbara")).await, "200");
    let guess = lines("Recover: guessing");
    for _ in 0..5 {
        assert_eq!(status(&guess).await, "401");
    }
    assert_eq!(status(&guess).await, "429");
    assert_eq!(status(&lines("Disable an authenticator app")).await, "200");
    assert_eq!(status(&lines("Disable SMS")).await, "200");
    assert_eq!(
        status(&lines("A route that is not let through")).await,
        "403"
    );
    stop(sandbox).await;
}

#[tokio::test]
async fn a_folder_that_was_named_is_kept_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let (sandbox, _) = serving(&home).await;
    stop(sandbox).await;
    let kept = entries(&home);
    for name in [
        "api-key",
        "audit-key",
        "audit.log",
        "ca-key.pem",
        "ca.pem",
        "codes",
        "gateway.toml",
    ] {
        assert!(
            kept.iter().any(|kept| kept == name),
            "{name} is not in {kept:?}"
        );
    }
    let keys = || ["ca-key.pem", "audit-key"].map(|name| fs::read(home.join(name)).unwrap());
    let before = keys();

    let (sandbox, _) = serving(&home).await;
    let mut second = Program::start(["sandbox", "--state", home.to_str().unwrap()], &[]);
    assert_eq!(second.end().await.code(), Some(1));
    eventually("why the second one ended", || {
        second
            .stderr()
            .contains("another sandbox is at work there")
            .then_some(())
    })
    .await;
    stop(sandbox).await;
    assert_eq!(keys(), before);
    let records = fs::read_to_string(home.join("audit.log")).unwrap();
    let records = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let starts = records.filter(|record| record["unmapped"]["event"] == "start");
    let continued: Vec<_> = starts
        .map(|start| start["unmapped"]["continued"].clone())
        .collect();
    assert_eq!(continued, [false, true]);
}

#[tokio::test]
async fn a_folder_of_its_own_goes_when_it_is_stopped() {
    let (folder, environment) = temporary();
    let sandbox = Program::start(["sandbox", "--listen", "127.0.0.1:0"], &environment);
    sandbox.logged("listening", 1).await;
    assert_eq!(entries(folder.path()).len(), 1);
    stop(sandbox).await;
    assert_eq!(entries(folder.path()), [""; 0]);
}

#[tokio::test]
async fn what_a_second_signal_cuts_off_is_on_record() {
    let home = tempfile::tempdir().unwrap();
    let (mut sandbox, _) = serving(home.path()).await;
    let listening = sandbox.logged("listening", 1).await;
    let address = listening[0]["address"].as_str().unwrap();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let path = "/identity/resources/auth/v1/user/mfa/recover";
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 12];
    within("its wait for the body", caller.read_exact(&mut interim))
        .await
        .unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100");
    sandbox.signal(Signal::INT);
    sandbox.logged("told to stop: draining", 1).await;
    sandbox.signal(Signal::INT);
    assert_eq!(sandbox.end().await.code(), Some(0));
    let records = fs::read_to_string(home.path().join("audit.log")).unwrap();
    assert!(records.contains("\"operation\":\"recover\""), "{records}");
}

#[tokio::test]
async fn it_is_for_this_machine_alone_and_says_where_it_cannot_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (folder, environment) = temporary();
    for (address, status, part) in [
        ("0.0.0.0:0", 2, "for this machine alone"),
        ("[::]:0", 2, "for this machine alone"),
        (taken.as_str(), 1, "choose another address with --listen"),
    ] {
        let mut sandbox = Program::start(["sandbox", "--listen", address], &environment);
        assert_eq!(sandbox.end().await.code(), Some(status), "{address}");
        eventually(part, || sandbox.stderr().contains(part).then_some(())).await;
    }
    assert_eq!(entries(folder.path()), [""; 0]);
}

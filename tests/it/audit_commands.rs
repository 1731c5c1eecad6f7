//! `audit verify`, `search` and `tail`, over a log that the gateway wrote.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use flate2::{Compression, write::GzEncoder};
use mfa_gateway::{
    route::Operation,
    sandbox::world::seed::{ADA, GRACE},
};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Call, Program, Rig, eventually, recover, within};

const BINARY: &str = env!("CARGO_BIN_EXE_mfa-gateway");

/// A log of several files, one of them compressed, and its keys.
struct Log {
    rig: Rig,
    files: Vec<PathBuf>,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Log {
    /// Six recoveries of each of two people that fail, and one list of devices.
    async fn write() -> Self {
        let mut rig = Rig::builder()
            .set("audit.rotate.size", "'64KiB'")
            .set("limits.mode", "'observe'")
            .start()
            .await;
        rig.call(Call::of(Operation::UserDevices).on_behalf_of(&ADA))
            .await
            .assert_passed(200);
        for _ in 0..20 {
            for email in [ADA.email, GRACE.email] {
                rig.client
                    .send(recover(email, "wrong"))
                    .await
                    .unwrap()
                    .assert_passed(401);
            }
        }
        rig.gateway.signal(Signal::TERM);
        assert!(rig.gateway.end().await.success());
        let mut files: Vec<_> = fs::read_dir(rig.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("audit.log")
            })
            .collect();
        files.sort();
        assert!(files.len() > 1, "{files:?}");
        let rotated = files.pop().unwrap();
        let packed = PathBuf::from(format!("{}.gz", rotated.display()));
        let mut encoder = GzEncoder::new(fs::File::create(&packed).unwrap(), Compression::fast());
        encoder.write_all(&fs::read(&rotated).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(rotated).unwrap();
        files.push(packed);
        Self { rig, files }
    }

    /// `audit …` with the gateway's own configuration, over all files.
    async fn run(&self, arguments: &[&str]) -> Done {
        let configuration = self.rig.path("gateway.toml");
        let mut command = Command::new(BINARY);
        command
            .arg("audit")
            .args(arguments)
            .arg("-c")
            .arg(configuration)
            .args(&self.files);
        done(command).await
    }
}

async fn done(mut command: Command) -> Done {
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = within("a command's end", command.output()).await.unwrap();
    Done {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_good_log_is_verified_and_its_end_can_be_held_against_the_next() {
    let log = Log::write().await;
    let text = log.run(&["verify"]).await;
    assert_eq!(text.status, Some(0), "{text:?}");
    assert!(
        text.stdout.ends_with("The log is as it was written.\n"),
        "{text:?}"
    );
    let report = log.run(&["verify", "--format", "json"]).await;
    let report = json(&report.stdout);
    assert_eq!(report["verified"], true);
    // start, drain and stop; two for each request
    assert_eq!(report["records"], 3 + 2 * 41);
    let end = report["chains"][0]["end"].as_str().unwrap();
    assert_eq!(log.run(&["verify", "--expect", end]).await.status, Some(0));
    let later = end.replacen("85:", "86:", 1);
    let cut = log.run(&["verify", "--expect", &later]).await;
    assert_eq!(cut.status, Some(1));
    assert!(cut.stdout.contains("damage    cut-off"), "{cut:?}");
}

#[tokio::test]
async fn a_bad_record_is_named_with_its_place_for_people_and_for_scripts() {
    let log = Log::write().await;
    let path = log.rig.path("audit.log");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"denied\"", "\"failed\"", 1)).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("\"denied\""))
        .unwrap();
    let found = log.run(&["verify"]).await;
    assert_eq!(found.status, Some(1));
    let place = format!("line      {line}\n");
    for part in [
        "NOT as it was written",
        "damage    changed",
        "time      20",
        &place,
    ] {
        assert!(
            found.stdout.contains(part),
            "{part:?} is not in {}",
            found.stdout
        );
    }
    let summary = format!("audit.log, line {line}: changed");
    assert!(found.stderr.contains(&summary), "{found:?}");
    let found = json(&log.run(&["verify", "--format", "json"]).await.stdout);
    assert_eq!(found["verified"], false);
    assert_eq!(found["bad"]["damage"], "changed");
    assert_eq!(found["bad"]["line"], line);
}

#[tokio::test]
async fn keys_come_from_files_too_and_a_wrong_one_is_told() {
    let log = Log::write().await;
    let key = log.rig.path("key");
    let verify = |key: &Path| {
        let mut command = Command::new(BINARY);
        command.args(["audit", "verify", "--key-file"]);
        command.arg(key).args(&log.files);
        done(command)
    };
    fs::write(&key, "an audit key for tests, 32 bytes long\n").unwrap();
    assert_eq!(verify(&key).await.status, Some(0));
    fs::write(&key, "another").unwrap();
    let wrong = verify(&key).await;
    assert_eq!(wrong.status, Some(1));
    assert!(wrong.stdout.contains("damage    wrong-key"), "{wrong:?}");
    let missing = verify(Path::new("/nonexistent")).await;
    assert_eq!(missing.status, Some(2));
}

#[tokio::test]
async fn somebody_is_found_by_email_over_rotated_and_compressed_files() {
    let log = Log::write().await;
    // however it is written
    let email = format!(" {} ", ADA.email.to_uppercase());
    let found = log
        .run(&["search", "--email", &email, "--format", "json"])
        .await;
    let lines: Vec<_> = found.stdout.lines().map(json).collect();
    assert_eq!(lines.len(), 20, "{found:?}");
    for line in &lines {
        assert_eq!(
            (&line["outcome"], &line["ended"]),
            (&"denied".into(), &true.into())
        );
        assert_eq!(line["records"].as_array().unwrap().len(), 2);
    }
    let id = lines[7]["request_id"].as_str().unwrap();
    let one = log.run(&["search", "--request-id", id]).await;
    assert_eq!(one.stdout.lines().count(), 1);
    for part in ["denied", "401", "recover", id] {
        assert!(one.stdout.contains(part), "{part} is not in {}", one.stdout);
    }
    let nobody = log.run(&["search", "--email", "nobody@acme.example"]).await;
    assert_eq!((nobody.status, nobody.stdout.as_str()), (Some(0), ""));
    let since = log
        .run(&["search", "--operation", "user.*", "--since", "1h"])
        .await;
    assert_eq!(since.stdout.lines().count(), 1);
    let wrong = log.run(&["search", "--since", "yesterday"]).await;
    assert_eq!(wrong.status, Some(2));
}

#[tokio::test]
async fn the_last_records_of_several_files_are_shown_in_their_order() {
    let log = Log::write().await;
    let last = log.run(&["tail", "-n", "3"]).await;
    assert_eq!(last.status, Some(0), "{last:?}");
    let lines: Vec<_> = last.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{last:?}");
    assert!(
        lines[2].contains("stop") && lines[1].contains("drain"),
        "{last:?}"
    );
    let all = log.run(&["tail", "-n", "1000", "--format", "json"]).await;
    let sequence = |line: &str| json(line)["metadata"]["sequence"].as_u64().unwrap();
    let sequences: Vec<_> = all.stdout.lines().map(sequence).collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
    assert_eq!(sequences.last(), Some(&(3 + 2 * 41)));
    let followed = log.run(&["tail", "-f"]).await;
    assert_eq!(followed.status, Some(2));
    assert!(
        followed
            .stderr
            .contains("name the one that is being written"),
        "{followed:?}"
    );
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let rig = Rig::builder()
        .set("audit.rotate.size", "'64KiB'")
        .start()
        .await;
    let path = rig.path("audit.log");
    let arguments = ["audit", "tail", "-f", path.to_str().unwrap()];
    let tail = Program::start(arguments, &[]);
    let shown = |part: &'static str, times: usize| {
        let tail = &tail;
        eventually("it is shown", move || {
            (tail.stdout().matches(part).count() >= times).then_some(())
        })
    };
    shown("gateway", 1).await;
    for _ in 0..40 {
        let call = Call::of(Operation::UserDevices).on_behalf_of(&ADA);
        rig.client.send(call).await.unwrap().assert_passed(200);
    }
    shown("succeeded", 40).await;
    assert_eq!(tail.stdout().matches("succeeded").count(), 40);
    assert!(!tail.stdout().contains('\x1b'), "colour without a terminal");
}

//! Outputs of the audit log that break under the running gateway, and come back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use http::Version;
use mfa_gateway::{
    audit::{Input, Keyring, Progress, verify},
    route::Operation,
    sandbox::{
        vendor::Fault,
        world::seed::{ADA, BARBARA},
    },
};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;

use crate::support::{Call, Client, Program, Rig, eventually, leave_out, recover};

const KEY: &str = "an audit key for tests, 32 bytes long";

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

/// Fails unless the log is one good chain; how many records it has.
#[track_caller]
fn verified(path: &Path) -> u64 {
    let log = [Input::File(path.to_owned())];
    let keys = Keyring::new([KEY.into()]);
    let report = verify(&log, &keys, None, &Progress::default()).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.chains.len(), 1);
    report.records()
}

/// How many records of the ends of requests are in a file.
fn completed(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.matches(r#""stage":"completed""#).count()
}

/// A disk, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this process may not mount one.
    fn mount(at: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(at)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(
            unmounted.unwrap().success(),
            "{} stays mounted",
            self.0.display()
        );
    }
}

#[tokio::test]
async fn a_full_disk_stops_everything_and_room_on_it_lets_it_go_on_with_nothing_lost() {
    for durability in ["'written'", "'synced'"] {
        let builder = Rig::builder();
        let disk = PathBuf::from(builder.folder()).join("disk");
        fs::create_dir(&disk).unwrap();
        let Some(mounted) = Disk::mount(&disk, "size=128k") else {
            return leave_out("a full disk: this process may not mount a small one");
        };
        let (path, filler) = (disk.join("audit.jsonl"), disk.join("filler"));
        fs::write(&filler, vec![0; 64 * 1024]).unwrap();
        let mut rig = builder
            .set("audit.output", &format!("'{}'", path.display()))
            .set("audit.durability", durability)
            .start()
            .await;
        let mut answered = 0;
        let refused = loop {
            let reply = rig.call(devices()).await;
            if reply.code().is_some() {
                break reply;
            }
            answered += 1;
            assert!(answered < 1000, "the disk never fills");
        };
        refused.assert_refused(503, "audit-unavailable");
        rig.until_probe("/readyz", 503).await;
        assert!(
            completed(&path) >= answered - 1,
            "a record that was accepted is gone"
        );

        fs::remove_file(&filler).unwrap();
        rig.until_probe("/readyz", 200).await;
        rig.call(devices()).await.assert_passed(200);
        rig.gateway.signal(Signal::TERM);
        assert!(rig.gateway.end().await.success());
        assert!(completed(&path) > answered);
        verified(&path);
        drop((rig, mounted));
    }
}

#[tokio::test]
async fn a_file_system_that_turns_read_only_stops_everything_until_it_can_be_written_again() {
    let builder = Rig::builder();
    let disk = PathBuf::from(builder.folder()).join("disk");
    fs::create_dir(&disk).unwrap();
    let path = disk.join("audit.jsonl");
    let mut rig = builder
        .set("audit.output", &format!("'{}'", path.display()))
        .start()
        .await;
    rig.call(devices()).await.assert_passed(200);
    // what is open for writing can't be made read-only, but another can come into its place
    let Some(mounted) = Disk::mount(&disk, "ro") else {
        return leave_out("a read-only file system: this process may not mount one");
    };
    rig.gateway.signal(Signal::USR1);
    rig.until_probe("/readyz", 503).await;
    let refused = rig.call(devices()).await;
    refused.assert_refused(503, "audit-unavailable");
    let lost = rig.gateway.logged("audit output lost", 1).await;
    let error = lost[0]["error"].as_str().unwrap();
    assert!(error.contains("Read-only file system"), "{error}");

    drop(mounted);
    rig.until_probe("/readyz", 200).await;
    rig.call(devices()).await.assert_passed(200);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(refused.request_id()), "{text}");
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    verified(&path);
}

#[tokio::test]
async fn a_closed_standard_output_alone_ends_the_gateway_once_it_has_drained() {
    let rig = Rig::start().await;
    let file = rig.path("gateway.toml");
    let arguments = [
        "run",
        "-c",
        file.to_str().unwrap(),
        "--set",
        "audit.output=stdout",
    ];
    let (mut other, stdout) = Program::start_unread(arguments, &[]);
    let listening = other.logged("listening", 1).await;
    let client = Client::Tcp(listening[0]["address"].as_str().unwrap().parse().unwrap());
    client.send(devices()).await.unwrap().assert_passed(200);
    let slow = Fault::Slow(Duration::from_millis(500)).at(Operation::Recover);
    rig.vendor.misbehave(slow.once());
    let begun = {
        let (client, call) = (client.clone(), recover(BARBARA.email, "wrong"));
        tokio::spawn(async move { client.send(call).await.unwrap() })
    };
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) == 1)
        .await;
    drop(stdout);
    let refused = client.send(devices()).await.unwrap();
    refused.assert_refused(503, "audit-unavailable");
    // what had begun is answered all the same
    begun.await.unwrap().assert_passed(401);
    assert_eq!(other.end().await.code(), Some(1));
    let why = "no audit output takes records any more, and none can come back: draining";
    other.logged(why, 1).await;
}

#[tokio::test]
async fn a_closed_standard_output_beside_a_file_ends_nothing() {
    let rig = Rig::start().await;
    let (file, path) = (rig.path("gateway.toml"), rig.path("second.jsonl"));
    let outputs = format!("audit.output=['stdout', '{}']", path.display());
    let arguments = ["run", "-c", file.to_str().unwrap(), "--set", &outputs];
    let (mut other, stdout) = Program::start_unread(arguments, &[]);
    let listening = other.logged("listening", 1).await;
    let client = Client::Tcp(listening[0]["address"].as_str().unwrap().parse().unwrap());
    drop(stdout);
    for _ in 0..3 {
        client.send(devices()).await.unwrap().assert_passed(200);
    }
    other.logged("audit output lost", 1).await;
    other.signal(Signal::TERM);
    assert!(other.end().await.success());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(r#""event":"output-lost""#).count(), 1);
    assert!(completed(&path) == 3 && verified(&path) > 6);
}

#[tokio::test]
async fn a_file_that_is_deleted_is_made_again_before_the_next_answer() {
    let mut rig = Rig::start().await;
    rig.call(devices()).await.assert_passed(200);
    let path = rig.path("audit.log");
    fs::remove_file(&path).unwrap();
    let reply = rig.client.send(devices()).await.unwrap();
    reply.assert_passed(200);
    let text = fs::read_to_string(&path).unwrap();
    let ids = text.matches(reply.request_id()).count();
    assert_eq!(ids, 2, "{text}");
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    verified(&path);
}

#[tokio::test]
async fn a_folder_that_goes_away_stops_everything_until_it_is_back() {
    let builder = Rig::builder();
    let folder = PathBuf::from(builder.folder()).join("log");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("audit.jsonl");
    let rig = builder
        .set("audit.output", &format!("'{}'", path.display()))
        .start()
        .await;
    fs::remove_dir_all(&folder).unwrap();
    let refused = rig.call(devices()).await;
    refused.assert_refused(503, "audit-unavailable");
    fs::create_dir(&folder).unwrap();
    rig.until_probe("/readyz", 200).await;
    rig.call(devices()).await.assert_passed(200);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""event":"output-lost""#) && text.contains(r#""event":"output-back""#));
    // what could not be written then is written first
    assert!(text.contains(refused.request_id()), "{text}");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_stops_the_start_and_says_why() {
    let rig = Rig::start().await;
    let pipe = rig.path("audit.pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let file = rig.path("gateway.toml");
    let output = format!("audit.output={}", pipe.display());
    let arguments = ["run", "-c", file.to_str().unwrap(), "--set", &output];
    let mut other = Program::start(arguments, &[]);
    assert_eq!(other.end().await.code(), Some(1));
    let said = |text: &String| text.contains("nobody reads this FIFO: start its reader");
    eventually("it says why", || Some(other.stderr()).filter(said)).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_begun_goes_on_under_its_name_and_is_begun_later() {
    let builder = Rig::builder();
    let folder = PathBuf::from(builder.folder()).join("log");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("audit.jsonl");
    let mut rig = builder
        .set("audit.output", &format!("'{}'", path.display()))
        .set("audit.rotate.size", "'64KiB'")
        .start()
        .await;
    let files = || fs::read_dir(&folder).unwrap().count();
    let mut connection = rig.connect(Version::HTTP_11).await;
    connection.send(devices()).await.unwrap().assert_passed(200);
    rig.gateway.open_nothing(true);
    while rig.gateway.stderr().matches("could not be rotated").count() == 0 {
        connection.send(devices()).await.unwrap().assert_passed(200);
    }
    assert!(path.exists());
    assert_eq!(files(), 1);
    rig.gateway.open_nothing(false);
    while files() == 1 {
        connection.send(devices()).await.unwrap().assert_passed(200);
    }
    drop(connection);
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    let log = fs::read_dir(&folder).unwrap();
    let log: Vec<_> = log.map(|file| Input::File(file.unwrap().path())).collect();
    let keys = Keyring::new([KEY.into()]);
    let report = verify(&log, &keys, None, &Progress::default()).unwrap();
    assert_eq!((report.bad, report.chains.len()), (None, 1));
}

//! What of `[audit]` changes while the gateway runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use http::Version;
use mfa_gateway::{
    audit::{Input, Keyring, Progress, verify},
    route::Operation,
    sandbox::world::seed::ADA,
};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::Signal,
};
use serde_json::Value;

use super::{guess, reload};
use crate::support::{Builder, Call, Reply, Rig, patience};

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

/// A rig with its audit log in a folder of its own, and that folder.
fn in_folder() -> (Builder, PathBuf) {
    let builder = Rig::builder();
    let folder = PathBuf::from(builder.folder()).join("log");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("audit.jsonl");
    let builder = builder.set("audit.output", &format!("'{}'", file.display()));
    (builder, folder)
}

/// Tells it to read its configuration again, which it has taken `times` by then. For where the
/// audit log can't tell of it.
async fn reload_unrecorded(rig: &Rig, times: usize) {
    rig.gateway.signal(Signal::HUP);
    rig.gateway.logged("configuration reloaded", times).await;
}

/// Fails unless the files of `folder` are one good chain.
fn assert_whole(folder: &Path) {
    let entries = fs::read_dir(folder).unwrap();
    let log: Vec<_> = entries
        .map(|entry| Input::File(entry.unwrap().path()))
        .collect();
    let keys = Keyring::new(["an audit key for tests, 32 bytes long".into()]);
    let report = verify(&log, &keys, None, &Progress::default()).unwrap();
    assert_eq!((report.bad, report.chains.len()), (None, 1));
}

#[tokio::test]
async fn with_no_output_left_requests_go_on_once_that_is_allowed_and_no_longer_than_it_is() {
    let (builder, folder) = in_folder();
    let mut rig = builder.set("audit.on_failure", "'deny'").start().await;
    // in the file's place comes a pipe that nobody reads
    let path = folder.join("audit.jsonl");
    fs::remove_file(&path).unwrap();
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let refused = rig.call(devices()).await;
    refused.assert_refused(503, "audit-unavailable");

    rig.edit("'deny'", "'continue'");
    reload_unrecorded(&rig, 1).await;
    let passed = rig.call(devices()).await;
    passed.assert_passed(200);

    rig.edit("'continue'", "'deny'");
    reload_unrecorded(&rig, 2).await;
    rig.call(devices())
        .await
        .assert_refused(503, "audit-unavailable");

    fs::remove_file(&path).unwrap();
    rig.until_probe("/readyz", 200).await;
    rig.call(devices()).await.assert_passed(200);
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    // what went on meanwhile was kept
    let text = fs::read_to_string(path).unwrap();
    for reply in [refused, passed] {
        assert!(text.contains(reply.request_id()), "{text}");
    }
    assert_eq!(text.matches(r#""event":"reload""#).count(), 2);
    assert_whole(&folder);
}

#[tokio::test]
async fn equal_refusals_share_a_record_from_the_new_number_on() {
    let rig = Rig::builder().set("audit.collapse", "0").start().await;
    let mut connection = rig.connect(Version::HTTP_11).await;
    let mut refuse = async || {
        let call = Call::of(Operation::UserUnenroll);
        let reply = connection.send(call).await.unwrap();
        reply.assert_refused(403, "route-not-allowed");
        reply
    };
    for _ in 0..5 {
        let reply = refuse().await;
        assert_eq!(rig.records(&reply).len(), 1);
    }
    rig.edit("audit.collapse = 0", "audit.collapse = 1");
    reload(&rig).await;
    let began = Instant::now();
    let shared = || {
        let mut records = rig.audit.records().into_iter();
        records.any(|record| record.0["count"].is_u64())
    };
    while !shared() {
        refuse().await;
        assert!(began.elapsed() < patience(), "none share a record");
    }
}

#[tokio::test]
async fn emails_appear_in_the_new_form() {
    let rig = Rig::builder().set("audit.email", "'hash'").start().await;
    let user = |reply: &Reply| rig.records(reply)[0].0["user"].clone();
    let hashed = user(&rig.call(guess(ADA.email)).await);
    assert!(hashed["uid"].as_str().unwrap().starts_with("email:"));
    assert_eq!(hashed.get("email_addr"), None);

    rig.edit("'hash'", "'plain'");
    reload(&rig).await;
    let plain = user(&rig.call(guess(ADA.email)).await);
    let email = Value::from(ADA.email);
    assert_eq!((&plain["uid"], &plain["email_addr"]), (&email, &email));
}

#[tokio::test]
async fn an_open_file_is_synced_and_put_aside_by_the_new_rules() {
    let (builder, folder) = in_folder();
    let mut rig = builder
        .set("audit.durability", "'written'")
        .set("audit.rotate.size", "'100MiB'")
        .set("audit.rotate.compress", "false")
        .start()
        .await;
    rig.call(devices()).await.assert_passed(200);
    rig.edit("'written'", "'synced'");
    rig.edit("'100MiB'", "'64KiB'");
    rig.edit("compress = false", "compress = true");
    reload_unrecorded(&rig, 1).await;
    let packed = || {
        let mut entries = fs::read_dir(&folder).unwrap();
        let gzip = |path: PathBuf| path.extension().is_some_and(|end| end == "gz");
        entries.any(|entry| gzip(entry.unwrap().path()))
    };
    let began = Instant::now();
    while !packed() {
        rig.call(devices()).await.assert_passed(200);
        assert!(began.elapsed() < patience(), "no file is put aside");
    }
    rig.edit("'synced'", "'written'");
    reload_unrecorded(&rig, 2).await;
    rig.call(devices()).await.assert_passed(200);
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    assert_whole(&folder);
}

#[tokio::test]
async fn records_name_the_region_that_they_were_for() {
    let rig = Rig::builder().set("frontegg.region", "'eu'").start().await;
    let region = async || {
        let reply = rig.call(guess(ADA.email)).await;
        let last = rig.records(&reply).pop().unwrap();
        last.0["unmapped"]["region"].clone()
    };
    assert_eq!(region().await, "eu");
    rig.edit("'eu'", "'us'");
    reload(&rig).await;
    assert_eq!(region().await, "us");
}

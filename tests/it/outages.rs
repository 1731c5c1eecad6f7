//! The audit log can't take records: nothing is done without one, and what is done is recorded later.

use std::{
    fs::File,
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::Fault,
        world::seed::{ADA, BARBARA, GRACE},
    },
};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use crate::support::{Builder, Call, Rig, patience, recover};

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

/// A gateway whose audit log is a pipe, and the end of it that nobody reads.
fn piped() -> (Builder, File) {
    let builder = Rig::builder();
    let path = format!("{}/audit.pipe", builder.folder());
    mkfifoat(CWD, Path::new(&path), Mode::RUSR | Mode::WUSR).unwrap();
    let reader = open(
        Path::new(&path),
        OFlags::RDONLY | OFlags::NONBLOCK,
        Mode::empty(),
    );
    let builder = builder
        .set("audit.output", &format!("'{path}'"))
        .set("audit.timeout", "'200ms'");
    (builder, reader.unwrap().into())
}

/// Calls until a record finds no room any more.
async fn fill(rig: &Rig) {
    let began = Instant::now();
    loop {
        let reply = rig.call(devices()).await;
        if let Some(code) = reply.code() {
            assert_eq!(code, "audit-unavailable");
            return;
        }
        assert!(began.elapsed() < patience(), "the pipe never fills");
    }
}

/// What is in the pipe now.
fn drain(reader: &mut File, text: &mut String) {
    let mut read = vec![0; 1 << 16];
    // an error says that the pipe is empty
    while let Ok(count @ 1..) = reader.read(&mut read) {
        text.push_str(str::from_utf8(&read[..count]).unwrap());
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_audited_is_refused_and_one_that_has_begun_is_answered() {
    let (builder, mut reader) = piped();
    let rig = builder.quota("email", 1).start().await;
    let slow = Fault::Slow(Duration::from_secs(2)).at(Operation::Recover);
    rig.vendor.misbehave(slow.once());
    let call = recover(BARBARA.email, BARBARA.recovery_code.unwrap());
    let client = rig.client.clone();
    let begun = tokio::spawn(async move { client.send(call).await.unwrap() });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) == 1)
        .await;

    fill(&rig).await;
    let received = rig.vendor.count(Operation::UserDevices);
    rig.call(devices())
        .await
        .assert_refused(503, "audit-unavailable");
    rig.call(recover(GRACE.email, "wrong"))
        .await
        .assert_refused(503, "audit-unavailable");
    assert_eq!(rig.vendor.count(Operation::UserDevices), received);
    let ready = rig.ask_admin(Method::GET, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    // the factor is gone, and the user must know
    let begun = begun.await.unwrap();
    begun.assert_passed(200);

    let mut records = String::new();
    let mut attempt;
    let started = Instant::now();
    loop {
        drain(&mut reader, &mut records);
        attempt = rig.call(recover(GRACE.email, "wrong")).await;
        if attempt.code().as_deref() != Some("audit-unavailable") {
            break;
        }
        assert!(started.elapsed() < patience(), "it never comes back");
    }
    // the attempt that was refused had been given back
    attempt.assert_passed(401);
    drain(&mut reader, &mut records);
    let completed = records
        .lines()
        .any(|line| line.contains(begun.request_id()) && line.contains(r#""stage":"completed""#));
    assert!(completed, "the answered request has no record of its end");
}

#[tokio::test]
async fn requests_go_on_without_records_where_the_operator_wants_it() {
    let (builder, _unread) = piped();
    let rig = builder.set("audit.on_failure", "'continue'").start().await;
    for _ in 0..100 {
        rig.call(devices()).await.assert_passed(200);
    }
    let metrics = rig.ask_admin(Method::GET, "/metrics").await;
    let metrics = String::from_utf8(metrics.body.into()).unwrap();
    let failed = metrics.lines().find(|line| {
        line.starts_with("mfa_gateway_audit_records_total") && !line.contains("written")
    });
    assert!(failed.is_some(), "{metrics}");
}

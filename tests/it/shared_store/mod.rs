//! Limits in one store for several gateways, and without it.

mod counting;
mod kinds;
mod outages;
mod support;

use std::{process::Command, time::Instant};

use http::Method;

use crate::support::{Builder, Call, Redis, Rig, patience, recover};

/// Counts in this store; only emails are limited.
pub(crate) fn by_email(url: &str) -> Builder {
    Rig::builder()
        .set("limits.store", "'redis'")
        .set("limits.key", "'a limits key for tests, 32 bytes'")
        .set("limits.redis.url", url)
        .set("limits.redis.timeout", "'2s'")
        .set(
            "limits.upstream.recover",
            "{ attempts = 10_000, per = '1m' }",
        )
}

pub(crate) fn one(redis: &Redis) -> Builder {
    by_email(&format!("'{}'", redis.url()))
}

pub(crate) fn guess(email: &str) -> Call {
    recover(email, "wrong")
}

pub(crate) async fn guesses_left(rig: &Rig, email: &str) -> usize {
    for passed in 0..100 {
        if rig.call(guess(email)).await.code().is_some() {
            return passed;
        }
    }
    panic!("no end to the guesses for {email}");
}

pub(crate) async fn metric(rig: &Rig, line: &str) -> bool {
    let metrics = rig.ask_admin(Method::GET, "/metrics").await;
    String::from_utf8(metrics.body.into())
        .unwrap()
        .contains(line)
}

pub(crate) async fn until_metric(rig: &Rig, line: &str) {
    let began = Instant::now();
    while !metric(rig, line).await {
        assert!(began.elapsed() < patience(), "no {line}");
    }
}

pub(crate) fn events(rig: &Rig, name: &str) -> usize {
    let records = rig.audit.records();
    let named = records
        .iter()
        .filter(|record| record.0["unmapped"]["event"] == name);
    named.count()
}

/// Runs a command to its end: its status, and what it wrote to stdout and stderr.
pub(crate) async fn run(arguments: &[&str]) -> (i32, String, String) {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    let run = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mfa-gateway"));
        command.args(arguments).env_clear().output().unwrap()
    });
    let output = run.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

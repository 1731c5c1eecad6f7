//! A collector as the audit log's output: whole, in order, and what happens when it takes nothing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use mfa_gateway::{
    audit::{Input, Keyring, Progress, Report, verify},
    route::Operation,
    sandbox::{
        certs::Authority,
        vendor::Fault,
        world::seed::{ADA, BARBARA},
    },
};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Builder, Call, Collector, Mood, Program, Rig, attributes, eventually, recover,
};

const KEY: &str = "an audit key for tests, 32 bytes long";
const LOGS: &str = "/v1/logs";

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

/// A gateway whose only audit output is the collector.
fn alone(collector: &Collector) -> Builder {
    Rig::builder()
        .set("audit.output", "'otlp'")
        .set("telemetry.otlp_endpoint", &collector.endpoint())
}

/// One that has a file beside it.
fn beside_a_file(collector: &Collector) -> Builder {
    Rig::builder().set("telemetry.otlp_endpoint", &collector.endpoint())
}

#[track_caller]
fn verified(path: &Path) -> Report {
    let log = [Input::File(path.to_owned())];
    let keys = Keyring::new([KEY.into()]);
    let report = verify(&log, &keys, None, &Progress::default()).unwrap();
    assert_eq!(report.bad, None);
    assert_eq!(report.chains.len(), 1);
    report
}

/// Stops the gateway, and verifies what the collector has.
async fn stopped_and_verified(rig: &mut Rig, collector: &Collector) -> Report {
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    let path = rig.path("collected.jsonl");
    collector.write_lines(&path);
    verified(&path)
}

fn is_header(line: &str) -> bool {
    line.contains(r#""event":"header""#)
}

fn missed(line: &str) -> u64 {
    let header: Value = serde_json::from_str(line).unwrap();
    header["unmapped"]["missed"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn what_a_collector_has_is_what_the_file_has() {
    let collector = Collector::start().await;
    let mut rig = beside_a_file(&collector).start().await;
    rig.call_all((0..40).map(|_| devices())).await;
    rig.call(recover(BARBARA.email, "wrong")).await;
    let report = stopped_and_verified(&mut rig, &collector).await;
    assert_eq!(report.records(), 2 * 41 + 3);
    let file = fs::read_to_string(rig.path("audit.log")).unwrap();
    let records = |line: &String| !is_header(line);
    let of_file: Vec<_> = file.lines().map(str::to_owned).filter(records).collect();
    let collected: Vec<_> = collector.lines().into_iter().filter(records).collect();
    assert_eq!(collected, of_file);
    let logs = collector.logs();
    let first = &logs[0];
    assert!(is_header(&collector.lines()[0]));
    assert_eq!(first.event_name, "mfa_gateway.audit");
    for (log, line) in logs.iter().zip(collector.lines()) {
        let record: Value = serde_json::from_str(&line).unwrap();
        let milliseconds = record["time"].as_u64().unwrap();
        assert_eq!(log.time_unix_nano, milliseconds * 1_000_000);
        let sequence = record["metadata"]["sequence"].to_string();
        assert_eq!(
            attributes(&log.attributes)["mfa_gateway.audit.sequence"],
            sequence
        );
        let severity = match record["severity_id"].as_u64().unwrap() {
            1 => 9,
            2 => 10,
            _ => 13,
        };
        assert_eq!(log.severity_number, severity);
    }
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "mfa-gateway");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(!resource["service.instance.id"].is_empty());
}

#[tokio::test]
async fn a_collector_alone_takes_each_record_before_the_answer_and_many_in_one_request() {
    let collector = Collector::start().await;
    let mut rig = alone(&collector).start().await;
    let reply = rig.client.send(devices()).await.unwrap();
    reply.assert_passed(200);
    let of_it = |line: &&String| line.contains(reply.request_id());
    assert_eq!(collector.lines().iter().filter(of_it).count(), 2);
    rig.call_all((0..100).map(|_| devices())).await;
    assert!(rig.audit.records().is_empty());
    let report = stopped_and_verified(&mut rig, &collector).await;
    assert_eq!(report.records(), 2 * 101 + 3);
    assert!(collector.asked(LOGS) < 200, "a request a record");
}

#[tokio::test]
async fn records_go_over_tls_to_a_collector_that_the_system_believes() {
    let (ours, foreign) = (
        Authority::new("ours").unwrap(),
        Authority::new("foreign").unwrap(),
    );
    let collector = Collector::start_tls(&ours).await;
    let builder = alone(&collector);
    let roots = builder.file("roots.pem", ours.pem());
    let rig = builder.env("SSL_CERT_FILE", &roots).start().await;
    rig.call(devices()).await.assert_passed(200);
    // another authority's word is worth nothing
    fs::write(&roots, foreign.pem()).unwrap();
    let file = rig.path("gateway.toml");
    let environment = [("SSL_CERT_FILE".to_owned(), roots)];
    let mut other = Program::start(["run", "-c", file.to_str().unwrap()], &environment);
    assert_eq!(other.end().await.code(), Some(1));
    let said = |text: &String| text.contains("SSL_CERT_FILE");
    eventually("the mend", || Some(other.stderr()).filter(said)).await;
}

#[tokio::test]
async fn a_collector_that_is_away_stops_everything_and_nothing_is_lost_when_it_is_back() {
    let mut collector = Collector::start().await;
    let mut rig = alone(&collector)
        .set("audit.timeout", "'300ms'")
        .start()
        .await;
    rig.call(devices()).await.assert_passed(200);
    collector.go_away().await;
    let received = rig.vendor.count(Operation::UserDevices);
    let refused = rig.call(devices()).await;
    refused.assert_refused(503, "audit-unavailable");
    rig.until_probe("/readyz", 503).await;
    let at_once = Instant::now();
    rig.call(devices())
        .await
        .assert_refused(503, "audit-unavailable");
    assert!(
        at_once.elapsed() < Duration::from_millis(250),
        "it waits for a lost output"
    );
    assert_eq!(rig.vendor.count(Operation::UserDevices), received);

    collector.come_back().await;
    rig.until_probe("/readyz", 200).await;
    rig.call(devices()).await.assert_passed(200);
    let id = refused.request_id().to_owned();
    stopped_and_verified(&mut rig, &collector).await;
    let lines = collector.lines();
    for part in [&*id, r#""event":"output-lost""#, r#""event":"output-back""#] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {lines:#?}"
        );
    }
    assert!(
        lines
            .iter()
            .filter(|line| is_header(line))
            .all(|line| missed(line) == 0)
    );
}

#[tokio::test]
async fn a_moment_without_the_collector_delays_and_refuses_nothing() {
    let mut collector = Collector::start().await;
    let mut rig = alone(&collector)
        .set("audit.timeout", "'20s'")
        .start()
        .await;
    collector.go_away().await;
    let client = rig.client.clone();
    let waiting = tokio::spawn(async move { client.send(devices()).await.unwrap() });
    // it has failed at least once by then, and waits
    let tried = rig.until_probe("/readyz", 200).await;
    assert_eq!(tried, "ok\n");
    collector.come_back().await;
    waiting.await.unwrap().assert_passed(200);

    collector.be(Mood::Status(503, Some(1)));
    let asked = collector.asked(LOGS);
    let client = rig.client.clone();
    let began = Instant::now();
    let waiting = tokio::spawn(async move { client.send(devices()).await.unwrap() });
    eventually("the first attempt", || {
        (collector.asked(LOGS) > asked).then_some(())
    })
    .await;
    collector.be(Mood::Take);
    waiting.await.unwrap().assert_passed(200);
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "it did not wait as it was asked to"
    );
    let log = rig.gateway.stderr();
    assert!(!log.contains("audit output lost"), "{log}");
    stopped_and_verified(&mut rig, &collector).await;
}

#[tokio::test]
async fn a_collector_that_takes_not_all_or_not_in_time_has_not_accepted() {
    for mood in [
        Mood::Hang,
        Mood::Reject(1),
        Mood::Status(400, None),
        Mood::Status(503, Some(30)),
    ] {
        let collector = Collector::start().await;
        let mut rig = alone(&collector)
            .set("audit.timeout", "'300ms'")
            .start()
            .await;
        collector.be(mood);
        let refused = rig.call(devices()).await;
        refused.assert_refused(503, "audit-unavailable");
        assert_eq!(rig.vendor.count(Operation::UserDevices), 0, "{mood:?}");
        rig.gateway.logged("audit output lost", 1).await;
        if mood == Mood::Status(503, Some(30)) {
            let asked = collector.asked(LOGS);
            rig.call(devices())
                .await
                .assert_refused(503, "audit-unavailable");
            assert_eq!(collector.asked(LOGS), asked, "it was asked to wait");
            continue;
        }
        collector.be(Mood::Take);
        rig.until_probe("/readyz", 200).await;
        rig.call(devices()).await.assert_passed(200);
        stopped_and_verified(&mut rig, &collector).await;
    }
}

#[tokio::test]
async fn a_collector_beside_a_file_is_missed_by_nobody_and_told_what_it_missed() {
    let mut collector = Collector::start().await;
    let mut rig = beside_a_file(&collector)
        .set("audit.timeout", "'300ms'")
        .start()
        .await;
    rig.call(devices()).await.assert_passed(200);
    collector.go_away().await;
    rig.call(devices()).await.assert_passed(200);
    eventually("the loss", || {
        (rig.audit.events("output-lost") == 1).then_some(())
    })
    .await;
    for _ in 0..5 {
        rig.call(devices()).await.assert_passed(200);
    }
    rig.until_probe("/readyz", 200).await;
    let failed = rig
        .metric(r#"mfa_gateway_audit_records_total{output="otlp",result="failed"}"#)
        .await;
    assert!(failed.unwrap().parse::<u64>().unwrap() >= 10);

    collector.come_back().await;
    eventually("its return", || {
        (rig.audit.events("output-back") == 1).then_some(())
    })
    .await;
    rig.call(devices()).await.assert_passed(200);
    let report = stopped_and_verified(&mut rig, &collector).await;
    assert!(report.chains[0].missed >= 10, "{report:?}");
    let lines = collector.lines();
    let told: u64 = lines
        .iter()
        .filter(|line| is_header(line))
        .map(|line| missed(line))
        .sum();
    assert_eq!(told, report.chains[0].missed);
}

#[tokio::test]
async fn a_collector_that_hangs_beside_a_file_delays_nobody() {
    let collector = Collector::start().await;
    let mut rig = beside_a_file(&collector)
        .set("audit.timeout", "'3s'")
        .start()
        .await;
    collector.be(Mood::Hang);
    let began = Instant::now();
    for _ in 0..20 {
        rig.call(devices()).await.assert_passed(200);
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    eventually("the loss", || {
        (rig.audit.events("output-lost") == 1).then_some(())
    })
    .await;
    collector.be(Mood::Take);
    eventually("its return", || {
        (rig.audit.events("output-back") == 1).then_some(())
    })
    .await;
    stopped_and_verified(&mut rig, &collector).await;
}

#[tokio::test]
async fn a_start_without_the_collector_needs_another_output() {
    let mut collector = Collector::start().await;
    collector.go_away().await;
    let mut rig = beside_a_file(&collector).start().await;
    rig.call(devices()).await.assert_passed(200);
    eventually("the loss", || {
        (rig.audit.events("output-lost") == 1).then_some(())
    })
    .await;

    let file = rig.path("gateway.toml");
    let arguments = [
        "run",
        "-c",
        file.to_str().unwrap(),
        "--set",
        "audit.output=otlp",
    ];
    let mut other = Program::start(arguments, &[]);
    assert_eq!(other.end().await.code(), Some(1));
    let said = |text: &String| text.contains("that the collector answers");
    eventually("it says why", || Some(other.stderr()).filter(said)).await;

    collector.come_back().await;
    eventually("its return", || {
        (rig.audit.events("output-back") == 1).then_some(())
    })
    .await;
    rig.call(devices()).await.assert_passed(200);
    stopped_and_verified(&mut rig, &collector).await;
    let first = &collector.lines()[0];
    assert!(is_header(first) && missed(first) > 0, "{first}");
}

#[tokio::test]
async fn what_has_begun_is_answered_and_recorded_when_the_collector_is_back() {
    let mut collector = Collector::start().await;
    let mut rig = alone(&collector)
        .set("audit.timeout", "'300ms'")
        .start()
        .await;
    let slow = Fault::Slow(Duration::from_secs(1)).at(Operation::Recover);
    rig.vendor.misbehave(slow.once());
    let call = recover(BARBARA.email, BARBARA.recovery_code.unwrap());
    let client = rig.client.clone();
    let begun = tokio::spawn(async move { client.send(call).await.unwrap() });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) == 1)
        .await;
    collector.go_away().await;
    // the factor is gone, and the user must know
    let reply = begun.await.unwrap();
    reply.assert_passed(200);
    let completed = |line: &String| {
        line.contains(reply.request_id()) && line.contains(r#""stage":"completed""#)
    };
    assert!(!collector.lines().iter().any(completed));
    rig.call(devices())
        .await
        .assert_refused(503, "audit-unavailable");
    collector.come_back().await;
    rig.until_probe("/readyz", 200).await;
    let there = || collector.lines().iter().any(completed).then_some(());
    eventually("the record of its end", there).await;
    stopped_and_verified(&mut rig, &collector).await;
}

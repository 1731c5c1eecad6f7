//! One order, one chain, whatever happens in between.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::audit::{Control, Worker};

#[tokio::test]
async fn two_records_a_request_between_start_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Admitted).await;
    put(&audit, Stage::Completed).await;
    log.close().await.unwrap();
    assert_eq!(
        story(&path),
        ["header", "start", "admitted", "completed", "stop"]
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(verified(&[&path]).records, 4);
}

#[tokio::test]
async fn a_record_is_in_the_file_when_it_is_accepted_and_not_lost_when_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    drop(audit.record(&event(Stage::Admitted)));
    put(&audit, Stage::Completed).await;
    assert_eq!(story(&path), ["header", "start", "admitted", "completed"]);
}

#[test]
fn many_runtimes_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (prompt, slow) = (folder.path().join("audit.log"), folder.path().join("slow"));
    make_fifo(&slow);
    let reader = fifo_reader(&slow);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let log = runtime.block_on(open(&config(&[&prompt, &slow])));
    let reader = std::thread::spawn(move || read_all(reader));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let audit = log.worker();
                    for _ in 0..50 {
                        let first = audit.record(&event(Stage::Admitted));
                        let second = audit.record(&event(Stage::Completed));
                        second.await.unwrap();
                        first.await.unwrap();
                    }
                });
            });
        }
    });
    runtime.block_on(log.close()).unwrap();
    let read = reader.join().unwrap();
    let piped = verified_bytes(&read);
    assert_eq!(piped, verified(&[&prompt]));
    assert_eq!((piped.records, piped.missed), (402, 0));
}

#[tokio::test]
async fn control_records_stand_in_the_same_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    log.control(&Control::Reload {
        changed: &["limits.email", "routes.deny"],
    })
    .await
    .unwrap();
    log.worker()
        .control(&Control::CredentialFailed { error: "timed out" })
        .await
        .unwrap();
    log.control(&Control::Drain).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(
        story(&path),
        [
            "header",
            "start",
            "reload",
            "credential-failed",
            "drain",
            "stop"
        ]
    );
    assert_eq!(records(&path)[2]["unmapped"]["keys"][1], "routes.deny");
    assert_eq!(verified(&[&path]).records, 5);
}

#[tokio::test]
async fn without_a_chain_records_are_numbered_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let plain = Config {
        chain: false,
        ..config(&[&path])
    };
    for _ in 0..2 {
        let log = open(&plain).await;
        put(&log.worker(), Stage::Completed).await;
        log.close().await.unwrap();
    }
    let records = records(&path);
    let numbers: Vec<_> = records
        .iter()
        .map(|record| record["metadata"]["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    assert!(
        records
            .iter()
            .all(|record| record["unmapped"].get("hash").is_none())
    );
}

#[tokio::test]
async fn a_checkpoint_comes_every_ten_thousand_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    let body = br#""a":1},"unmapped":{"stage":"x""#;
    let Worker { queue, shared } = &*audit.worker;
    let push = |_| queue.push(shared, |out| out.extend_from_slice(body));
    for _ in 0..25 {
        let batches: Vec<_> = (0..1000).map(push).collect();
        batches[999].settled().await;
    }
    log.close().await.unwrap();
    let story = story(&path).into_iter().enumerate();
    let places: Vec<_> = story
        .filter(|(_, word)| word == "checkpoint")
        .map(|(place, _)| place)
        .collect();
    assert_eq!(places, [10_002, 20_003]);
    assert_eq!(verified(&[&path]).records, 25_004);
}

#[tokio::test]
async fn a_flood_of_refusals_shares_a_record_and_everything_else_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&Config {
        collapse: std::num::NonZeroU32::new(5),
        ..config(&[&path])
    })
    .await;
    let audit = log.worker();
    for _ in 0..200 {
        audit.record(&event(Stage::Refused)).await.unwrap();
    }
    for _ in 0..20 {
        put(&audit, Stage::Admitted).await;
        put(&audit, Stage::Completed).await;
    }
    let shared = || {
        records(&path)
            .into_iter()
            .any(|record| record["count"].is_u64())
    };
    eventually(
        "the shared record is written when the second is over",
        shared,
    )
    .await;
    log.close().await.unwrap();
    let (mut own, mut refusals) = (0, 0);
    for record in records(&path) {
        if record["unmapped"]["stage"] == "refused" {
            own += 1;
            refusals += record["count"].as_u64().unwrap_or(1);
        }
    }
    assert_eq!(refusals, 200);
    assert!(own < 30, "{own} records");
    let story = story(&path);
    let count = |stage: &str| story.iter().filter(|word| *word == stage).count();
    assert_eq!((count("admitted"), count("completed")), (20, 20));
    verified(&[&path]);
}

#[tokio::test]
async fn what_refusals_share_is_written_when_the_log_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&Config {
        collapse: std::num::NonZeroU32::new(1),
        ..config(&[&path])
    })
    .await;
    let audit = log.worker();
    for _ in 0..10 {
        audit.record(&event(Stage::Refused)).await.unwrap();
    }
    log.close().await.unwrap();
    let records = records(&path);
    let refused = records
        .iter()
        .filter(|record| record["unmapped"]["stage"] == "refused");
    let counts: Vec<_> = refused
        .map(|record| record["count"].as_u64().unwrap_or(1))
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 10);
    assert_eq!(story(&path).last().unwrap(), "stop");
}

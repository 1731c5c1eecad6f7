//! One order, one chain, whatever happens in between.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::audit::{Control, Worker, turn_is_over};

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

#[tokio::test]
async fn records_of_a_runtime_that_ends_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let shared = &log;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async { drop(shared.worker().record(&event(Stage::Completed))) });
        });
    });
    log.close().await.unwrap();
    assert_eq!(story(&path), ["header", "start", "completed", "stop"]);
}

#[tokio::test]
async fn what_one_turn_collects_is_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    let batches = [(); 50].map(|()| {
        let Worker { queue, shared } = &*audit.worker;
        queue.push(shared, |out| {
            out.extend_from_slice(br#""a":1},"unmapped":{"b":2"#);
        })
    });
    batches[49].settled().await;
    assert!(batches.iter().all(|batch| Arc::ptr_eq(batch, &batches[0])));
    assert_eq!(batches[0].last(), 51);
}

#[tokio::test]
async fn a_record_alone_in_its_turn_as_those_before_is_put_in_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    let told = || story(&path).split_off(2);
    let record = |stage| drop(audit.record(&event(stage)));

    record(Stage::Admitted);
    assert_eq!(told(), [""; 0], "nothing is known of the turns yet");
    put(&audit, Stage::Completed).await;
    assert_eq!(told(), ["admitted", "completed"]);

    turn_is_over();
    record(Stage::Refused);
    assert_eq!(told().len(), 2, "the last turn had two");
    tokio::task::yield_now().await;

    turn_is_over();
    record(Stage::Admitted);
    assert_eq!(told()[2..], ["refused", "admitted"]);
    record(Stage::Completed);
    assert_eq!(told().len(), 4, "it is this turn's second");
    turn_is_over();
    record(Stage::Refused);
    assert_eq!(told().len(), 4, "one before it is not in yet");
    tokio::task::yield_now().await;
    assert_eq!(told()[4..], ["completed", "refused"]);

    turn_is_over();
    record(Stage::Admitted);
    assert_eq!(told().len(), 6, "the last turn had two again");
    log.close().await.unwrap();
    verified(&[&path]);
}

#[tokio::test]
async fn of_a_turn_of_two_the_second_does_not_count_as_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Refused).await;
    turn_is_over();
    put(&audit, Stage::Admitted).await; // at once
    put(&audit, Stage::Completed).await; // by the flusher
    turn_is_over();
    drop(audit.record(&event(Stage::Refused)));
    assert_eq!(
        story(&path),
        ["header", "start", "refused", "admitted", "completed"]
    );
}

#[tokio::test]
async fn records_put_in_at_once_have_each_their_own_fate() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let log = open(&config(&[&inside.join("audit.log")])).await;
    let audit = log.worker();
    put(&audit, Stage::Refused).await;
    turn_is_over();
    put(&audit, Stage::Admitted).await;
    turn_is_over();
    let good = audit.record(&event(Stage::Completed));
    turn_is_over();
    fs::remove_dir_all(&inside).unwrap();
    let bad = audit.record(&event(Stage::Refused));
    bad.await.unwrap_err();
    good.await.unwrap();
}

#[tokio::test]
async fn a_record_put_in_at_once_is_waited_for_where_the_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Refused).await;
    turn_is_over();
    fs::remove_file(&path).unwrap();
    // the output's thread makes a new file
    put(&audit, Stage::Completed).await;
    assert_eq!(story(&path), ["header", "completed"]);
}

#[tokio::test]
async fn a_record_after_its_runtime_has_ended_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let shared = &log;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let audit = runtime.block_on(async { shared.worker() });
            drop(runtime);
            drop(audit.record(&event(Stage::Admitted)));
            drop(audit.record(&event(Stage::Completed)));
        });
    });
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
async fn records_share_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&Config {
        durability: Durability::Synced,
        ..config(&[&path])
    })
    .await;
    let audit = log.worker();
    let all: Vec<_> = (0..200)
        .map(|_| audit.record(&event(Stage::Refused)))
        .collect();
    for one in all {
        one.await.unwrap();
    }
    let appends = log.counters().appends().next().unwrap().1;
    assert_eq!(appends, 2, "one for the start, one for them all");
    log.close().await.unwrap();
    assert_eq!(verified(&[&path]).records, 202);
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
async fn a_record_that_panics_halfway_leaves_nothing_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&config(&[&folder.path().join("audit.log")])).await;
    let audit = log.worker();
    let Worker { queue, shared } = &*audit.worker;
    let panicking = std::panic::AssertUnwindSafe(|| {
        queue.push(shared, |out| {
            out.extend_from_slice(b"half a rec");
            panic!("on purpose");
        })
    });
    std::panic::catch_unwind(panicking).unwrap_err();
    let mut whole = Vec::new();
    queue.push(shared, |out| {
        out.extend_from_slice(b"whole");
        whole.clone_from(out);
    });
    assert_eq!(whole, b"whole");
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

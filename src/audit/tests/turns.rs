//! What one turn of an event loop brings goes in together, and what comes alone at once.

use super::*;
use crate::audit::{Worker, turn_is_over};

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
async fn records_before_and_after_the_end_of_their_runtime_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let shared = &log;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let audit = runtime.block_on(async {
                let audit = shared.worker();
                drop(audit.record(&event(Stage::Admitted)));
                audit
            });
            drop(runtime);
            drop(audit.record(&event(Stage::Completed)));
            drop(audit.record(&event(Stage::Refused)));
        });
    });
    assert_eq!(
        story(&path),
        ["header", "start", "admitted", "completed", "refused"]
    );
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
    let appends = log.shared.counters.appends().next().unwrap().1;
    assert_eq!(appends, 2, "one for the start, one for them all");
    log.close().await.unwrap();
    assert_eq!(verified(&[&path]).records, 202);
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

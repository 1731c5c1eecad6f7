//! Outputs that break, stall and come back: nothing acknowledged is lost.

use std::{io::Write, process::Command};

use tokio::sync::mpsc;

use super::{
    super::{
        OpenError, chain::Link, journal::Shared, output, slot::Slot, stream::Stream,
        target::Target, turn_is_over,
    },
    *,
};

fn impatient(outputs: &[&Path]) -> Config {
    Config {
        timeout: Duration::from_millis(200),
        ..config(outputs)
    }
}

fn count(log: &AuditLog, output: &Path, result: &str) -> u64 {
    let mut counts = log.shared.counters.read();
    counts
        .find(|count| Path::new(count.output) == output && count.result == result)
        .unwrap()
        .records
}

#[tokio::test]
async fn a_reader_that_stalls_is_not_waited_for_and_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    make_fifo(&path);
    let reader = fifo_reader(&path);
    let log = open(&impatient(&[&path])).await;
    let audit = log.worker();
    // a pipe holds some 60 records
    let mut accepted = 0;
    while audit.record(&event(Stage::Refused)).await.is_ok() {
        accepted += 1;
        assert!(accepted < 1000, "the pipe never fills");
    }
    assert!(!log.shared.usable());
    let at_once = audit.record(&event(Stage::Admitted));
    assert!(
        tokio::time::timeout(Duration::ZERO, at_once)
            .await
            .unwrap()
            .is_err()
    );
    audit.record(&event(Stage::Completed)).await.unwrap_err();

    let reading = std::thread::spawn(move || read_all(reader));
    eventually("the output is back", || log.shared.usable()).await;
    put(&audit, Stage::Admitted).await;
    log.close().await.unwrap();
    let read = reading.join().unwrap();
    let summary = verified_bytes(&read);
    assert_eq!(summary.missed, 0);
    let text = String::from_utf8(read).unwrap();
    let place = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word}"));
    assert!(place(r#""event":"output-lost""#) < place(r#""stage":"completed""#));
    assert!(place(r#""stage":"completed""#) < place(r#""event":"output-back""#));
    assert!(place(r#""event":"output-back""#) < place(r#""stage":"admitted""#));
}

#[tokio::test]
async fn a_record_put_in_at_once_is_given_up_in_time_where_its_output_stalls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&impatient(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Refused).await;
    // in the file's place comes a pipe that is full
    fs::remove_file(&path).unwrap();
    make_fifo(&path);
    let reader = fifo_reader(&path);
    let mut filler = fs::OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .unwrap();
    assert!(filler.write(&[0; 1024 * 1024]).unwrap() < 1024 * 1024);
    turn_is_over();
    let record = audit.record(&event(Stage::Completed));
    let accepted = tokio::time::timeout(PATIENCE, record).await.unwrap();
    accepted.unwrap_err();
    assert!(!log.shared.usable());
    drop((reader, filler));
}

#[tokio::test]
async fn an_output_that_takes_nothing_stops_the_start() {
    let Err(error) = AuditLog::open(&config(&[Path::new("/dev/full")])).await else {
        panic!("opened");
    };
    assert!(matches!(error, OpenError::Refused(_)), "{error}");
    let missing = Path::new("/nonexistent/audit.log");
    let Err(error) = AuditLog::open(&config(&[missing])).await else {
        panic!("opened");
    };
    assert!(
        error
            .to_string()
            .contains("/nonexistent/audit.log can't be opened"),
        "{error}"
    );
}

#[tokio::test]
async fn one_working_output_is_enough_and_hears_of_the_other_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, full) = (folder.path().join("audit.log"), Path::new("/dev/full"));
    let log = open(&config(&[full, &path])).await;
    let audit = log.worker();
    eventually("the full device is given up", || {
        count(&log, full, "written") == 0 && story(&path).contains(&"output-lost".to_owned())
    })
    .await;
    for _ in 0..5 {
        put(&audit, Stage::Completed).await;
    }
    assert!(log.shared.usable());
    assert!(count(&log, full, "failed") >= 5);
    assert_eq!(count(&log, &path, "failed"), 0);
    log.close().await.unwrap();
    let lost: Vec<_> = story(&path)
        .into_iter()
        .filter(|word| word == "output-lost")
        .collect();
    assert_eq!(lost.len(), 1);
    let record = records(&path)
        .into_iter()
        .find(|record| record["unmapped"]["event"] == "output-lost")
        .unwrap();
    assert_eq!(record["unmapped"]["output"], "/dev/full");
    verified(&[&path]);
}

#[tokio::test]
async fn a_deleted_file_is_made_again_and_the_record_is_in_it() {
    for durability in [Durability::Written, Durability::Synced] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = open(&Config {
            durability,
            ..config(&[&path])
        })
        .await;
        let audit = log.worker();
        put(&audit, Stage::Admitted).await;
        fs::remove_file(&path).unwrap();
        put(&audit, Stage::Completed).await;
        assert_eq!(story(&path), ["header", "completed"]);
        log.close().await.unwrap();
        assert_eq!(verified(&[&path]).records, 2);
    }
}

#[tokio::test]
async fn what_happened_while_the_folder_was_gone_is_written_first() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("audit.log");
    let log = open(&impatient(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Admitted).await;
    fs::remove_dir_all(&inner).unwrap();
    audit.record(&event(Stage::Completed)).await.unwrap_err();
    eventually("it is noticed", || !audit.usable()).await;
    audit.record(&event(Stage::Admitted)).await.unwrap_err();
    audit.record(&event(Stage::Refused)).await.unwrap_err();
    fs::create_dir(&inner).unwrap();
    eventually("it is back", || audit.usable()).await;
    put(&audit, Stage::Admitted).await;
    log.close().await.unwrap();
    let expected = [
        "header",
        "completed",
        "output-lost",
        "refused",
        "output-back",
        "admitted",
        "stop",
    ];
    assert_eq!(story(&path), expected);
    assert_eq!(verified(&[&path]).missed, 0);
}

#[tokio::test]
async fn continuing_without_a_record_is_possible() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    make_fifo(&path);
    let careless = Config {
        on_failure: OnFailure::Continue,
        ..impatient(&[&path])
    };
    let log = open(&careless).await;
    let audit = log.worker();
    assert!(!log.shared.usable());
    put(&audit, Stage::Admitted).await;
    let reader = fifo_reader(&path);
    eventually("it is back", || log.shared.usable()).await;
    let reading = std::thread::spawn(move || read_all(reader));
    log.close().await.unwrap();
    let read = String::from_utf8(reading.join().unwrap()).unwrap();
    assert!(read.contains(r#""event":"start""#) && read.contains(r#""stage":"admitted""#));
}

#[tokio::test]
async fn records_that_find_no_output_to_the_end_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inner/audit.log");
    fs::create_dir(folder.path().join("inner")).unwrap();
    let log = open(&impatient(&[&path])).await;
    let audit = log.worker();
    fs::remove_dir_all(folder.path().join("inner")).unwrap();
    audit.record(&event(Stage::Completed)).await.unwrap_err();
    let unwritten = log.close().await.unwrap_err();
    assert!(unwritten.records >= 2, "{unwritten}");
}

#[tokio::test]
async fn a_closed_standard_output_as_the_only_one_cannot_come_back() {
    let (reader, writer) = std::io::pipe().unwrap();
    let standard = Config {
        outputs: vec![Output::Stdout],
        ..impatient(&[])
    };
    let stream = Stream::standard(std::os::fd::OwnedFd::from(writer).into()).unwrap();
    let slot = Slot::new(Some(Target::Stream(stream)), Link::START);
    let shared = Shared::new(
        &standard,
        Arc::new(keys()),
        ("chain".to_owned(), Link::START),
        vec![slot],
    );
    let (shared, (guard, running)) = (Arc::new(shared), mpsc::channel(1));
    output::start(Arc::clone(&shared), 0, Output::Stdout, guard).unwrap();
    let log = AuditLog { shared, running };
    let audit = log.worker();
    put(&audit, Stage::Admitted).await;
    let unrecoverable = log.unrecoverable();
    drop(reader);
    audit.record(&event(Stage::Completed)).await.unwrap_err();
    tokio::time::timeout(PATIENCE, unrecoverable).await.unwrap();
    assert!(!log.shared.usable());
    log.close().await.unwrap_err();
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "says which test it leaves out")]
async fn a_disk_that_fills_ends_in_a_whole_line_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "none"])
        .arg(folder.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("left out: a small disk can't be mounted here");
        return;
    }
    let _unmount = Unmount(folder.path().to_owned());
    let (path, filler) = (
        folder.path().join("audit.log"),
        folder.path().join("filler"),
    );
    fs::write(&filler, vec![0; 40_000]).unwrap();
    for durability in [Durability::Written, Durability::Synced] {
        let log = open(&Config {
            durability,
            ..impatient(&[&path])
        })
        .await;
        let audit = log.worker();
        let mut accepted = 0;
        while audit.record(&event(Stage::Completed)).await.is_ok() {
            accepted += 1;
            assert!(accepted < 1000, "the disk never fills");
        }
        assert!(fs::read(&path).unwrap().ends_with(b"}}\n"));
        eventually("it is noticed", || !audit.usable()).await;
        audit.record(&event(Stage::Completed)).await.unwrap_err();
        fs::remove_file(&filler).unwrap();
        eventually("it is back", || audit.usable()).await;
        put(&audit, Stage::Admitted).await;
        log.close().await.unwrap();
        let completed = story(&path)
            .iter()
            .filter(|word| *word == "completed")
            .count();
        assert_eq!(completed, accepted + 2);
        assert_eq!(verified(&[&path]).missed, 0);
        fs::remove_file(&path).unwrap();
        fs::write(&filler, vec![0; 40_000]).unwrap();
    }
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "{} stays mounted",
            self.0.display()
        );
    }
}

//! Another configuration while the log is open: what was accepted stays so, and what comes goes
//! by the new one.

use std::num::NonZeroU32;

use super::{
    super::{
        Control,
        target::{Rules, Target},
    },
    *,
};

/// How often what refusals of `path` have in common was written, and how many refusals that were.
fn refusals(path: &Path) -> (usize, u64) {
    let mut refused = records(path);
    refused.retain(|record| record["unmapped"]["stage"] == "refused");
    let counts = refused
        .iter()
        .map(|record| record["count"].as_u64().unwrap_or(1));
    (refused.len(), counts.sum())
}

#[tokio::test]
async fn what_no_output_takes_goes_on_where_that_is_allowed_by_now() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("log");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("audit.log");
    let deny = config(&[&path]);
    let forgiving = Config {
        on_failure: OnFailure::Continue,
        ..deny.clone()
    };
    let log = open(&deny).await;
    let audit = log.worker();
    fs::remove_dir_all(&inner).unwrap();
    audit.record(&event(Stage::Admitted)).await.unwrap_err();
    log.reload(&forgiving);
    put(&audit, Stage::Admitted).await;
    log.control(&Control::Drain).await.unwrap();
    log.reload(&deny);
    audit.record(&event(Stage::Admitted)).await.unwrap_err();
    log.control(&Control::Drain).await.unwrap_err();
}

#[tokio::test]
async fn an_output_that_stalls_is_given_up_when_the_new_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    make_fifo(&path);
    let _reader = fifo_reader(&path);
    let patient = Config {
        timeout: PATIENCE * 10,
        ..config(&[&path])
    };
    let log = open(&patient).await;
    let audit = log.worker();
    log.reload(&Config {
        timeout: Duration::from_millis(200),
        ..patient
    });
    let until_full = async { while audit.record(&event(Stage::Completed)).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, until_full).await.unwrap();
    assert!(!log.shared.usable());
}

#[tokio::test]
async fn emails_appear_in_the_new_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    for (email, shown) in [
        (EmailForm::Plain, "ada@example.com"),
        (EmailForm::Mask, "a…@e….com"),
        (
            EmailForm::Hash,
            &keys().email("ada@example.com", EmailForm::Hash),
        ),
    ] {
        log.reload(&Config {
            email,
            ..config(&[&path])
        });
        assert_eq!(&*audit.email("ada@example.com"), shown);
    }
}

#[tokio::test]
async fn refusals_that_share_a_record_are_in_it_though_the_next_have_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let each = config(&[&path]);
    let sharing = Config {
        collapse: NonZeroU32::new(1),
        ..each.clone()
    };
    let log = open(&each).await;
    let audit = log.worker();
    let refuse = async |times| {
        for _ in 0..times {
            put(&audit, Stage::Refused).await;
        }
    };
    refuse(10).await;
    assert_eq!(refusals(&path), (10, 10));
    log.reload(&sharing);
    refuse(10).await;
    log.reload(&each);
    refuse(10).await;
    eventually("what was shared is written", || refusals(&path).1 == 30).await;
    assert!(refusals(&path).0 < 30);
    log.close().await.unwrap();
    verified(&[&path]);
}

#[tokio::test]
async fn an_open_file_is_rotated_by_the_new_size_and_age_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    let put_some = async || {
        for _ in 0..10 {
            put(&audit, Stage::Completed).await;
        }
    };
    put_some().await;
    assert!(rotated(&path).is_empty());

    log.reload(&Config {
        rotate_size: Some(4 * 1024),
        ..config(&[&path])
    });
    put_some().await;
    let by_size = rotated(&path).len();
    assert!(by_size > 2, "{by_size} files");

    let aged = Config {
        rotate_age: Some(Duration::from_millis(100)),
        rotate_compress: true,
        ..config(&[&path])
    };
    log.reload(&aged);
    let packed = || {
        let files = rotated(&path);
        let gzip = |file: &PathBuf| file.extension().is_some_and(|end| end == "gz");
        files.len() > by_size && files.iter().all(gzip)
    };
    eventually("it is put aside, and all are compressed", packed).await;

    log.reload(&Config {
        rotate_keep: 2,
        ..aged
    });
    put_some().await;
    eventually("only two stay", || rotated(&path).len() == 2).await;
    log.close().await.unwrap();
}

#[test]
fn an_open_file_is_as_durable_as_it_is_to_be_by_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let written = config(&[&path]);
    let synced = Config {
        durability: Durability::Synced,
        ..written.clone()
    };
    let (written, synced) = (Rules::of(&written), Rules::of(&synced));
    let opened = Target::open(&Output::File(path.clone()), written).unwrap();
    let mut target = opened.target;
    assert!(target.is_prompt());
    target.follow(synced);
    assert!(!target.is_prompt());
    target.append(b"one\n").unwrap();
    target.follow(written);
    assert!(target.is_prompt());
    target.append(b"two\n").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
}

#[test]
fn a_reload_under_load_loses_nothing_and_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let written = Config {
        rotate_size: Some(256 * 1024),
        ..config(&[&path])
    };
    let synced = Config {
        durability: Durability::Synced,
        rotate_size: Some(64 * 1024),
        ..written.clone()
    };
    let main = runtime();
    let log = main.block_on(open(&written));
    std::thread::scope(|scope| {
        let work = || {
            runtime().block_on(async {
                let audit = log.worker();
                for _ in 0..200 {
                    put(&audit, Stage::Admitted).await;
                    put(&audit, Stage::Completed).await;
                }
            });
        };
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            for config in [&synced, &written] {
                log.reload(config);
                std::thread::yield_now();
            }
        }
    });
    main.block_on(log.close()).unwrap();
    let mut files = rotated(&path);
    files.push(path);
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let summary = verified(&files);
    assert_eq!((summary.records, summary.missed), (1202, 0));
}

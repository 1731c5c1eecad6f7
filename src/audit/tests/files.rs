//! Files over their life: continued, rotated, moved away, shared by nobody.

use std::{io::Write, os::unix::fs::PermissionsExt};

use super::{
    super::{
        chain::Sealer,
        target::{Rules, Target},
    },
    *,
};

#[tokio::test]
async fn the_next_start_continues_the_chain_and_sets_a_torn_line_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    put(&log.worker(), Stage::Completed).await;
    log.close().await.unwrap();
    let torn = br#"{"metadata":{"sequence":4,"version":"1.8"#;
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(torn)
        .unwrap();

    let log = open(&config(&[&path])).await;
    put(&log.worker(), Stage::Refused).await;
    log.close().await.unwrap();

    let story = story(&path);
    assert_eq!(
        story,
        [
            "header",
            "start",
            "completed",
            "stop",
            "start",
            "refused",
            "stop"
        ]
    );
    assert_eq!(verified(&[&path]).records, 6);
    let again = &records(&path)[4]["unmapped"];
    assert_eq!(again["continued"], true);
    assert_eq!(again["chain"], records(&path)[0]["unmapped"]["chain"]);
    assert_eq!(fs::read(again["torn"].as_str().unwrap()).unwrap(), torn);
}

#[tokio::test]
async fn a_process_that_is_already_writing_the_file_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    let Err(error) = AuditLog::open(&config(&[&path])).await else {
        panic!("opened twice");
    };
    assert!(
        error
            .to_string()
            .contains("another process writes this audit log"),
        "{error}"
    );
    log.close().await.unwrap();
    open(&config(&[&path])).await.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_would_grow_past_its_size_is_rotated_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let small = Config {
        rotate_size: Some(8 * 1024),
        ..config(&[&path])
    };
    let log = open(&small).await;
    let audit = log.worker();
    for _ in 0..40 {
        put(&audit, Stage::Completed).await;
    }
    log.close().await.unwrap();
    let mut files = rotated(&path);
    assert!(files.len() > 2, "{files:?}");
    files.push(path);
    for file in &files {
        assert_eq!(story(file)[0], "header");
        assert!(fs::metadata(file).unwrap().len() <= 8 * 1024);
    }
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let summary = verified(&files);
    assert_eq!((summary.records, summary.missed), (42, 0));

    // the newest was just renamed when the process died: the chain goes on from it
    fs::rename(
        files[files.len() - 1],
        folder.path().join("audit.log.20990101T000000Z-42"),
    )
    .unwrap();
    open(&config(&[files[files.len() - 1]]))
        .await
        .close()
        .await
        .unwrap();
    let again = records(files[files.len() - 1]);
    assert_eq!(
        again[0]["unmapped"]["prev"].as_str().unwrap(),
        summary.last.hash()
    );
    assert_eq!(again[1]["metadata"]["sequence"], 43);
}

#[tokio::test]
async fn only_so_many_rotated_files_stay_as_keep_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    fs::write(folder.path().join("audit.log.old"), "not ours").unwrap();
    let small = Config {
        rotate_size: Some(4 * 1024),
        rotate_keep: 2,
        ..config(&[&path])
    };
    let log = open(&small).await;
    let audit = log.worker();
    for _ in 0..40 {
        put(&audit, Stage::Completed).await;
    }
    log.close().await.unwrap();
    fs::remove_file(folder.path().join("audit.log.old")).unwrap();
    assert_eq!(rotated(&path).len(), 2);
}

#[tokio::test]
async fn reopening_follows_a_file_that_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("audit.log"), folder.path().join("moved"));
    let log = open(&config(&[&path])).await;
    let audit = log.worker();
    put(&audit, Stage::Admitted).await;
    fs::rename(&path, &moved).unwrap();
    put(&audit, Stage::Completed).await;
    log.reopen();
    put(&audit, Stage::Refused).await;
    eventually("a new file", || path.exists()).await;
    log.close().await.unwrap();
    assert_eq!(story(&moved), ["header", "start", "admitted", "completed"]);
    assert_eq!(story(&path), ["header", "refused", "stop"]);
    assert_eq!(verified(&[&moved, &path]).records, 5);
}

#[tokio::test]
async fn a_file_that_missed_records_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let log = open(&config(&[&one, &two])).await;
    put(&log.worker(), Stage::Completed).await;
    log.close().await.unwrap();
    let log = open(&config(&[&one])).await;
    put(&log.worker(), Stage::Completed).await;
    log.close().await.unwrap();
    let log = open(&config(&[&two, &one])).await;
    put(&log.worker(), Stage::Completed).await;
    log.close().await.unwrap();
    let (one, two) = (verified(&[&one]), verified(&[&two]));
    assert_eq!((one.records, one.missed), (9, 0));
    assert_eq!((two.records, two.missed), (6, 3));
    assert_eq!(one.last, two.last);
}

#[tokio::test]
async fn a_process_killed_at_any_byte_leaves_a_chain_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    put(&log.worker(), Stage::Completed).await;
    log.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(41) {
        let path = folder.path().join(format!("cut-{cut}"));
        fs::write(&path, &whole[..cut]).unwrap();
        let log = open(&config(&[&path])).await;
        log.close().await.unwrap();
        let lines = whole[..cut].split(|byte| *byte == b'\n').count();
        // the header is no record; the last piece is no line; start and stop were added
        let expected = u64::try_from(lines.saturating_sub(2)).unwrap() + 2;
        assert_eq!(verified(&[&path]).records, expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_new_key_goes_on_with_the_chain_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    log.close().await.unwrap();
    let renewed = Config {
        key: SecretSource::Inline("the new audit key".into()),
        previous_keys: vec![config(&[]).key],
        ..config(&[&path])
    };
    open(&renewed).await.close().await.unwrap();
    let records = records(&path);
    assert_ne!(
        records[1]["unmapped"]["key_id"],
        records[3]["unmapped"]["key_id"]
    );
    assert_eq!(report(&[&path]).bad.unwrap().line, 4);
    let both = Keyring::new(["the audit key".into(), "the new audit key".into()]);
    let found = verify(&[Input::File(path)], &both, None, &Progress::default()).unwrap();
    assert_eq!((found.bad.as_ref(), found.records()), (None, 4));
}

#[tokio::test]
async fn an_old_file_is_rotated_though_nothing_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let brief = Config {
        rotate_age: Some(Duration::from_millis(100)),
        ..config(&[&path])
    };
    let log = open(&brief).await;
    eventually("the file is rotated", || rotated(&path).len() == 1).await;
    eventually("the next has begun", || {
        path.exists() && story(&path) == ["header"]
    })
    .await;
    log.close().await.unwrap();
    let mut files = rotated(&path);
    files.push(path);
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(verified(&files).records, 2);
}

#[tokio::test]
async fn a_file_is_as_old_as_its_first_record_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    open(&config(&[&path])).await.close().await.unwrap();
    let aged = Config {
        rotate_age: Some(Duration::from_nanos(1)),
        ..config(&[&path])
    };
    open(&aged).await.close().await.unwrap();
    assert_eq!(story(&rotated(&path)[0]), ["header", "start", "stop"]);
}

#[test]
fn an_old_file_without_a_record_is_not_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let aged = Rules::of(&Config {
        rotate_age: Some(Duration::from_nanos(1)),
        ..config(&[&path])
    });
    let mut target = Target::open(&Output::File(path.clone()), aged)
        .unwrap()
        .target;
    let (sealer, body) = (Sealer::new(None), br#""a":1},"unmapped":{"event":"header""#);
    let mut lines = Vec::new();
    sealer.header(&Link::START, body, &mut lines);
    target.append(&lines).unwrap();
    assert!(target.is_full(0) && !target.rotate(0));
    lines.clear();
    sealer.record(&Link::START, br#""a":1},"unmapped":{"b":2"#, &mut lines);
    target.append(&lines).unwrap();
    assert!(target.is_full(0) && target.rotate(1));
    assert!(target.wants_header() && rotated(&path).len() == 1);
}

#[test]
fn a_file_that_another_process_made_meanwhile_is_not_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let rules = Rules::of(&config(&[&path]));
    let opened = Target::open(&Output::File(path.clone()), rules).unwrap();
    let mut target = opened.target;
    target.append(b"ours\n").unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    fs::write(&path, "theirs\n").unwrap();
    assert!(!target.rotate(1));
    target.append(b"more\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
    let moved = fs::read_to_string(folder.path().join("moved")).unwrap();
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!((moved.as_str(), files), ("ours\nmore\n", 2));
}

#[tokio::test]
async fn where_another_chain_goes_on_a_header_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.log", "two.log"].map(|name| folder.path().join(name));
    // the longest goes on
    for (path, records) in [(&one, 2), (&two, 1)] {
        let log = open(&config(&[path])).await;
        for _ in 0..records {
            put(&log.worker(), Stage::Completed).await;
        }
        log.close().await.unwrap();
    }
    let log = open(&config(&[&one, &two])).await;
    put(&log.worker(), Stage::Refused).await;
    log.close().await.unwrap();
    let more = ["start", "refused", "stop"];
    assert_eq!(story(&one)[5..], more);
    assert_eq!(story(&two)[4..], [&["header"][..], &more].concat());
    for path in [&one, &two] {
        assert_eq!(report(&[path]).bad, None);
    }
}

#[tokio::test]
async fn a_file_that_could_not_be_opened_at_the_start_is_gone_on_with_after_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let config = Config {
        on_failure: OnFailure::Continue,
        ..config(&[&path])
    };
    let before = open(&config).await;
    put(&before.worker(), Stage::Completed).await;
    let log = open(&config).await;
    before.close().await.unwrap();
    eventually("it has the file", || story(&path).len() > 4).await;
    log.close().await.unwrap();
    let expected = [
        "header",
        "start",
        "completed",
        "stop",
        "header",
        "start",
        "stop",
    ];
    let mut story = story(&path);
    story.retain(|event| !event.starts_with("output"));
    assert_eq!(story, expected);
    assert_eq!(report(&[&path]).bad, None);
}

#[tokio::test]
async fn rotated_files_are_compressed_and_no_record_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let small = Config {
        rotate_size: Some(8 * 1024),
        rotate_compress: true,
        ..config(&[&path])
    };
    let log = open(&small).await;
    let audit = log.worker();
    for _ in 0..40 {
        put(&audit, Stage::Completed).await;
    }
    let packed = || {
        rotated(&path)
            .iter()
            .all(|file| file.extension().is_some_and(|end| end == "gz"))
    };
    eventually("all are compressed", packed).await;
    log.close().await.unwrap();
    let mut files = rotated(&path);
    assert!(files.len() > 2, "{files:?}");
    for file in &files {
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    files.push(path.clone());
    let all: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(verified(&all).records, 42);

    // the newest was just put aside and compressed when the process died
    let last = folder.path().join("audit.log.20990101T000000Z-42.gz");
    let mut encoder = flate2::write::GzEncoder::new(
        fs::File::create(&last).unwrap(),
        flate2::Compression::fast(),
    );
    encoder.write_all(&fs::read(&path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(&path).unwrap();
    open(&small).await.close().await.unwrap();
    assert_eq!(records(&path)[1]["metadata"]["sequence"], 43);
    let mut files = rotated(&path);
    files.push(path);
    let all: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    assert_eq!(verified(&all).records, 44);
}

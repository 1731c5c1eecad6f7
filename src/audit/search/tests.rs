//! Records as the gateway writes them, found again.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::{
    audit::{
        AuditLog, Keyring,
        tests::{config, event, open, put, rotated, user_event},
    },
    config::{Audit as Config, Pattern, SecretSource},
    event::{Event, Stage},
    model::RequestId,
    route::Operation,
};

/// What is found, as words: operation or event, outcome, how many records.
fn found(files: &[&Path], query: &Query) -> Vec<(String, String, usize)> {
    let inputs: Vec<_> = files
        .iter()
        .map(|path| Input::File(path.to_path_buf()))
        .collect();
    let mut all = Vec::new();
    search::<ReadError>(&inputs, query, |hit| {
        let latest = hit.latest().unwrap();
        let name = latest.name();
        let outcome = latest.outcome().unwrap_or_default();
        all.push((name.to_owned(), outcome.to_owned(), hit.records().count()));
        Ok(())
    })
    .unwrap();
    all
}

fn hit(name: &str, outcome: &str, records: usize) -> (String, String, usize) {
    (name.to_owned(), outcome.to_owned(), records)
}

/// Both records of one request.
async fn exchange(log: &AuditLog, event: impl Fn(Stage) -> Event) -> RequestId {
    let (audit, admitted) = (log.worker(), event(Stage::Admitted));
    audit.record(&admitted).await.unwrap();
    let completed = Event {
        request_id: admitted.request_id,
        ..event(Stage::Completed)
    };
    audit.record(&completed).await.unwrap();
    admitted.request_id
}

/// A recovery, a factor disabled and a recovery refused; the first one's id.
async fn three_requests(path: &Path) -> RequestId {
    let log = open(&config(&[path])).await;
    let id = exchange(&log, event).await;
    let disable = |stage| user_event(stage, Operation::UserSmsDisable);
    exchange(&log, disable).await;
    put(&log.worker(), Stage::Refused).await;
    log.close().await.unwrap();
    id
}

#[tokio::test]
async fn the_two_records_of_a_request_are_found_together_by_anything_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let id = three_requests(&path).await.to_string();
    let check = |expected: &[&str], set: &dyn Fn(&mut Query)| {
        let mut query = Query::default();
        set(&mut query);
        let found = found(&[&path], &query).into_iter();
        let found: Vec<_> = found
            .map(|(name, outcome, records)| format!("{name} {outcome} {records}"))
            .collect();
        assert_eq!(found, expected, "{query:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    let keyring = Keyring::new(["another".into(), "the audit key".into()]);
    let (recovered, disabled) = ("recover succeeded 2", "user.sms.disable succeeded 2");
    let refused = "recover refused 1";
    check(&[recovered, refused], &|query| {
        query.accounts = keyring.accounts("ada@example.com");
    });
    check(&[], &|query| {
        query.accounts = keyring.accounts("bob@example.com");
    });
    check(&[disabled], &|query| query.user = text("user-1"));
    check(&[recovered, disabled, refused], &|query| {
        query.tenant = text("tenant-1");
    });
    check(&[], &|query| query.tenant = text("tenant"));
    check(&[disabled], &|query| {
        query.operation = Some(Pattern::new("user.*disable".into()));
    });
    check(&[refused], &|query| {
        query.caller = text("support-console");
        query.outcome = text("refused");
    });
    check(&[recovered, disabled], &|query| {
        query.client = "203.0.113.7".parse().ok();
        query.outcome = text("succeeded");
    });
    check(&[], &|query| query.client = "203.0.113.8".parse().ok());
    check(&[recovered], &|query| query.request_id = text(&id));
    check(&[recovered, disabled, refused], &|query| {
        query.request_id = text("req-7");
    });
}

#[tokio::test]
async fn a_request_without_end_is_found_as_pending_after_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&config(&[&path])).await;
    put(&log.worker(), Stage::Admitted).await;
    exchange(&log, event).await;
    log.close().await.unwrap();
    let by = |outcome: Option<&str>| Query {
        tenant: Some("tenant-1".to_owned()),
        outcome: outcome.map(str::to_owned),
        ..Query::default()
    };
    let (ended, endless) = (hit("recover", "succeeded", 2), hit("recover", "pending", 1));
    assert_eq!(found(&[&path], &by(None)), [ended, endless.clone()]);
    assert_eq!(found(&[&path], &by(Some("pending"))), [endless]);
}

#[tokio::test]
async fn the_gateway_s_own_story_belongs_to_a_time_and_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    open(&config(&[&path])).await.close().await.unwrap();
    let since = |since| Query {
        since: Some(since),
        ..Query::default()
    };
    let story = [
        hit("header", "", 1),
        hit("start", "", 1),
        hit("stop", "", 1),
    ];
    assert_eq!(found(&[&path], &since(before)), story);
    let later = before + std::time::Duration::from_secs(120);
    assert_eq!(found(&[&path], &since(later)), []);
    let until = Query {
        until: Some(before),
        ..Query::default()
    };
    assert_eq!(found(&[&path], &until), []);
}

#[tokio::test]
async fn rotated_and_compressed_files_and_both_keys_are_searched_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let small = Config {
        rotate_size: Some(8 * 1024),
        ..config(&[&path])
    };
    let log = open(&small).await;
    for _ in 0..20 {
        exchange(&log, event).await;
    }
    log.close().await.unwrap();
    let mut files = rotated(&path);
    let packed = folder.path().join("first.gz");
    let mut encoder = GzEncoder::new(fs::File::create(&packed).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(&files[0]).unwrap()).unwrap();
    encoder.finish().unwrap();
    files[0] = packed;
    files.push(path);
    files.reverse();
    let files: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
    let query = Query {
        accounts: Keyring::new(["the audit key".into()]).accounts("ada@example.com"),
        ..Query::default()
    };
    assert_eq!(
        found(&files, &query),
        vec![hit("recover", "succeeded", 2); 20]
    );
}

fn told(followed: &mut Follow) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |record: Record| {
        let word = record.event().unwrap_or_else(|| record.outcome().unwrap());
        told.push(word.to_owned());
    };
    followed.poll(&mut tell).unwrap();
    told
}

#[tokio::test]
async fn following_misses_nothing_over_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let small = Config {
        rotate_size: Some(6 * 1024),
        ..config(&[&path])
    };
    let log = open(&small).await;
    let mut followed = Follow::open(path.clone(), u64::MAX).unwrap();
    assert_eq!(told(&mut followed), ["header", "start"]);
    // several rotations between two looks
    for count in [1, 2, 30, 1] {
        for _ in 0..count {
            put(&log.worker(), Stage::Completed).await;
        }
        let records = told(&mut followed).into_iter();
        let records: Vec<_> = records.filter(|word| word != "header").collect();
        assert_eq!(records, vec!["succeeded"; count]);
    }
    assert!(rotated(&path).len() > 3);
    log.close().await.unwrap();
    assert_eq!(told(&mut followed).last().unwrap(), "stop");
}

#[tokio::test]
async fn all_chains_of_one_file_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, both] = ["one", "two", "both"].map(|name| folder.path().join(name));
    for path in [&one, &two] {
        let log = open(&config(&[path])).await;
        put(&log.worker(), Stage::Completed).await;
        log.close().await.unwrap();
    }
    let lines = [&one, &two].map(|path| fs::read_to_string(path).unwrap());
    let merged = lines[0].lines().zip(lines[1].lines());
    let merged: String = merged.map(|(one, two)| format!("{one}\n{two}\n")).collect();
    fs::write(&both, merged).unwrap();
    let mut followed = Follow::open(both, u64::MAX).unwrap();
    let twice = |word| [word; 2];
    let expected = ["header", "start", "succeeded", "stop"].map(twice).concat();
    assert_eq!(told(&mut followed), expected);
}

#[tokio::test]
async fn following_goes_on_after_truncation_and_half_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let log = open(&Config {
        key: SecretSource::Inline("k".into()),
        ..config(&[&path])
    })
    .await;
    log.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    let mut followed = Follow::open(path.clone(), 0).unwrap();
    assert_eq!(told(&mut followed), [""; 0]);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(&whole[..700]).unwrap();
    assert_eq!(told(&mut followed), ["header"]);
    file.write_all(&whole[700..]).unwrap();
    assert_eq!(told(&mut followed), ["start", "stop"]);
}

//! Several files, keys and instances, and what wraps them.

use super::*;

#[test]
fn a_cut_end_shows_by_the_next_file_or_against_what_is_expected() {
    let mut writer = Writer::new(SECRET, "one");
    let (first, second) = (writer.file(4), writer.file(3));
    let cut = first[..3].concat();
    let report = verified(
        &[cut.as_bytes(), second.concat().as_bytes()],
        &[SECRET],
        None,
    );
    let bad = report.bad.unwrap();
    assert_eq!(
        (bad.damage, name(bad.input.as_ref().unwrap()), bad.line),
        (Damage::CutOff, "file-1", 1)
    );
    assert!(bad.detail.contains("records 3 to 4 are gone"), "{bad}");

    let expected: Expected = format!("7:{}", writer.tip.hash()).parse().unwrap();
    let whole = [first.concat(), second.concat()];
    let damage = |files: &[&[u8]]| {
        verified(files, &[SECRET], Some(&expected))
            .bad
            .map(|bad| bad.damage)
    };
    assert_eq!(damage(&[whole[0].as_bytes(), whole[1].as_bytes()]), None);
    assert_eq!(damage(&[whole[0].as_bytes()]), Some(Damage::CutOff));
    assert_eq!(
        damage(&[whole[0].as_bytes(), second[..3].concat().as_bytes()]),
        Some(Damage::CutOff)
    );
    // another log of the same length
    let mut other = Writer::new(SECRET, "two");
    assert_eq!(
        damage(&[other.file(9).concat().as_bytes()]),
        Some(Damage::Changed)
    );
    // what came before a file is known by its header
    let before: Expected = format!("4:{}", between_hash(&second[0])).parse().unwrap();
    assert_eq!(
        verified(&[whole[1].as_bytes()], &[SECRET], Some(&before)).bad,
        None
    );
    let older: Expected = format!("2:{}", "0".repeat(64)).parse().unwrap();
    let bad = verified(&[whole[1].as_bytes()], &[SECRET], Some(&older))
        .bad
        .unwrap();
    assert!(bad.detail.contains("begins after record 2"), "{bad}");
}

fn between_hash(header: &str) -> &str {
    let (_, rest) = header.split_once(r#""prev":""#).unwrap();
    rest.split_once('"').unwrap().0
}

#[test]
fn a_last_record_that_was_never_finished_is_cut_off() {
    let lines = Writer::new(SECRET, "one").file(3);
    for length in 25..lines[3].len() - 3 {
        let mut cut = lines.clone();
        cut[3].truncate(length);
        assert_eq!(
            damage_of(&cut),
            Some((Damage::CutOff, 4)),
            "after {length} bytes"
        );
    }
}

#[test]
fn a_record_that_a_broken_pipe_cut_and_that_came_again_is_good() {
    let mut writer = Writer::new(SECRET, "one");
    let mut lines = writer.file(2);
    let record = writer.record();
    lines.extend([
        format!("{}\n", beginning(&record, 300)),
        format!("{}\n", beginning(&record, 450)),
        record.clone(),
    ]);
    assert_eq!(damage_of(&lines), None);
    lines.insert(5, format!("{}\n", beginning(&lines[2], 300)));
    assert_eq!(damage_of(&lines), Some((Damage::Inserted, 6)));
}

#[test]
fn files_are_read_in_the_order_of_their_records_whatever_they_are_called() {
    let mut writer = Writer::new(SECRET, "one");
    let files: Vec<_> = (0..4).map(|_| writer.file(3).concat()).collect();
    let packed = gzip(files[0].as_bytes());
    let given = [
        files[2].as_bytes(),
        files[3].as_bytes(),
        &packed,
        files[1].as_bytes(),
    ];
    let report = verified(&given, &[SECRET], None);
    assert_eq!((report.bad.as_ref(), report.records()), (None, 12));
    let order: Vec<_> = report.inputs.iter().map(name).collect();
    assert_eq!(order, ["file-2", "file-3", "file-0", "file-1"]);
}

#[test]
fn a_file_that_is_missing_between_or_given_twice_is_found() {
    let mut writer = Writer::new(SECRET, "one");
    let files: Vec<_> = (0..3).map(|_| writer.file(3).concat()).collect();
    let damage = |given: &[&str]| {
        let given: Vec<_> = given.iter().map(|file| file.as_bytes()).collect();
        verified(&given, &[SECRET], None).bad.map(|bad| bad.damage)
    };
    assert_eq!(damage(&[&files[0], &files[2]]), Some(Damage::CutOff));
    assert_eq!(
        damage(&[&files[0], &files[1], &files[1]]),
        Some(Damage::Inserted)
    );
    assert_eq!(damage(&[&files[1], &files[2]]), None);
}

#[test]
fn what_an_output_missed_is_counted_and_no_damage() {
    let mut writer = Writer::new(SECRET, "one");
    let mut lines = writer.file(2);
    for _ in 0..3 {
        writer.record();
    }
    lines.push(writer.header(3));
    lines.push(writer.record());
    let report = verified(&[lines.concat().as_bytes()], &[SECRET], None);
    assert_eq!(report.bad, None);
    assert_eq!((report.records(), report.chains[0].missed), (3, 3));
    lines.remove(3);
    assert_eq!(damage_of(&lines), Some((Damage::Removed, 4)));
}

#[test]
fn what_another_output_missed_excuses_nothing() {
    let mut writer = Writer::new(SECRET, "one");
    let mut lines = writer.file(2);
    for _ in 0..3 {
        writer.record();
    }
    writer.output = "another.jsonl";
    lines.push(writer.header(3));
    lines.push(writer.record());
    assert_eq!(damage_of(&lines), Some((Damage::Inserted, 4)));
    // a log that was renamed goes on
    let mut renamed = Writer::new(SECRET, "one");
    let first = renamed.file(2).concat();
    renamed.output = "another.jsonl";
    let second = renamed.file(2).concat();
    let report = verified(&[first.as_bytes(), second.as_bytes()], &[SECRET], None);
    assert_eq!((report.bad.as_ref(), report.records()), (None, 4));
}

#[test]
fn a_key_that_changed_is_no_damage_if_both_are_known() {
    let mut writer = Writer::new("the old key", "one");
    let mut lines = writer.file(3);
    writer.sealer = sealer(SECRET);
    lines.extend([writer.record(), writer.record()]);
    let log = lines.concat();
    let bad = |secrets: &[&str]| verified(&[log.as_bytes()], secrets, None).bad;
    assert_eq!(bad(&[SECRET, "the old key"]), None);
    let wrong = bad(&["the old key"]).unwrap();
    assert_eq!((wrong.damage, wrong.line), (Damage::WrongKey, 5));
    assert!(wrong.detail.contains(&keys_id(SECRET)), "{wrong}");
    assert_eq!(bad(&[SECRET]).unwrap().line, 1);
}

#[test]
fn log_drivers_files_may_begin_anywhere_and_hold_foreign_lines() {
    let lines = Writer::new(SECRET, "one").file(6);
    let kubelet = |line: &String| format!("2026-11-23T12:00:00.123456789Z stdout F {line}");
    let mut first: Vec<_> = lines[..4].iter().map(kubelet).collect();
    first.insert(
        2,
        "2026-11-23T12:00:00.1Z stderr F {\"level\":\"INFO\"}\n".to_owned(),
    );
    let second: String = lines[4..].iter().map(kubelet).collect();
    let first = gzip(first.concat().as_bytes());
    let report = verified(&[second.as_bytes(), &first], &[SECRET], None);
    assert_eq!(
        (report.bad.as_ref(), report.records(), report.foreign),
        (None, 6, 1)
    );
    let report = verified(&[second.as_bytes()], &[SECRET], None);
    assert_eq!((report.bad, report.chains[0].after), (None, 3));
    let docker = |line: &String| {
        let entry =
            serde_json::json!({"log": line, "stream": "stdout", "time": "2026-11-23T12:00:00Z"});
        format!("{entry}\n")
    };
    let docker: String = lines.iter().map(docker).collect();
    assert_eq!(verified(&[docker.as_bytes()], &[SECRET], None).records(), 6);
}

#[test]
fn several_instances_are_told_apart_one_after_another_and_mixed() {
    let (mut one, mut two) = (Writer::new(SECRET, "one"), Writer::new(SECRET, "two"));
    let (one, two) = (one.file(4), two.file(4));
    let report = verified(
        &[one.concat().as_bytes(), two.concat().as_bytes()],
        &[SECRET],
        None,
    );
    assert_eq!(
        (report.bad.as_ref(), report.chains.len(), report.records()),
        (None, 2, 8)
    );
    let mixed: Vec<_> = one
        .iter()
        .zip(&two)
        .flat_map(|(one, two)| [one.clone(), two.clone()])
        .collect();
    assert_eq!(damage_of(&mixed), None);
    let mut removed = mixed;
    removed.remove(4);
    assert!(damage_of(&removed).is_some());
}

#[test]
fn a_log_without_a_chain_is_said_to_be_one() {
    let mut writer = Writer::new(SECRET, "one");
    writer.sealer = Sealer::new(None);
    assert_eq!(damage_of(&writer.file(3)), Some((Damage::Unchained, 1)));
    let mut lines = Writer::new(SECRET, "one").file(2);
    lines.extend([writer.record(), writer.record()]);
    assert_eq!(damage_of(&lines), Some((Damage::Unchained, 4)));
}

#[test]
fn a_cut_or_damaged_archive_is_found() {
    let whole = gzip(Writer::new(SECRET, "one").file(400).concat().as_bytes());
    let cut = verified(&[&whole[..whole.len() / 2]], &[SECRET], None)
        .bad
        .unwrap();
    assert_eq!(cut.damage, Damage::CutOff, "{cut}");
    let mut changed = whole.clone();
    changed[whole.len() - 6] ^= 1;
    let changed = verified(&[&changed], &[SECRET], None).bad.unwrap();
    assert_eq!(changed.damage, Damage::Changed, "{changed}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_not_damage() {
    let input = [Input::of(Path::new("/nonexistent/audit.log").to_owned())];
    let error = verify(&input, &keyring(&[SECRET]), None, &Progress::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/audit.log can't be read"),
        "{error}"
    );
}

#[test]
fn what_is_expected_is_a_number_and_a_hash() {
    let hash = "AB".repeat(32);
    let expected: Expected = format!("12:{hash}").parse().unwrap();
    assert_eq!(expected.link().hash(), "ab".repeat(32));
    for wrong in [
        "",
        "12",
        "x:ab",
        "12:ab",
        &format!("12:{}", "xy".repeat(32)),
    ] {
        assert_eq!(wrong.parse::<Expected>(), Err(NotExpected), "{wrong}");
    }
}

#[test]
fn what_a_start_set_aside_is_no_damage() {
    let mut writer = Writer::new(SECRET, "one");
    let log = writer.file(3).concat();
    let torn = beginning(&writer.record(), 300).to_owned();
    let report = verified(&[torn.as_bytes(), log.as_bytes()], &[SECRET], None);
    assert_eq!((report.bad.as_ref(), report.records()), (None, 3));
}

#[test]
fn a_file_beside_its_own_compressed_form_is_not_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(SECRET, "one");
    let (first, second) = (writer.file(3).concat(), writer.file(3).concat());
    let name = |name: &str| folder.path().join(name);
    let packed = gzip(first.as_bytes());
    fs::write(name("log"), &second).unwrap();
    for rotated in ["log.20261123T120000Z-3", "log.1"] {
        fs::write(name(rotated), &first).unwrap();
        fs::write(name(&format!("{rotated}.gz")), &packed).unwrap();
    }
    let report = |files: [&str; 3]| {
        let inputs = files.map(|file| Input::File(name(file)));
        verify(&inputs, &keyring(&[SECRET]), None, &Progress::default()).unwrap()
    };
    let ours = report(["log", "log.20261123T120000Z-3", "log.20261123T120000Z-3.gz"]);
    assert_eq!((ours.bad.as_ref(), ours.records()), (None, 6));
    // of others' names nothing is known
    let theirs = report(["log", "log.1", "log.1.gz"]);
    assert_eq!(theirs.bad.unwrap().damage, Damage::Inserted);
}

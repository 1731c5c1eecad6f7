//! Edits of one file.

use super::*;

#[test]
fn every_changed_byte_is_found_in_its_record() {
    let lines = Writer::new(SECRET, "one").file(3);
    let text = lines.concat().into_bytes();
    let mut line = 0_usize;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (input, keys) = ([Input::File(path.clone())], keyring(&[SECRET]));
    for place in 0..text.len() {
        let flip = 1 << (place % 8);
        let mut changed = text.clone();
        changed[place] ^= flip;
        fs::write(&path, &changed).unwrap();
        let report = verify(&input, &keys, None, &Progress::default()).unwrap();
        let bad = report
            .bad
            .unwrap_or_else(|| panic!("byte {place} ^ {flip} not found"));
        assert_eq!(bad.damage, Damage::Changed, "byte {place} ^ {flip}: {bad}");
        // where a newline is made, the line's second half may be what is left of it
        let found = bad.line == number(line) + 1 || changed[place] == b'\n';
        assert!(found, "byte {place} ^ {flip} in line {}: {bad}", line + 1);
        line += usize::from(text[place] == b'\n');
    }
}

#[test]
fn every_removed_record_is_found() {
    let lines = Writer::new(SECRET, "one").file(6);
    for place in 0..lines.len() - 1 {
        let mut removed = lines.clone();
        removed.remove(place);
        // the record after it is the first bad one
        let expected = Some((Damage::Removed, number(place) + 1));
        assert_eq!(damage_of(&removed), expected, "without line {}", place + 1);
    }
}

#[test]
fn every_doubled_record_is_found_wherever_the_copy_stands() {
    let lines = Writer::new(SECRET, "one").file(5);
    for place in 0..lines.len() {
        for to in place + 1..=lines.len() {
            let mut doubled = lines.clone();
            doubled.insert(to, lines[place].clone());
            let expected = Some((Damage::Inserted, number(to) + 1));
            assert_eq!(
                damage_of(&doubled),
                expected,
                "line {} again at {to}",
                place + 1
            );
        }
    }
}

#[test]
fn every_swap_is_found() {
    let lines = Writer::new(SECRET, "one").file(6);
    for one in 0..lines.len() {
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            let expected = Some((Damage::Moved, number(one) + 1));
            assert_eq!(damage_of(&swapped), expected, "lines {one} and {other}");
        }
    }
}

#[test]
fn a_forged_record_is_found_as_inserted_whatever_it_looks_like() {
    let lines = Writer::new(SECRET, "one").file(4);
    let other = Writer::new("another key", "one").file(3);
    let retouched = lines[3].replace("checkpoint", "chechpoint");
    let bare = r#"{"metadata":{"sequence":3,"version":"1.8.0"},"unmapped":{"stage":"completed"}}"#;
    let cut = beginning(&lines[3], 200);
    let forged = other[3].replace(&keys_id("another key"), &keys_id(SECRET));
    for forgery in [
        &retouched,
        &format!("{bare}\n"),
        &format!("{cut}?\n"),
        &forged,
    ] {
        let mut inserted = lines.clone();
        inserted.insert(3, forgery.clone());
        assert_eq!(
            damage_of(&inserted),
            Some((Damage::Inserted, 4)),
            "{forgery}"
        );
    }
    let mut inserted = lines.clone();
    inserted.insert(3, other[3].clone());
    assert_eq!(damage_of(&inserted), Some((Damage::WrongKey, 4)));
}

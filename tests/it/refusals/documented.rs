//! The operator's guide has a row for each code with which the gateway says no.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::CODES;

#[test]
fn the_operators_guide_explains_every_code_with_its_status() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let rows = guide.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let status: u16 = cells.next()?.parse().ok()?;
        let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((code, status))
    });
    let (explained, known): (BTreeSet<_>, BTreeSet<_>) =
        (rows.collect(), CODES.iter().copied().collect());
    assert_eq!(explained, known);
}

//! The tables of attacks and bypasses in `config/README.md` name the tests that show what they
//! say. Here they are looked up, so that no row can outlive its test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every test there is: its path as `cargo test` takes it.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        let folder = root.join(folder);
        for file in files(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            let inside = file.strip_prefix(&folder).unwrap().with_extension("");
            let mut path: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
            path.retain(|part| !["mod", "lib", "main"].contains(part));
            collect(&text, &path.join("::"), &mut tests);
        }
    }
    tests
}

/// The tests of one file, those in its `mod tests` too.
fn collect(text: &str, module: &str, tests: &mut BTreeSet<String>) {
    let mut module = module.to_owned();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "mod tests {" {
            module += "::tests";
        }
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let function = line.strip_prefix("async ").unwrap_or(line);
        if let Some(function) = function.strip_prefix("fn ")
            && std::mem::take(&mut is_test)
        {
            let (name, _rest) = function.split_once('(').unwrap();
            tests.insert(format!("{module}::{name}"));
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    found
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The last cells of the tables whose last column has this heading.
fn last_cells<'r>(reference: &'r str, heading: &str) -> Vec<&'r str> {
    let last = |row: &'r str| row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
    let mut cells = Vec::new();
    let mut lines = reference.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('|') && last(line) == heading {
            let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
            cells.extend(rows.skip(1).map(last));
        }
    }
    cells
}

/// What stands between backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_attack_and_bypass_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = fs::read_to_string(root.join("config/README.md")).unwrap();
    let tests = tests();
    let is_there = |name: &str| {
        let file = root.join(name);
        let fuzzed = root.join(format!("tests/fuzz/fuzz_targets/{name}.rs"));
        // a whole module of tests, a test by its path or, where there is one such, by its name
        let is_module = tests
            .iter()
            .any(|test| test.starts_with(&format!("{name}::")));
        let is_test = tests
            .iter()
            .any(|test| test == name || test.ends_with(&format!("::{name}")));
        is_module || is_test || fuzzed.exists() || (name.starts_with("src/") && file.exists())
    };
    let mut missing = Vec::new();
    for (heading, least) in [("shown by", 40), ("test", 20)] {
        let cells = last_cells(&reference, heading);
        assert!(cells.len() >= least, "{heading}: {} rows", cells.len());
        for cell in cells {
            assert!(
                cell == "the same" || names(cell).next().is_some(),
                "a row that nothing shows: {cell}"
            );
            missing.extend(names(cell).filter(|name| !is_there(name)));
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

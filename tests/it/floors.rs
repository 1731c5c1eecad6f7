//! The house has floors: a module uses only modules of lower ones. The table is in the
//! documentation of `src/lib.rs`; here the code is held against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each module's floor, as the table has it.
fn floors(library: &str) -> BTreeMap<String, u32> {
    let table = library.split("```").nth(1).unwrap();
    let mut floors = BTreeMap::new();
    for line in table.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((floor, rest)) = line.split_once(' ') else {
            continue;
        };
        let Ok(floor) = floor.parse() else {
            continue;
        };
        for module in rest.trim_start().split("  ").next().unwrap().split('·') {
            let known = floors.insert(module.trim().to_owned(), floor);
            assert_eq!(known, None, "{module} is in the table twice");
        }
    }
    // it feeds bytes to whatever reads them, so it stands above all
    floors.insert("fuzzing".to_owned(), u32::MAX);
    floors
}

/// Every source file, without those that are only compiled for tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["tests", "testing"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text without comments and without the tests at its foot.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that stand after `crate::`, alone or in braces.
fn used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(list) = after.strip_prefix('{') else {
            used.insert(name(after));
            continue;
        };
        let mut depth = 0_u32;
        let mut item = String::new();
        for character in list.chars() {
            match character {
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                '{' => depth += 1,
                ',' if depth == 0 => {
                    used.insert(name(std::mem::take(&mut item).trim()));
                }
                _ if depth == 0 => item.push(character),
                _ => {}
            }
        }
        used.insert(name(item.trim()));
    }
    used.remove("");
    used
}

/// The name at the beginning of a path.
fn name(path: &str) -> String {
    let end = path.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    path[..end.unwrap_or(path.len())].to_owned()
}

#[test]
fn modules_after_crate_are_found_alone_and_in_braces() {
    let text = "use crate::{\n    audit::{Audit, NotAccepted},\n    body,\n    model::{A, b::{C}},\n};\ncrate::route::find(crate::net::X); // crate::cli\n";
    let expected = ["audit", "body", "model", "net", "route"];
    assert_eq!(used(&code(text)), expected.map(str::to_owned).into());
}

#[test]
fn every_module_has_a_floor_and_uses_only_lower_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = fs::read_to_string(root.join("lib.rs")).unwrap();
    let floors = floors(&library);
    let declared: BTreeSet<_> = library
        .lines()
        .map(|line| line.strip_prefix("pub ").unwrap_or(line))
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let known: BTreeSet<_> = floors.keys().map(String::as_str).collect();
    assert_eq!(
        declared, known,
        "src/lib.rs: the modules and the table of floors differ"
    );

    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        for other in used(&code(&fs::read_to_string(&file).unwrap())) {
            if other != module && floors[&other] >= floors[module] {
                wrong.push(format!("{} uses crate::{other}", inside.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "upward, or on the same floor:\n{}",
        wrong.join("\n")
    );
}

//! What is shipped in `config/` follows from the table of keys.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::{
    super::{show::doc, *},
    World,
};

/// Compares a file of the repository with what it should hold, or with UPDATE_EXPECT=1
/// in the environment writes it.
fn expect_file(name: &str, expected: impl FnOnce(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let found = fs::read_to_string(&path).unwrap();
    let expected = expected(&found);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            found == expected,
            "{name} is behind the table of keys: UPDATE_EXPECT=1 cargo test config"
        );
    }
}

#[test]
fn the_shipped_defaults_are_the_built_in_ones() {
    expect_file("config/gateway.toml", |_found| defaults());
    let mut world = World::new();
    let before = world.load();
    let shipped = defaults();
    world.sources.files.insert(0, world.path("gateway.toml"));
    fs::write(world.path("gateway.toml"), shipped).unwrap();
    assert_eq!(changed_keys(&before, &world.load()), Vec::<String>::new());
}

#[test]
fn the_reference_lists_every_key() {
    const MARK: &str = "<!-- from here on made from src/config/keys.rs -->\n";
    let mut reference = String::new();
    for section in SECTIONS {
        let keys = || KEYS.iter().filter(|key| key.section() == section.path);
        if keys().next().is_none() {
            continue;
        }
        let heading = match section.repeats {
            Repeats::Always => format!("[[{}]]", section.path),
            Repeats::Maybe | Repeats::Never => format!("[{}]", section.path),
        };
        let about = section.doc;
        write!(
            reference,
            "\n### {heading}\n\n{about}\n\n| key | is | default | |\n|---|---|---|---|\n"
        )
        .unwrap();
        for key in keys() {
            let (path, is, about) = (key.path, key.kind.article(), doc(key));
            let default = match key.default {
                "" | "\"\"" => String::new(),
                default => format!("`{default}`"),
            };
            writeln!(reference, "| `{path}` | {is} | {default} | {about} |").unwrap();
        }
    }
    expect_file("config/README.md", |found| {
        let (head, _old) = found.split_once(MARK).unwrap();
        format!("{head}{MARK}{reference}")
    });
}

#[test]
fn the_shipped_examples_are_right_where_their_files_are() {
    for name in ["sidecar.toml", "standalone.toml", "sandbox.toml"] {
        let mut world = World::new();
        world.sources.files.clear();
        for secret in [
            "client-id",
            "api-key",
            "audit-key",
            "login-key",
            "support-key",
        ] {
            fs::write(
                world.path(secret),
                format!("secret of {secret}").replace(' ', "-"),
            )
            .unwrap();
        }
        fs::copy(world.path("ca.pem"), world.path("tls.crt")).unwrap();
        fs::copy(world.path("key.pem"), world.path("tls.key")).unwrap();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("config")
            .join(name);
        let mut text = fs::read_to_string(path).unwrap();
        let folder = world.folder.path().to_str().unwrap().to_owned();
        for used in [
            "/run/secrets/mfa-gateway",
            "/var/log/mfa-gateway",
            "/var/lib/mfa-gateway-sandbox",
        ] {
            text = text.replace(used, &folder);
        }
        world.file(name, &text);
        // The machine may have no roots of its own.
        world.set(&format!("frontegg.ca_file={folder}/ca.pem"));
        world.load();
    }
}

#[test]
fn the_schema_has_every_key() {
    let schema = schema();
    for key in KEYS {
        let mut at = &schema;
        for segment in key.path.split('.') {
            let table = [at, &at["oneOf"][0], &at["items"]]
                .into_iter()
                .find(|table| table["type"] == "object")
                .unwrap();
            at = match segment {
                "*" => &table["additionalProperties"],
                segment => &table["properties"][segment],
            };
        }
        assert_eq!(at["description"], key.doc, "{}", key.path);
    }
}

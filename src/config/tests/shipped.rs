//! What is shipped in `config/` follows from the table of keys.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::{super::*, World};

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
    let after = world.load();
    assert_eq!(changed_keys(&before, &after), Vec::<String>::new());
    assert_eq!(after.warnings, []);
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
            let (path, is, about) = (key.path, key.kind.article(), key.doc);
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

/// Loads an example in a folder that has the files which it names.
fn is_right_where_its_files_are(name: &str, text: &str) {
    let mut world = World::new();
    world.sources.files.clear();
    for secret in [
        "client-id",
        "api-key",
        "audit-key",
        "login-key",
        "support-key",
        "limits-key",
        "valkey-password",
    ] {
        let text = format!("secret-of-{secret}-that-is-long-enough");
        fs::write(world.path(secret), text).unwrap();
    }
    fs::copy(world.path("ca.pem"), world.path("tls.crt")).unwrap();
    fs::copy(world.path("key.pem"), world.path("tls.key")).unwrap();
    fs::copy(world.path("ca.pem"), world.path("client-ca.crt")).unwrap();
    fs::copy(world.path("ca.pem"), world.path("valkey-ca.crt")).unwrap();
    let folder = world.folder.path().to_str().unwrap().to_owned();
    let mut text = text.to_owned();
    for used in [
        "/etc/mfa-gateway",
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

fn of_the_repository(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_shipped_examples_are_right_where_their_files_are() {
    for name in [
        "sidecar.toml",
        "standalone.toml",
        "replicas-valkey.toml",
        "sandbox.toml",
    ] {
        is_right_where_its_files_are(name, &of_the_repository(&format!("config/{name}")));
    }
}

#[test]
fn the_first_configuration_of_the_readme_is_right() {
    let readme = of_the_repository("README.md");
    let (_before, rest) = readme.split_once("```toml\n").unwrap();
    let (example, _after) = rest.split_once("```").unwrap();
    // there they lie where the gateway is started
    let example = example.replace("_file = \"", "_file = \"/etc/mfa-gateway/");
    is_right_where_its_files_are("readme.toml", &example);
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

//! What a reload finds changed, and what of it needs a restart.

use std::fs;

use super::{super::*, World};

#[test]
fn what_is_said_of_a_key_is_of_one_that_there_is() {
    let mut paths = changes::FIXED.iter().chain(&changes::CA_FILES);
    assert!(paths.all(|path| is_known(path)));
}

#[test]
fn a_reload_knows_what_changed_and_what_needs_a_restart() {
    let mut world = World::new();
    let old = world.load();
    assert_eq!(changed_keys(&old, &world.load()), Vec::<String>::new());
    world
        .set("limits.max_keys=5000")
        .set("listen.idle_timeout=1s")
        .set("frontegg.region=us")
        .set("frontegg.api_key=another")
        .set("limits.upstream.\"login.sms.verify\"={}");
    let new = world.load();
    let changed = changed_keys(&old, &new);
    assert!(changed.contains(&"limits.upstream.\"login.sms.verify\".attempts".to_owned()));
    assert!(changed.contains(&"frontegg.api_key".to_owned()));
    assert_eq!(
        reload_blockers(&old, &new),
        ["listen.idle_timeout", "limits.max_keys"]
    );
    assert_eq!(
        reload_blockers(&new, &old),
        ["listen.idle_timeout", "limits.max_keys"]
    );
    assert!(
        changed_keys(&new, &old)
            .iter()
            .any(|key| key.contains("login.sms.verify"))
    );
}

#[test]
fn of_the_audit_log_what_keys_its_records_and_where_they_go_needs_a_restart() {
    let mut world = World::new();
    let key = world.path("audit-key");
    fs::write(&key, "another audit key, 32 bytes long").unwrap();
    let (old, output) = (world.load(), world.path("audit.jsonl"));
    for line in [
        "durability=synced",
        "timeout=1s",
        "on_failure=continue",
        "email=mask",
        "rotate.size=1MiB",
        "rotate.age=1d",
        "rotate.compress=true",
        "rotate.keep=7",
        "collapse=0",
    ] {
        world.set(&format!("audit.{line}"));
    }
    world
        .set(&format!("audit.output={}", output.display()))
        .set("telemetry.log_format=json");
    let fixed = |new: &Loaded| reload_blockers(&old, new);
    assert_eq!(fixed(&world.load()), ["audit.output"]);
    world
        .set("audit.chain=false")
        .set(&format!("audit.key_file={}", key.display()))
        .set(&format!("audit.previous_key_files=[\"{}\"]", key.display()))
        .set("telemetry.otlp_endpoint=http://127.0.0.1:4318");
    let keys = [
        "audit.output",
        "audit.key_file",
        "audit.previous_key_files",
        "audit.chain",
        "telemetry.otlp_endpoint",
    ];
    assert_eq!(fixed(&world.load()), keys);
}

#[test]
fn a_ca_file_that_holds_another_ca_has_changed() {
    let world = World::new();
    let old = world.load();
    assert_eq!(old.ca_files(), [("frontegg.ca_file", world.path("ca.pem"))]);
    let text = fs::read(world.path("ca.pem")).unwrap();
    fs::write(world.path("ca.pem"), &text).unwrap();
    assert!(changed_keys(&old, &old.read_again().unwrap()).is_empty());
    fs::copy(World::new().path("ca.pem"), world.path("ca.pem")).unwrap();
    for new in [world.load(), old.read_again().unwrap()] {
        assert_eq!(changed_keys(&old, &new), ["frontegg.ca_file"]);
        assert!(reload_blockers(&old, &new).is_empty());
    }
    fs::write(world.path("ca.pem"), "none").unwrap();
    let problems = old.read_again().map(|_loaded| ()).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, ["frontegg.ca_file"]);
}

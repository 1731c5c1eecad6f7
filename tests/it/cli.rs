//! The command line: exit statuses, what goes to stdout and what to stderr, and that every
//! mistake is told with its place and its mend.

mod check;
mod collector;

use std::{fs, net::TcpListener, path::Path, process::Stdio};

use mfa_gateway::sandbox::{certs::Authority, world::seed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::support::{Rig, within};

const BINARY: &str = env!("CARGO_BIN_EXE_mfa-gateway");

/// What became of a command.
#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless all of these stand in the text for people.
    #[track_caller]
    fn assert_said(&self, all: &[&str]) {
        for part in all {
            assert!(
                self.stderr.contains(part),
                "{part:?} is not in {}",
                self.stderr
            );
        }
    }
}

async fn finished(mut command: Command) -> Outcome {
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = within("a command's end", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs it with these arguments, and nothing in its environment.
async fn run(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    finished(command).await
}

/// A configuration that is right, for this vendor, and a folder for more.
struct World {
    folder: TempDir,
    file: String,
}

impl World {
    /// Where there is no vendor to be reached.
    fn alone() -> Self {
        Self::with(&[])
    }

    fn with(changes: &[(&str, &str)]) -> Self {
        let value = |name: &str, usual: &str| {
            let changed = changes.iter().find(|(changed, _)| *changed == name);
            changed.map_or_else(|| usual.to_owned(), |(_, value)| (*value).to_owned())
        };
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let authority = Authority::new("cli").unwrap();
        fs::write(&ca, value("ca", authority.pem())).unwrap();
        let toml = format!(
            "[listen]\naddress = '127.0.0.1:0'\n[admin]\naddress = ''\n\
             [frontegg]\nclient_id = '{}'\napi_key = '{}'\nca_file = '{}'\n\
             identity_url = '{}'\nauth_url = '{}'\n\
             [limits.upstream.recover]\nattempts = 10\n\
             [audit]\nkey = 'an audit key for tests, 32 bytes long'\noutput = '{}'\n",
            seed::CLIENT_ID,
            value("api_key", seed::SECRET),
            ca.display(),
            value("identity_url", "https://127.0.0.1:1"),
            value("auth_url", "https://127.0.0.1:1/auth/vendor/"),
            folder.path().join("audit.log").display(),
        );
        let file = folder.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self { folder, file }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[tokio::test]
async fn every_command_has_an_example_in_its_help() {
    for command in [
        "",
        "check",
        "config",
        "config defaults",
        "config schema",
        "config show",
        "ready",
        "routes",
        "run",
        "sandbox",
    ] {
        let mut arguments: Vec<_> = command.split_whitespace().collect();
        arguments.push("--help");
        let help = run(&arguments).await;
        assert_eq!(help.status, Some(0), "{command}");
        let (_, example) = help
            .stdout
            .split_once("\nExample")
            .unwrap_or_else(|| panic!("{command}"));
        let shown = format!("  mfa-gateway {command}");
        assert!(example.contains(shown.trim_end()), "{command}: {example}");
    }
}

#[tokio::test]
async fn what_is_no_command_and_no_option_is_a_usage_error() {
    for arguments in [
        &["chekc"][..],
        &[],
        &["config"],
        &["run", "--bogus"],
        &["check", "--format", "xml"],
        &["ready", "--wait", "soon"],
        &["ready", "--admin", "here"],
        &["run", "-c"],
    ] {
        let outcome = run(arguments).await;
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
    run(&["chekc"]).await.assert_said(&["'check'"]);
}

#[tokio::test]
async fn what_is_in_effect_is_shown_with_its_layers_and_without_its_secrets() {
    let world = World::alone();
    let arguments = [
        "config",
        "show",
        "-c",
        &world.file,
        "--set",
        "limits.mode=observe",
    ];
    let text = run(&arguments).await;
    assert_eq!(text.status, Some(0));
    let json = run(&[&arguments[..], &["--format", "json"]].concat()).await;
    for shown in [&text.stdout, &json.stdout] {
        assert!(
            !shown.contains(seed::SECRET) && !shown.contains("an audit key"),
            "{shown}"
        );
        assert!(shown.contains("[redacted]"), "{shown}");
    }
    let line = |start: &str| {
        text.stdout
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap()
    };
    assert!(
        line("api_key = ").contains("gateway.toml"),
        "{}",
        line("api_key = ")
    );
    assert!(line("mode = \"observe\"").contains("--set"));
}

#[tokio::test]
async fn the_defaults_are_a_file_that_gives_the_defaults() {
    let world = World::alone();
    let defaults = run(&["config", "defaults"]).await;
    assert_eq!(defaults.status, Some(0));
    let file = world.path().join("defaults.toml");
    fs::write(&file, &defaults.stdout).unwrap();
    let shown = async |files: &[&str]| {
        let mut arguments = vec!["config", "show", "--format", "json"];
        arguments.extend(files.iter().flat_map(|file| ["-c", file]));
        let keys = run(&arguments).await.json()["configuration"]
            .as_array()
            .unwrap()
            .clone();
        let values = keys
            .iter()
            .map(|key| (key["key"].to_string(), key["value"].to_string()));
        values.collect::<Vec<_>>()
    };
    let with = shown(&[file.to_str().unwrap(), &world.file]).await;
    assert_eq!(with, shown(&[&world.file]).await);
    let schema = run(&["config", "schema"]).await;
    assert_eq!(
        (schema.status, &schema.json()["type"]),
        (Some(0), &"object".into())
    );
}

#[tokio::test]
async fn the_routes_are_listed_as_this_configuration_has_them() {
    let world = World::alone();
    let arguments = [
        "routes",
        "-c",
        &world.file,
        "--set",
        "routes.allow=[\"recover\"]",
    ];
    let text = run(&arguments).await;
    assert_eq!((text.status, text.stdout.lines().count()), (Some(0), 42));
    let rows = run(&[&arguments[..], &["--format", "json"]].concat())
        .await
        .json();
    let allowed = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["allowed"] == true);
    assert_eq!(
        allowed.map(|row| &row["operation"]).collect::<Vec<_>>(),
        ["recover"]
    );
    let wrong = run(&[
        "routes",
        "-c",
        &world.file,
        "--set",
        "routes.allow=[\"recovr\"]",
    ])
    .await;
    assert_eq!(wrong.status, Some(2));
    wrong.assert_said(&["did you mean recover?"]);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let world = World::alone();
    for command in [
        "config defaults",
        "config schema",
        "config show",
        "routes",
        "check",
        "--help",
    ] {
        let sources = match command {
            "config show" | "routes" | "check" => format!("-c {}", world.file),
            _ => String::new(),
        };
        let mut shell = Command::new("bash");
        shell.args([
            "-c",
            &format!("{BINARY} {command} {sources} | true; echo ${{PIPESTATUS[0]}}"),
        ]);
        shell.env("PATH", "/usr/bin:/bin");
        let outcome = finished(shell).await;
        assert_eq!(
            (outcome.stdout.trim(), outcome.stderr.as_str()),
            ("0", ""),
            "{command}"
        );
    }
}

#[tokio::test]
async fn a_result_that_cannot_be_written_is_a_failure() {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{BINARY} config defaults >/dev/full")]);
    let outcome = finished(command).await;
    assert_eq!(outcome.status, Some(1));
    outcome.assert_said(&["stdout: "]);
}

#[tokio::test]
async fn ready_says_whether_and_waits_until() {
    let rig = Rig::start().await;
    let admin = rig.admin.to_string();
    let outcome = run(&["ready", "--admin", &admin]).await;
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (Some(0), ""),
        "{outcome:?}"
    );
    drop(rig);
    let outcome = run(&["ready", "--admin", &admin]).await;
    assert_eq!(outcome.status, Some(1));
    outcome.assert_said(&[&admin, "not ready"]);
    let outcome = run(&["ready", "--admin", &admin, "--wait", "300ms"]).await;
    assert_eq!(outcome.status, Some(1));

    let set = format!("'{admin}'");
    let waiting = ["ready", "--admin", &admin, "--wait", "30s"];
    let (waited, _rig) = tokio::join!(
        run(&waiting),
        Rig::builder().set("admin.address", &set).start()
    );
    assert_eq!(waited.status, Some(0), "{waited:?}");
}

#[tokio::test]
async fn a_wrong_configuration_starts_nothing() {
    let world = World::alone();
    let socket = world.path().join("gateway.sock");
    let listen = format!("listen.address=unix:{}", socket.display());
    let outcome = run(&[
        "run",
        "-c",
        &world.file,
        "--set",
        &listen,
        "--set",
        "limits.mode=obsrve",
    ])
    .await;
    assert_eq!(outcome.status, Some(2));
    outcome.assert_said(&["limits.mode", "Nothing was started"]);
    assert!(!socket.exists());
    assert!(!world.path().join("audit.log").exists());
}

#[tokio::test]
async fn an_address_that_is_taken_fails_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let world = World::alone();
    let socket = world.path().join("gateway.sock");
    for key in ["listen.address", "admin.address"] {
        let address = if key == "listen.address" {
            format!(
                "listen.address=[\"unix:{}\", \"{taken}\"]",
                socket.display()
            )
        } else {
            format!("{key}={taken}")
        };
        let outcome = run(&["run", "-c", &world.file, "--set", &address]).await;
        assert_eq!(outcome.status, Some(1), "{outcome:?}");
        outcome.assert_said(&[&taken]);
        assert!(!socket.exists());
    }
}

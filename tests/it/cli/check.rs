//! `check`: all mistakes of a configuration, and the way to the vendor step by step.

use std::{fs, net::TcpListener};

use mfa_gateway::sandbox::{
    certs::Authority,
    vendor::{BadCertificate, Endpoint, Fault, Vendor, VendorOptions},
    world::seed,
};
use tokio::process::Command;

use super::{BINARY, World, finished, run};

async fn vendor() -> Vendor {
    Vendor::start(VendorOptions::default()).await.unwrap()
}

/// An origin on loopback where nobody listens.
fn nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    format!("https://{}", address.unwrap())
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_with_place_and_mend() {
    let world = World::alone();
    let second = world.path().join("more.yaml");
    fs::write(&second, "limits:\n  mode: obsrve\n").unwrap();
    fs::write(
        &world.file,
        "[listen]\naddres = '127.0.0.1:0'\nmax_body = '64KB'\n",
    )
    .unwrap();
    let second = second.to_str().unwrap();
    let mut command = Command::new(BINARY);
    command.args([
        "check",
        "-c",
        &world.file,
        "-c",
        second,
        "--set",
        "shutdown.delay=soon",
    ]);
    // `finished` clears the environment, so this is set by env(1)
    let mut with_variable = Command::new("env");
    with_variable.arg("MFA_GATEWAY__FRONTEGG__REGION=mars");
    with_variable.arg(BINARY).args(command.as_std().get_args());
    let outcome = finished(with_variable).await;
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""));
    outcome.assert_said(&[
        "listen.addres: is not a key",
        "did you mean listen.address?",
        "gateway.toml:2",
        "listen.max_body: ",
        "gateway.toml:3",
        "limits.mode: ",
        "more.yaml:2",
        "frontegg.region: ",
        "MFA_GATEWAY__FRONTEGG__REGION",
        "shutdown.delay: ",
        "from  --set",
        "frontegg.client_id: is needed",
        "frontegg.api_key: is needed",
        "audit.key: is needed",
        "openssl rand -base64 32",
        "The configuration has 8 problems.",
    ]);
    assert_eq!(outcome.stderr.matches("\n  mend  ").count(), 8);
}

#[tokio::test]
async fn scripts_get_the_mistakes_as_json() {
    let world = World::alone();
    let wrong = [
        "check",
        "-c",
        &world.file,
        "--set",
        "limits.mode=obsrve",
        "--format",
        "json",
    ];
    let outcome = run(&wrong).await;
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(2), ""));
    let report = outcome.json();
    assert_eq!(report["valid"], false);
    let problem = &report["problems"][0];
    assert_eq!(problem["key"], "limits.mode");
    for member in ["problem", "mend"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{report}"
        );
    }
    let right = run(&["check", "-c", &world.file, "--format", "json"]).await;
    assert_eq!(
        (right.status, &right.json()["valid"]),
        (Some(0), &true.into())
    );
    let right = run(&["check", "-c", &world.file]).await;
    assert_eq!(right.stdout, "The configuration is right.\n");
    assert_eq!(right.status, Some(0));
}

#[tokio::test]
async fn a_file_that_is_not_there_or_not_to_be_read_is_told() {
    let missing = run(&["check", "-c", "/nowhere/gateway.toml"]).await;
    assert_eq!(missing.status, Some(2));
    missing.assert_said(&["/nowhere/gateway.toml"]);
    let world = World::alone();
    for (name, text) in [
        ("a.toml", "[listen"),
        ("a.yaml", "a: [b"),
        ("a.json", "{"),
        ("a.ini", ""),
    ] {
        let file = world.path().join(name);
        fs::write(&file, text).unwrap();
        let outcome = run(&["check", "-c", file.to_str().unwrap()]).await;
        assert_eq!(outcome.status, Some(2), "{name}");
        outcome.assert_said(&[name]);
    }
}

#[tokio::test]
async fn a_vendor_that_is_reached_is_told_step_by_step() {
    let vendor = vendor().await;
    let world = World::with(&[
        ("identity_url", &vendor.origin()),
        ("auth_url", &vendor.auth_url()),
        ("ca", vendor.authority().pem()),
    ]);
    let outcome = run(&["check", "-c", &world.file, "--connect"]).await;
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (Some(0), ""),
        "{outcome:?}"
    );
    for part in [
        "TCP connection to 127.0.0.1",
        "TLS",
        "certificate good",
        "credential",
        "86400 s",
    ] {
        assert!(
            outcome.stdout.contains(part),
            "{part} is not in {}",
            outcome.stdout
        );
    }
    assert!(!outcome.stdout.contains("failed"));
    assert!(!outcome.stdout.contains(seed::SECRET));
    let report = run(&["check", "-c", &world.file, "--connect", "--format", "json"])
        .await
        .json();
    let connections = report["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 3);
    assert!(
        connections.iter().all(|each| each["problem"].is_null()),
        "{report}"
    );
}

#[tokio::test]
async fn each_way_of_not_reaching_the_vendor_has_its_own_diagnosis() {
    let vendor = vendor().await;
    let ca = vendor.authority().pem();
    let foreign = Authority::new("foreign").unwrap();
    let (refused, unknown) = (nobody(), "https://vendor.invalid".to_owned());
    let good = vendor.origin();
    for (origin, ca, fault, what, parts) in [
        (&unknown, ca, None, "the name", &["vendor.invalid"][..]),
        (&refused, ca, None, "TCP", &["refused"]),
        (
            &good,
            foreign.pem(),
            None,
            "the authority",
            &["certificate", "frontegg.ca_file"],
        ),
        (
            &good,
            ca,
            Some(BadCertificate::Expired),
            "the date",
            &["certificate", "expired"],
        ),
        (
            &good,
            ca,
            Some(BadCertificate::WrongHost),
            "the host",
            &["certificate"],
        ),
    ] {
        vendor.behave();
        if let Some(bad) = fault {
            vendor.misbehave(Fault::Certificate(bad));
        }
        let auth = format!("{origin}/auth/vendor/");
        let world = World::with(&[("identity_url", origin), ("auth_url", &auth), ("ca", ca)]);
        let outcome = run(&["check", "-c", &world.file, "--connect"]).await;
        assert_eq!(outcome.status, Some(1), "{what}: {outcome:?}");
        let failed = outcome
            .stdout
            .lines()
            .filter(|line| line.starts_with("  failed"));
        let failed: Vec<_> = failed.collect();
        assert_eq!(failed.len(), 2, "{what}: {}", outcome.stdout);
        for part in parts {
            assert!(
                failed[0].contains(part),
                "{what}: {part} is not in {}",
                outcome.stdout
            );
        }
        assert_eq!(vendor.tokens_issued(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_wrong_credential_is_told_apart_from_a_way_that_fails() {
    let vendor = vendor().await;
    let world = World::with(&[
        ("identity_url", &vendor.origin()),
        ("auth_url", &vendor.auth_url()),
        ("ca", vendor.authority().pem()),
        ("api_key", "not-the-key"),
    ]);
    let outcome = run(&["check", "-c", &world.file, "--connect", "--format", "json"]).await;
    assert_eq!(outcome.status, Some(1));
    let report = outcome.json();
    assert_eq!(report["valid"], true);
    let tried = report["connections"].as_array().unwrap();
    assert!(
        tried[..2].iter().all(|each| each["problem"].is_null()),
        "{report}"
    );
    let problem = tried[2]["problem"].as_str().unwrap();
    assert!(
        problem.contains("check frontegg.client_id, api_key and region"),
        "{problem}"
    );
    assert!(!outcome.stdout.contains("not-the-key") && !outcome.stderr.contains("not-the-key"));
}

#[tokio::test]
async fn the_keys_of_tokens_are_fetched_as_a_gateway_would() {
    let vendor = vendor().await;
    let world = World::with(&[
        ("identity_url", &vendor.origin()),
        ("auth_url", &vendor.auth_url()),
        ("ca", vendor.authority().pem()),
    ]);
    let accounts = world.path().join("accounts.json");
    let written = fs::read_to_string(&world.file).unwrap();
    let tokens = format!(
        "[subject]\nfrom = 'user-token'\n\
         [subject.user_token]\nissuer = '{}'\naudience = '{}'\n\
         [[callers]]\nname = 'login'\nservice_account = 'shop/login'\n\
         [kubernetes]\nissuer = 'https://cluster.example'\njwks_file = '{}'\n",
        vendor.origin(),
        seed::CLIENT_ID,
        accounts.display(),
    );
    fs::write(&world.file, written + &tokens).unwrap();
    let check = async || run(&["check", "-c", &world.file, "--connect", "--format", "json"]).await;

    fs::write(&accounts, vendor.user_keys().unwrap().to_string()).unwrap();
    let outcome = check().await;
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let report = outcome.json();
    let [.., users, of_cluster] = report["connections"].as_array().unwrap().as_slice() else {
        panic!("{report}");
    };
    let url = format!("{}/.well-known/jwks.json", vendor.origin());
    assert_eq!(users["tried"], format!("keys of users' tokens at {url}"));
    for each in [users, of_cluster] {
        assert_eq!(each["reached"][0], "1 to verify with", "{report}");
    }

    fs::write(&accounts, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#).unwrap();
    vendor.misbehave(Fault::Status(http::StatusCode::NOT_FOUND).at(Endpoint::Jwks));
    let outcome = check().await;
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let report = outcome.json();
    let troubles = report["connections"].as_array().unwrap().iter();
    let troubles: Vec<_> = troubles
        .filter_map(|each| each["problem"].as_str())
        .collect();
    assert_eq!(troubles.len(), 2, "{report}");
    assert_eq!(troubles[0], format!("{url} answered 404 Not Found"));
    assert!(troubles[1].contains("none can be used"), "{report}");
}

//! What changes while the gateway runs: its configuration, and the files that it names.

use std::fs;

use http::{Method, Version};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        certs::{Authority, LOOPBACK},
        vendor::Fault,
        world::seed::{ADA, BARBARA},
    },
};
use rustix::process::Signal;
use serde_json::json;

use super::support::{Call, Client, Rig, eventually, recover};

const RELOAD_SUCCESS: &str = "mfa_gateway_config_reload_success";

/// Tells it to read its configuration again, and waits until it has taken it.
async fn reload(rig: &Rig) {
    let before = rig.event_names().len();
    rig.gateway.signal(Signal::HUP);
    let (name, what) = event_after(rig, before).await;
    assert_eq!(name, "reload", "{what}");
}

/// The same, where it must not be taken; the keys that stand in the way.
async fn refused_reload(rig: &Rig) -> serde_json::Value {
    let before = rig.event_names().len();
    rig.gateway.signal(Signal::HUP);
    let (name, what) = event_after(rig, before).await;
    assert_eq!(name, "reload-refused", "{what}");
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("0"));
    what["keys"].clone()
}

async fn event_after(rig: &Rig, before: usize) -> (String, serde_json::Value) {
    eventually("a record of the reload", || {
        rig.events().into_iter().nth(before)
    })
    .await
}

fn guess(email: &str) -> Call {
    recover(email, "wrong")
}

#[tokio::test]
async fn routes_change_under_connections_that_stand() {
    let rig = Rig::builder()
        .set("routes.allow", "['recover']")
        .start()
        .await;
    let mut first = rig.connect(Version::HTTP_11).await;
    let mut second = rig.connect(Version::HTTP_2).await;
    let devices = Call::of(Operation::UserDevices).on_behalf_of(&ADA);
    let also = devices.clone().http2();
    first
        .send(devices.clone())
        .await
        .unwrap()
        .assert_refused(403, "route-not-allowed");
    second
        .send(also.clone())
        .await
        .unwrap()
        .assert_refused(403, "route-not-allowed");

    rig.edit("['recover']", "['user.devices']");
    reload(&rig).await;
    for _ in 0..2 {
        first
            .send(devices.clone())
            .await
            .unwrap()
            .assert_passed(200);
        second.send(also.clone()).await.unwrap().assert_passed(200);
    }
    rig.call(guess(ADA.email))
        .await
        .assert_refused(403, "route-not-allowed");
    let (_, what) = rig.events().pop().unwrap();
    assert_eq!(what["keys"], json!(["routes.allow"]), "{what}");
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn limits_change_and_what_was_counted_stays() {
    let rig = Rig::builder().quota("email", 2).start().await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    rig.call(guess(ADA.email)).await.assert_passed(401);
    rig.call(guess(ADA.email))
        .await
        .assert_refused(429, "rate-limited");
    rig.call(guess(BARBARA.email)).await.assert_passed(401);
    reload(&rig).await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(429, "rate-limited");

    rig.edit("attempts = 2,", "attempts = 1,");
    reload(&rig).await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(429, "rate-limited");
    rig.call(guess(BARBARA.email))
        .await
        .assert_refused(429, "rate-limited");
    rig.call(guess("new@acme.example")).await.assert_passed(401);
    rig.call(guess("new@acme.example"))
        .await
        .assert_refused(429, "rate-limited");
}

#[tokio::test]
async fn callers_change() {
    let builder = Rig::builder();
    let token = builder.file("console.token", "console-token-one\n");
    let rig = builder.tables("# callers").start().await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let callers = format!("[[callers]]\nname = 'console'\ntoken_file = '{token}'\n");
    rig.edit("# callers", &callers);
    reload(&rig).await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(401, "caller-unknown");
    let known = guess(ADA.email).header("x-mfa-gateway-key", "console-token-one");
    rig.call(known).await.assert_passed(401);
}

#[tokio::test]
async fn a_callers_token_file_is_read_again_when_it_changes() {
    let builder = Rig::builder();
    let token = builder.file("console.token", "console-token-one\n");
    let next = builder.file("console.token.next", "console-token-two\n");
    let rig = builder
        .tables(&format!(
            "[[callers]]\nname = 'console'\ntoken_file = '{token}'\n"
        ))
        .start()
        .await;
    let known = |token: &str| guess(ADA.email).header("x-mfa-gateway-key", token);
    rig.call(known("console-token-one"))
        .await
        .assert_passed(401);
    rig.call(known("console-token-two"))
        .await
        .assert_refused(401, "caller-unknown");
    // what is being written into the configuration meanwhile waits for its signal
    rig.edit("[[callers]]", "routes.allow = 'half a li\n[[callers]]");
    // as Kubernetes does: another file is renamed into its place
    fs::rename(next, token).unwrap();
    let before = rig.event_names().len();
    let (name, what) = event_after(&rig, before).await;
    assert_eq!(
        (name.as_str(), &what["keys"]),
        ("reload", &json!(["callers[0].token_file"]))
    );
    rig.call(known("console-token-two"))
        .await
        .assert_passed(401);
    rig.call(known("console-token-one"))
        .await
        .assert_refused(401, "caller-unknown");
}

#[tokio::test]
async fn the_admin_key_file_is_read_again_when_it_changes() {
    let builder = Rig::builder();
    let key = builder.file("admin.key", "admin-key-one\n");
    let next = builder.file("admin.key.next", "admin-key-two\n");
    let rig = builder
        .set("admin.key_file", &format!("'{key}'"))
        .start()
        .await;
    let admin = Client::Tcp(rig.admin);
    let ask = async |key: &str| {
        let call = Call::new(Method::GET, "/config").header("x-mfa-gateway-key", key);
        admin.send(call).await.unwrap().status.as_u16()
    };
    assert_eq!(
        (ask("admin-key-one").await, ask("admin-key-two").await),
        (200, 403)
    );
    fs::rename(next, key).unwrap();
    let before = rig.event_names().len();
    let (name, _) = event_after(&rig, before).await;
    assert_eq!(name, "reload");
    assert_eq!(
        (ask("admin-key-one").await, ask("admin-key-two").await),
        (403, 200)
    );
}

#[tokio::test]
async fn a_key_that_stays_until_a_restart_is_told_of_once() {
    const TOLD: &str =
        "this file holds another key than at the start: it takes effect at a restart";
    let builder = Rig::builder();
    let limits = builder.file("limits.key", "the first key of limits, 32 bytes");
    let audit = builder.file("audit.key", "the first key of records, 32 bytes");
    let rig = builder
        .set("limits.key_file", &format!("'{limits}'"))
        .env("MFA_GATEWAY__AUDIT__KEY_FILE", &audit)
        .start()
        .await;
    for file in [limits, audit] {
        fs::write(rig.path("next"), "the key that follows it, 32 bytes").unwrap();
        fs::rename(rig.path("next"), file).unwrap();
    }
    rig.gateway.logged(TOLD, 2).await;
    reload(&rig).await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let told = rig.gateway.logged(TOLD, 2).await;
    let told: Vec<_> = told.iter().map(|line| line["key"].clone()).collect();
    assert_eq!(told, ["limits.key_file", "audit.key_file"]);
    let log = rig.gateway.stderr();
    assert!(!log.contains("32 bytes"), "{log}");
}

#[tokio::test]
async fn the_vendors_settings_change_and_an_exchange_under_way_is_finished() {
    let rig = Rig::builder()
        .set("frontegg.environment_id", "'before'")
        .start()
        .await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let slow = Fault::Slow(std::time::Duration::from_millis(800));
    rig.vendor.misbehave(slow.at(Operation::Recover).once());
    rig.vendor.forget();
    let mut connection = rig.connect(Version::HTTP_11).await;
    let call = recover(BARBARA.email, BARBARA.recovery_code.unwrap());
    let exchange = tokio::spawn(async move { connection.send(call).await });
    rig.vendor
        .until(|vendor| vendor.count(Operation::Recover) > 0)
        .await;
    rig.edit("'before'", "'after'");
    reload(&rig).await;
    assert!(!exchange.is_finished());
    let reply = rig.call(guess(ADA.email)).await;
    reply.assert_passed(401);
    assert_eq!(
        rig.received(&reply)[0].header("frontegg-environment-id"),
        Some("after")
    );
    let reply = exchange.await.unwrap().unwrap();
    reply.assert_passed(200);
    assert_eq!(
        rig.received(&reply)[0].header("frontegg-environment-id"),
        Some("before")
    );
}

#[tokio::test]
async fn the_vendors_ca_is_replaced_without_a_signal() {
    let other = Authority::new("another").unwrap();
    let builder = Rig::builder();
    let ca = builder.file("ca.pem", other.pem());
    let rig = builder
        .set("frontegg.ca_file", &format!("'{ca}'"))
        .set("frontegg.request_timeout", "'1s'")
        .set("limits.mode", "'observe'")
        .start()
        .await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(503, "credential-unavailable");
    // what is no CA is refused, by key
    let replace = async |pem: &str, becomes: &str| {
        fs::write(rig.path("next.pem"), pem).unwrap();
        fs::rename(rig.path("next.pem"), &ca).unwrap();
        let what = eventually(becomes, || {
            let mut events = rig.events().into_iter();
            events.find_map(|(name, what)| (name == becomes).then_some(what))
        });
        assert_eq!(what.await["keys"], json!(["frontegg.ca_file"]));
    };
    replace("no CA", "reload-refused").await;
    // the vendor's certificate is signed by this one
    replace(rig.vendor.authority().pem(), "reload").await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
}

#[tokio::test]
async fn a_signal_reads_the_vendors_ca_again_and_new_connections_are_verified_with_it() {
    let rig = Rig::builder()
        .set("frontegg.request_timeout", "'1s'")
        .start()
        .await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let other = Authority::new("another").unwrap();
    fs::write(rig.path("next.pem"), other.pem()).unwrap();
    fs::rename(rig.path("next.pem"), rig.path("vendor-ca.pem")).unwrap();
    reload(&rig).await;
    let mut events = rig.events().into_iter();
    let (_, what) = events.find(|(name, _)| name == "reload").unwrap();
    assert_eq!(what["keys"], json!(["frontegg.ca_file"]), "{what}");
    rig.call(guess(ADA.email))
        .await
        .assert_refused(503, "credential-unavailable");
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing_and_is_told_by_key() {
    let rig = Rig::builder()
        .set("routes.allow", "['recover']")
        .start()
        .await;
    rig.edit("['recover']", "['recovr']\nroutes.alow = []");
    let keys = refused_reload(&rig).await;
    assert_eq!(keys, json!(["routes.alow", "routes.allow"]));
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let log = rig.gateway.stderr();
    assert!(
        log.contains("routes.alow") && log.contains("gateway.toml:"),
        "{log}"
    );

    rig.edit("['recovr']\nroutes.alow = []", "[not toml");
    refused_reload(&rig).await;
    rig.call(guess(ADA.email)).await.assert_passed(401);

    rig.edit("[not toml", "['recover']");
    reload(&rig).await;
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn what_needs_a_restart_is_told_by_key() {
    let rig = Rig::builder()
        .set("limits.max_keys", "1000")
        .set("routes.allow", "['recover']")
        .start()
        .await;
    for (old, new, key) in [
        (
            "listen.address = '127.0.0.1:0'",
            "listen.address = '127.0.0.1:1'",
            "listen.address",
        ),
        (
            "admin.address = '127.0.0.1:0'",
            "admin.address = '127.0.0.1:1'",
            "admin.address",
        ),
        (
            "limits.max_keys = 1000",
            "limits.max_keys = 1001",
            "limits.max_keys",
        ),
        ("/audit.log'", "/other.log'", "audit.output"),
        (
            "telemetry.log_format = 'json'",
            "telemetry.log_format = 'json'\ntelemetry.otlp_endpoint = 'http://127.0.0.1:1'",
            "telemetry.otlp_endpoint",
        ),
    ] {
        rig.edit(old, new);
        // nothing of it is taken, what could be changed neither
        rig.edit("['recover']", "['user.devices']");
        assert_eq!(refused_reload(&rig).await, json!([key]));
        rig.call(guess(&format!("{key}@acme.example")))
            .await
            .assert_passed(401);
        rig.edit("['user.devices']", "['recover']");
        rig.edit(new, old);
    }
    assert!(!rig.path("other.log").exists());
    reload(&rig).await;
}

#[tokio::test]
async fn new_connections_are_greeted_with_a_changed_certificate() {
    let rig = Rig::builder().tls().start().await;
    let mut standing = rig.connect(Version::HTTP_11).await;
    standing
        .send(guess(ADA.email))
        .await
        .unwrap()
        .assert_passed(401);
    let Client::Tls(address, _) = rig.client else {
        panic!("no TLS");
    };
    let authority = Authority::new("another").unwrap();
    let client = Client::Tls(address, authority.der().clone());
    assert!(client.connect(Version::HTTP_11).await.is_err());

    let identity = authority.issue(LOOPBACK).unwrap();
    for (name, pem) in [
        ("certificate-key.pem", &identity.key_pem),
        ("certificate.pem", &identity.certificate_pem),
    ] {
        fs::write(rig.path("next.pem"), pem).unwrap();
        fs::rename(rig.path("next.pem"), rig.path(name)).unwrap();
    }
    let began = std::time::Instant::now();
    while client.connect(Version::HTTP_11).await.is_err() {
        assert!(began.elapsed() < super::support::patience());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    client
        .send(guess(ADA.email).http2())
        .await
        .unwrap()
        .assert_passed(401);
    standing
        .send(guess(ADA.email))
        .await
        .unwrap()
        .assert_passed(401);
}

#[tokio::test]
async fn the_admin_listener_shows_what_is_in_force() {
    let rig = Rig::builder().set("limits.mode", "'enforce'").start().await;
    let shown = async || {
        let config = rig.ask_admin(Method::GET, "/config").await.json();
        let keys = config["configuration"].as_array().unwrap().clone();
        let mode = keys.into_iter().find(|key| key["key"] == "limits.mode");
        mode.unwrap()["value"].clone()
    };
    assert_eq!(shown().await, "enforce");
    rig.edit("'enforce'", "'observe'");
    reload(&rig).await;
    assert_eq!(shown().await, "observe");
}

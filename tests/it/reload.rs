//! What changes while the gateway runs: its configuration, and the files that it names.

mod audit;
mod files;

use http::{Method, StatusCode, Version};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Endpoint, Fault},
        world::seed::{ADA, BARBARA, CLIENT_ID},
    },
};
use rustix::process::Signal;
use serde_json::json;

use super::support::{Call, Rig, eventually, recover};

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
        .set("limits.key", "'a key of limits for tests, 32 bytes'")
        .set("audit.chain", "true")
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
        ("key of limits for", "key of limits of", "limits.key"),
        ("/audit.log'", "/other.log'", "audit.output"),
        ("an audit key", "no audit key", "audit.key"),
        ("audit.chain = true", "audit.chain = false", "audit.chain"),
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

#[tokio::test]
async fn the_logs_form_changes() {
    let rig = Rig::start().await;
    let told = |count| rig.gateway.logged("configuration reloaded", count);
    reload(&rig).await;
    assert_eq!(told(1).await.len(), 1);
    rig.edit("'json'", "'text'");
    reload(&rig).await;
    let text = |log: &String| log.contains("INFO configuration reloaded changed=");
    eventually("a line of text", || Some(rig.gateway.stderr()).filter(text)).await;
    rig.edit("'text'", "'json'");
    reload(&rig).await;
    assert_eq!(told(2).await.len(), 2);
}

#[tokio::test]
async fn a_credential_that_is_good_outlives_a_reload_while_there_is_no_other() {
    let rig = Rig::builder()
        .set("frontegg.request_timeout", "'2s'")
        .start()
        .await;
    let reload = async |times: usize| {
        rig.gateway.signal(Signal::HUP);
        let reloads = || {
            rig.events()
                .iter()
                .filter(|(name, _)| name == "reload")
                .count()
        };
        eventually("a reload", || (reloads() == times).then_some(())).await;
    };
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let down = Fault::Status(StatusCode::BAD_GATEWAY);
    rig.vendor.misbehave(down.at(Endpoint::TokenExchange));
    rig.edit("'2s'", "'1s'");
    reload(1).await;
    rig.gateway.logged("credential not renewed", 1).await;
    rig.call(guess(ADA.email)).await.assert_passed(401);
    // another environment's would be of no use
    rig.edit(CLIENT_ID, "another");
    reload(2).await;
    rig.call(guess(ADA.email))
        .await
        .assert_refused(503, "credential-unavailable");
}

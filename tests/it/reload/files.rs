//! The files that the configuration names, replaced while the gateway runs.

use std::{fs, path::Path};

use http::{Method, Version};
use mfa_gateway::sandbox::{
    certs::{Authority, LOOPBACK},
    world::seed::ADA,
};
use rustix::{
    fs::{CWD, Mode, OFlags, mkfifoat, open},
    process::Signal,
};
use serde_json::json;

use super::{RELOAD_SUCCESS, event_after, guess, refused_reload, reload};
use crate::support::{Call, Client, Rig, eventually, patience};

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
        // as if through a proxy, or being on this machine would do
        let call = Call::new(Method::GET, "/config")
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-mfa-gateway-key", key);
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
async fn what_could_not_be_taken_is_tried_again() {
    let builder = Rig::builder().tls();
    let token = builder.file("console.token", "console-token-one\n");
    let rig = builder
        .tables(&format!(
            "[[callers]]\nname = 'console'\ntoken_file = '{token}'\n"
        ))
        .start()
        .await;
    let before = rig.event_names().len();
    let event = async |nth: usize| {
        let (name, what) = event_after(&rig, before + nth).await;
        (name, what["keys"].clone())
    };
    let renewed = ("reload".to_owned(), json!(["listen.tls.certificate_file"]));
    // the first look, which takes files with a CA once more, is over
    touch(&rig.path("certificate.pem"));
    assert_eq!(event(0).await, renewed);
    fs::rename(&token, rig.path("away")).unwrap();
    let refused = (
        "reload-refused".to_owned(),
        json!(["callers[0].token_file"]),
    );
    assert_eq!(event(1).await, refused);
    // a CA changes while something else can't be taken; the certificate's record shows that both
    // were looked at
    let ca = rig.path("vendor-ca.pem");
    let mut both = fs::read_to_string(&ca).unwrap();
    both.push_str(Authority::new("another").unwrap().pem());
    fs::write(&ca, both).unwrap();
    touch(&rig.path("certificate.pem"));
    assert_eq!(event(2).await, renewed);
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("0"));
    fs::rename(rig.path("away"), &token).unwrap();
    let both = json!(["callers[0].token_file", "frontegg.ca_file"]);
    assert_eq!(event(3).await, ("reload".to_owned(), both));
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_file_that_is_taken_hides_no_configuration_that_is_not() {
    let rig = Rig::builder()
        .tls()
        .set("routes.allow", "['recover']")
        .start()
        .await;
    rig.edit("['recover']", "['recovr']");
    assert_eq!(refused_reload(&rig).await, json!(["routes.allow"]));
    let before = rig.event_names().len();
    touch(&rig.path("certificate.pem"));
    assert_eq!(event_after(&rig, before).await.0, "reload");
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("0"));
    rig.edit("['recovr']", "['recover']");
    reload(&rig).await;
    assert_eq!(rig.metric(RELOAD_SUCCESS).await.as_deref(), Some("1"));
}

/// Writes a file anew as it is.
fn touch(path: &Path) {
    fs::write(path, fs::read(path).unwrap()).unwrap();
}

#[tokio::test]
async fn a_reload_is_refused_where_a_certificate_cannot_be_used() {
    let rig = Rig::builder().tls().start().await;
    let whole = fs::read(rig.path("certificate.pem")).unwrap();
    fs::write(rig.path("certificate.pem"), "nonsense").unwrap();
    assert_eq!(
        refused_reload(&rig).await,
        json!(["listen.tls.certificate_file"])
    );
    rig.call(guess(ADA.email)).await.assert_passed(401);
    let before = rig.event_names().len();
    fs::write(rig.path("certificate.pem"), whole).unwrap();
    let (name, _what) = event_after(&rig, before).await;
    assert_eq!(name, "reload");
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
    let mut told: Vec<_> = told
        .iter()
        .map(|line| line["key"].as_str().unwrap())
        .collect();
    // a look may fall between the two renames, and then it tells of the second one first
    told.sort_unstable();
    assert_eq!(told, ["audit.key_file", "limits.key_file"]);
    let log = rig.gateway.stderr();
    assert!(!log.contains("32 bytes"), "{log}");
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
        assert!(began.elapsed() < patience());
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
async fn a_file_that_hangs_keeps_nobody_from_stopping_the_gateway() {
    let mut rig = Rig::start().await;
    let key = rig.path("api-key");
    fs::remove_file(&key).unwrap();
    mkfifoat(CWD, &key, Mode::RUSR | Mode::WUSR).unwrap();
    rig.gateway.signal(Signal::HUP);
    // a pipe without a reader can't be opened so: somebody waits for its text, as long as it is open
    let _silent = eventually("it is being read", || {
        open(&key, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok()
    })
    .await;
    rig.gateway.signal(Signal::TERM);
    assert_eq!(rig.gateway.end().await.code(), Some(0));
}

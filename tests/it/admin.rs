//! The admin listener: probes, metrics, and who may use the guarded endpoints.

use std::{collections::BTreeSet, fs, time::Duration};

use http::Method;
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Endpoint, Fault},
        world::seed::{ADA, BARBARA},
    },
};
use rustix::process::Signal;
use serde_json::json;

use super::support::{Builder, Call, Client, Reply, Rig, recover};

async fn status(rig: &Rig, method: Method, target: &str) -> u16 {
    rig.ask_admin(method, target).await.status.as_u16()
}

async fn ask(rig: &Rig, call: Call) -> Reply {
    Client::Tcp(rig.admin).send(call).await.unwrap()
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[tokio::test]
async fn anyone_may_ask_how_it_is() {
    let rig = Rig::start().await;
    for target in ["/livez", "/startupz", "/readyz"] {
        assert_eq!(rig.until_probe(target, 200).await, "ok\n");
        let reply = rig
            .ask_admin(Method::GET, &format!("{target}?verbose"))
            .await;
        if target != "/livez" {
            let report = reply.json();
            assert_eq!(report["status"], "ok");
            let checks = report["checks"].as_object().unwrap();
            assert!(
                checks.len() > 1 && checks.values().all(|check| check == "ok"),
                "{report}"
            );
        }
        assert_eq!(status(&rig, Method::HEAD, target).await, 200);
        let wrong = rig.ask_admin(Method::POST, target).await;
        assert_eq!(
            (wrong.status.as_u16(), wrong.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    let wrong = rig.ask_admin(Method::GET, "/quitquitquit").await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.header("allow")),
        (405, Some("POST"))
    );
    let version = rig.ask_admin(Method::GET, "/version").await;
    assert_eq!(version.json()["version"], env!("CARGO_PKG_VERSION"));
    for target in [
        "/",
        "/livez/",
        "/metrics/x",
        "/identity/resources/users/v1/mfa/devices",
    ] {
        assert_eq!(status(&rig, Method::GET, target).await, 404, "{target}");
    }
}

#[tokio::test]
async fn a_rejected_credential_holds_the_start_back_until_it_is_mended() {
    let rig = Rig::builder()
        .start_before(|vendor| vendor.rotate_secret("another"))
        .await;
    let report = rig.until_probe("/startupz?verbose", 503).await;
    assert!(report.contains(r#""credential":"failed""#), "{report}");
    // a pod that serves already isn't taken out for it
    assert_eq!(status(&rig, Method::GET, "/readyz").await, 200);
    fs::write(rig.path("api-key"), "another").unwrap();
    rig.until_probe("/startupz", 200).await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_holds_nothing_back() {
    for fault in [
        Fault::RefuseConnections.into(),
        Fault::Hang.at(Endpoint::TokenExchange),
        Fault::Status(http::StatusCode::BAD_GATEWAY).at(Endpoint::TokenExchange),
    ] {
        let rig = Rig::builder()
            .set("frontegg.request_timeout", "'500ms'")
            .start_before(|vendor| vendor.misbehave(fault))
            .await;
        rig.call(recover(ADA.email, "wrong"))
            .await
            .assert_refused(503, "credential-unavailable");
        let failures = r#"mfa_gateway_credential_refreshes_total{result="failure"}"#;
        assert_ne!(rig.metric(failures).await.as_deref(), Some("0"));
        for target in ["/livez", "/startupz", "/readyz"] {
            assert_eq!(
                status(&rig, Method::GET, target).await,
                200,
                "{fault:?} {target}"
            );
        }
    }
}

#[tokio::test]
async fn it_stays_ready_when_the_vendor_goes_away() {
    let rig = Rig::start().await;
    rig.call(recover(ADA.email, "wrong"))
        .await
        .assert_passed(401);
    rig.vendor.misbehave(Fault::RefuseConnections);
    rig.vendor.close_idle_connections();
    rig.vendor
        .until(|vendor| vendor.open_connections() == 0)
        .await;
    rig.call(recover(ADA.email, "wrong"))
        .await
        .assert_refused(502, "upstream-unreachable");
    for target in ["/livez", "/startupz", "/readyz"] {
        assert_eq!(status(&rig, Method::GET, target).await, 200, "{target}");
    }
}

#[tokio::test]
async fn it_is_not_ready_while_nothing_can_be_audited() {
    let rig = Rig::start().await;
    let (file, aside) = (rig.path("audit.log"), rig.path("aside.log"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    rig.gateway.signal(Signal::USR1);
    let client = rig.client.clone();
    let began = std::time::Instant::now();
    loop {
        let reply = client.send(recover(ADA.email, "wrong")).await.unwrap();
        if reply.status == 503 {
            reply.assert_refused(503, "audit-unavailable");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = rig.until_probe("/readyz?verbose", 503).await;
    assert!(report.contains(r#""audit":"failed""#), "{report}");
    let up = format!(
        r#"mfa_gateway_audit_output_up{{output="{}"}}"#,
        file.display()
    );
    rig.until_metric(&up, "0").await;
    assert_eq!(status(&rig, Method::GET, "/livez").await, 200);
    fs::remove_dir(&file).unwrap();
    rig.gateway.signal(Signal::USR1);
    rig.until_probe("/readyz", 200).await;
    rig.until_metric(&up, "1").await;
}

/// Every metric, with its type.
const FAMILIES: [(&str, &str); 15] = [
    ("audit_appends", "counter"),
    ("audit_output_up", "gauge"),
    ("audit_records", "counter"),
    ("build", "info"),
    ("config_reload_success", "gauge"),
    ("connections", "gauge"),
    ("credential_expiry_timestamp_seconds", "gauge"),
    ("credential_refreshes", "counter"),
    ("in_flight_requests", "gauge"),
    ("limit_decisions", "counter"),
    ("limit_keys", "gauge"),
    ("limit_store_up", "gauge"),
    ("request_duration_seconds", "histogram"),
    ("requests", "counter"),
    ("upstream_duration_seconds", "histogram"),
];

/// Families of `OpenMetrics` text, name and type, after its rules were checked: each sample
/// belongs to the family before it, each family is there once, `# EOF` ends it.
fn families(text: &str) -> BTreeSet<(String, String)> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut families = BTreeSet::new();
    let mut current = (String::new(), String::new());
    for line in body.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                current = (name.to_owned(), kind.to_owned());
                assert!(families.insert(current.clone()), "{name} twice");
            }
            ["#", "HELP" | "UNIT", ..] => {}
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = sample.split('{').next().unwrap();
                let suffixes: &[&str] = match current.1.as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "info" => &["_info"],
                    other => panic!("type {other}"),
                };
                let suffix = name.strip_prefix(current.0.as_str());
                assert!(
                    suffix.is_some_and(|suffix| suffixes.contains(&suffix)),
                    "{line}"
                );
            }
        }
    }
    families
}

#[tokio::test]
async fn every_metric_is_there_and_none_names_a_person() {
    let rig = Rig::builder().quota("email", 1).all_routes().start().await;
    let wrong = recover(BARBARA.email, "wrong");
    rig.call(wrong.clone()).await.assert_passed(401);
    rig.call(wrong).await.assert_refused(429, "rate-limited");
    rig.call(Call::of(Operation::UserDevices).on_behalf_of(&ADA))
        .await
        .assert_passed(200);
    rig.call(Call::new(Method::GET, "/elsewhere"))
        .await
        .assert_refused(404, "route-not-found");

    let metrics = rig.ask_admin(Method::GET, "/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = text(&metrics);
    let expected = FAMILIES.map(|(name, kind)| (format!("mfa_gateway_{name}"), kind.to_owned()));
    assert_eq!(families(&text), expected.into());
    for secret in [
        BARBARA.email,
        "acme",
        ADA.id,
        ADA.tenant,
        "/elsewhere",
        "/identity",
        "wrong",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for (sample, value) in [
        (
            r#"requests_total{operation="recover",status="401",reason=""}"#,
            "1",
        ),
        (
            r#"requests_total{operation="recover",status="429",reason="rate-limited"}"#,
            "1",
        ),
        (
            r#"requests_total{operation="user.devices",status="200",reason=""}"#,
            "1",
        ),
        (
            r#"limit_decisions_total{limit="email",decision="refused"}"#,
            "1",
        ),
        (
            r#"upstream_duration_seconds_count{operation="recover"}"#,
            "1",
        ),
        ("config_reload_success", "1"),
        ("limit_keys", "1"),
    ] {
        let sample = format!("mfa_gateway_{sample}");
        assert_eq!(
            rig.metric(&sample).await.as_deref(),
            Some(value),
            "{sample} in {text}"
        );
    }
}

#[tokio::test]
async fn neither_a_browser_page_nor_a_proxy_gets_what_is_guarded() {
    let mut rig = Rig::builder().set("admin.quit", "true").start().await;
    let calls = [
        Call::new(Method::GET, "/config"),
        Call::new(Method::POST, "/quitquitquit"),
    ];
    for call in &calls {
        for host in ["evil.example", "127.0.0.1.nip.io:9090", "10.0.0.1"] {
            let reply = ask(&rig, call.clone().header("host", host)).await;
            assert_eq!(reply.status, 403, "{host}");
            assert!(text(&reply).contains("admin.key"), "{reply:?}");
        }
        for origin in ["https://evil.example", "null", "http://localhost:9090"] {
            let reply = ask(&rig, call.clone().header("origin", origin)).await;
            assert_eq!(reply.status, 403, "{origin}");
        }
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
        ] {
            let reply = ask(&rig, call.clone().header(name, value)).await;
            assert_eq!(reply.status, 403, "{name}: {value}");
        }
        let twice = call
            .clone()
            .header("host", "localhost")
            .also("host", "localhost");
        assert_eq!(ask(&rig, twice).await.status, 403);
    }
    for host in ["localhost:9090", "127.0.0.1", "[::1]:1"] {
        let call = calls[0].clone().header("host", host);
        assert_eq!(ask(&rig, call).await.status, 200, "{host}");
    }
    assert_eq!(ask(&rig, calls[1].clone()).await.status, 200);
    assert_eq!(rig.gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn ending_it_by_http_is_off_unless_switched_on() {
    let rig = Rig::start().await;
    let reply = rig.ask_admin(Method::POST, "/quitquitquit").await;
    assert_eq!(reply.status, 404);
    assert!(text(&reply).contains("admin.quit = true"), "{reply:?}");
    rig.call(recover(ADA.email, "wrong"))
        .await
        .assert_passed(401);
}

#[tokio::test]
async fn the_key_opens_what_is_guarded_from_anywhere() {
    const KEY: &str = "an admin key for tests";
    let keyed = |builder: Builder| builder.set("admin.key", &format!("'{KEY}'"));
    let rig = keyed(Rig::builder()).start().await;
    let config = Call::new(Method::GET, "/config").header("host", "gateway.internal");
    assert_eq!(ask(&rig, config.clone()).await.status, 403);
    let known = config.clone().header("x-mfa-gateway-key", KEY);
    let shown = ask(&rig, known.clone()).await;
    assert_eq!(shown.status, 200);
    assert!(!text(&shown).contains(KEY), "it shows its own key");
    let wrong = config.header("x-mfa-gateway-key", "an admin key for test");
    assert_eq!(ask(&rig, wrong.clone()).await.status, 403);
    let from_here = wrong.header("host", "localhost");
    assert_eq!(ask(&rig, from_here).await.status, 200);
    let twice = known.also("x-mfa-gateway-key", KEY);
    assert_eq!(ask(&rig, twice).await.status, 403);
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets() {
    let rig = Rig::builder()
        .set("limits.key", "'a limits key of thirty-two bytes'")
        .start()
        .await;
    let shown = rig.ask_admin(Method::GET, "/config").await;
    let body = text(&shown);
    let secrets = [
        "an audit key",
        "a limits key",
        mfa_gateway::sandbox::world::seed::SECRET,
    ];
    for secret in secrets {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
    let keys = shown.json()["configuration"].as_array().unwrap().clone();
    let value = |name: &str| {
        let found = keys.iter().find(|key| key["key"] == name);
        found.unwrap_or_else(|| panic!("{name} in {body}"))["value"].clone()
    };
    assert_eq!(value("audit.key"), "[redacted]");
    assert_eq!(value("limits.key"), "[redacted]");
    assert_eq!(value("listen.address"), json!(["127.0.0.1:0"]));
}

//! Nothing that is secret is ever told: each input holds a canary, and no output may.

use std::fs;

use http::Method;
use mfa_gateway::{
    route::{FieldKind, Operation},
    sandbox::{
        vendor::{BadCertificate, Credentials, Endpoint, Fault},
        world::seed::{BARBARA, CLIENT_ID},
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Call, Client, Collector, Raw, Reply, Rig, eventually};

/// In every secret, and nowhere else.
const CANARY: &str = "c4n4ry";

fn canary(what: &str) -> String {
    format!("{CANARY}-{what}")
}

/// Headers that may hold secrets.
fn planted(call: Call) -> Call {
    let mut call = call.header("x-mfa-gateway-key", &canary("caller"));
    for name in [
        "authorization",
        "proxy-authorization",
        "x-access-token",
        "x-api-key",
        "x-anything",
        "x-frontegg-headers-verifier",
        "user-agent",
        "accept-language",
        "traceparent",
        "tracestate",
    ] {
        call = call.header(name, &canary(name));
    }
    let cookies = format!(
        "fe_refresh={}; session={}",
        canary("refresh"),
        canary("session")
    );
    call.header("cookie", &cookies)
}

/// An operation with a canary in each of its fields.
fn call_of(operation: Operation) -> Call {
    let mut call = planted(Call::of(operation));
    for field in operation.facts().fields {
        let value: Value = match field.kind {
            FieldKind::Any | FieldKind::Phone => continue,
            FieldKind::Email => format!("{CANARY}@acme.example").into(),
            FieldKind::Object => json!({"id": canary("object")}),
            FieldKind::Login | FieldKind::Secret | FieldKind::Text => canary(field.name).into(),
        };
        call = call.with(field.name, value);
    }
    if operation == Operation::LoginRememberDevice {
        let target = call.target.replace("token-1", &canary("query"));
        call = call.target(&target);
    }
    call
}

/// Calls that are refused for something in them that is a secret, or may be one.
fn refused() -> Vec<Call> {
    let recover = || call_of(Operation::Recover);
    let path = &Call::of(Operation::Recover).target;
    vec![
        recover().body(format!(
            r#"{{"recoveryCode":"{CANARY}","email":"{CANARY}"}}"#
        )),
        recover().body(format!(r#"{{"{CANARY}":1,"{CANARY}":2}}"#)),
        recover().body(format!(r#"{{"recoveryCode": {CANARY}"#)),
        recover().body(CANARY),
        recover().with(CANARY, CANARY),
        planted(Call::of(Operation::LoginSmsEnroll)).with("phoneNumber", CANARY),
        recover().header("content-type", CANARY),
        recover().header(
            "content-type",
            &format!("application/json; charset={CANARY}"),
        ),
        recover().header("origin", &format!("https://{CANARY}.example")),
        recover().header("connection", &format!("authorization, {CANARY}")),
        recover().header("upgrade", CANARY),
        recover().header("x-mfa-gateway-key", &canary("wrong")),
        recover().host(&format!("{CANARY}.example")),
        recover().host(&format!("{CANARY}@localhost")),
        recover().target(&format!("{path}?{CANARY}={CANARY}")),
        recover().target(&format!("{path}/{CANARY}")),
        recover().target(&format!("/{CANARY}?{CANARY}")),
        recover().method(Method::from_bytes(CANARY.to_uppercase().as_bytes()).unwrap()),
        recover().body(CANARY.repeat(100_000)),
        planted(Call::of(Operation::UserDevices))
            .header("frontegg-user-id", &format!("{CANARY} {CANARY}")),
    ]
}

/// The answers to every call and fault that there is, in both versions.
async fn provoke(rig: &Rig) -> Vec<Reply> {
    let mut replies = Vec::new();
    for &operation in Operation::ALL {
        replies.push(rig.call(call_of(operation)).await);
        replies.push(rig.call(call_of(operation).http2()).await);
    }
    for call in refused() {
        replies.push(rig.call(call.clone()).await);
        let connection_only = ["connection", "upgrade"]
            .iter()
            .any(|name| call.headers.contains_key(*name));
        if !connection_only {
            replies.push(rig.call(call.http2()).await);
        }
    }
    for fault in [
        Fault::Reset,
        Fault::Close,
        Fault::Hang,
        Fault::Large(2 << 20),
        Fault::SwitchingProtocols,
        Fault::Status(http::StatusCode::UNAUTHORIZED),
        Fault::Certificate(BadCertificate::Foreign),
    ] {
        rig.vendor.misbehave(
            Fault::Status(http::StatusCode::BAD_GATEWAY)
                .at(Endpoint::TokenExchange)
                .once(),
        );
        rig.vendor.misbehave(fault);
        for operation in [Operation::LoginVerify, Operation::UserDevices] {
            rig.vendor.close_idle_connections();
            replies.push(rig.call(call_of(operation)).await);
        }
        rig.vendor.behave();
    }
    replies
}

/// The answers to what can't be read as a request at all.
async fn provoke_with_bytes(rig: &Rig) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for bytes in [
        format!("{CANARY}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\n{CANARY}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: {CANARY}\0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {CANARY}\r\n\r\n"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{CANARY}{CANARY}{CANARY}"),
    ] {
        let mut connection = Raw::open(&rig.client).await;
        connection.send(bytes).await;
        answers.push(connection.end().await);
    }
    answers
}

/// A gateway all of whose secrets are canaries.
async fn start(collector: &Collector) -> Rig {
    let builder = Rig::builder();
    let key = builder.file("api-key", &canary("api-key"));
    builder
        .all_routes()
        .env("RUST_LOG", "trace")
        // stronger than the file
        .env("FRONTEGG_API_KEY", &canary("environment"))
        .env("UNRELATED", &canary("unrelated"))
        .set("frontegg.api_key_file", &format!("'{key}'"))
        .set("telemetry.otlp_endpoint", &collector.endpoint())
        .set("frontegg.request_timeout", "'1s'")
        .set("listen.header_timeout", "'300ms'")
        .set("limits.mode", "'observe'")
        .set(
            "limits.key",
            &format!("'{}-{}'", canary("limits"), "x".repeat(32)),
        )
        .set(
            "audit.key",
            &format!("'{}-{}'", canary("audit"), "x".repeat(32)),
        )
        .set(
            "admin.key",
            &format!("'{}-{}'", canary("admin"), "x".repeat(32)),
        )
        .tables(&format!(
            "[[callers]]\nname = 'app'\ntoken = '{}'\n",
            canary("caller")
        ))
        .vendor(|vendor| {
            vendor.credentials = Credentials {
                client_id: CLIENT_ID.to_owned(),
                secret: canary("environment"),
            };
            vendor.world.user_mut(BARBARA.id).unwrap().email = format!("{CANARY}@acme.example");
            vendor.world.user_mut(BARBARA.id).unwrap().recovery_code = Some(canary("recoveryCode"));
        })
        .start()
        .await
}

/// Configurations that are no good, each with a secret beside the mistake.
async fn reload_badly(rig: &Rig) {
    let good = fs::read_to_string(rig.path("gateway.toml")).unwrap();
    for (count, bad) in [
        format!("frontegg.api_key = {CANARY}\n{good}"),
        format!("frontegg.api_keyy = '{CANARY}'\n{good}"),
        format!("{good}\n[[callers]]\nname = 'x'\ntoken = '{CANARY} {CANARY}'\n"),
        format!("{good}\n[frontegg]\napi_key = '{CANARY}'\n"),
    ]
    .iter()
    .enumerate()
    {
        fs::write(rig.path("gateway.toml"), bad).unwrap();
        rig.gateway.signal(Signal::HUP);
        let refused = || rig.audit.events("reload-refused") > count;
        eventually("a refused reload", || refused().then_some(())).await;
    }
}

/// What the admin listener tells, to anyone and to who holds its key.
async fn asked(rig: &Rig) -> Vec<(String, Vec<u8>)> {
    let mut told = Vec::new();
    for target in [
        "/metrics",
        "/config",
        "/readyz?verbose",
        "/startupz?verbose",
        "/version",
    ] {
        let call = Call::new(Method::GET, target);
        let open = Client::Tcp(rig.admin).send(call.clone()).await.unwrap();
        let key = format!("{}-{}", canary("admin"), "x".repeat(32));
        let shown = Client::Tcp(rig.admin)
            .send(call.header("x-mfa-gateway-key", &key))
            .await
            .unwrap();
        assert!(shown.status.is_success(), "{target}: {shown:?}");
        told.push((target.to_owned(), open.body.into()));
        told.push((target.to_owned(), shown.body.into()));
    }
    told
}

/// All that a collector was sent.
fn collected(collector: &Collector) -> Vec<(String, Vec<u8>)> {
    let mut told = Vec::new();
    for path in ["/v1/logs", "/v1/traces"] {
        let sent = collector.sent_to(path);
        assert!(!sent.is_empty(), "the collector got nothing at {path}");
        for (head, body) in sent {
            told.push((format!("a head to {path}"), head.into()));
            told.push((format!("a message to {path}"), body.into()));
        }
    }
    told
}

#[tokio::test]
async fn no_secret_is_ever_told() {
    let collector = Collector::start().await;
    let mut rig = start(&collector).await;
    let mut told: Vec<(String, Vec<u8>)> = Vec::new();
    for reply in provoke(&rig).await {
        told.push((
            "an answer".to_owned(),
            format!("{:?}", reply.headers).into(),
        ));
        told.push(("an answer".to_owned(), reply.body.into()));
    }
    let devices = call_of(Operation::UserDevices).on_behalf_of(&BARBARA);
    rig.call(devices).await.assert_passed(200);
    for answer in provoke_with_bytes(&rig).await {
        told.push(("an answer to bytes".to_owned(), answer));
    }
    reload_badly(&rig).await;
    told.extend(asked(&rig).await);
    told.push(("the process list".to_owned(), rig.gateway.command_line()));
    rig.gateway.signal(Signal::TERM);
    rig.gateway.end().await;
    told.push(("stdout".to_owned(), rig.gateway.stdout().into()));
    told.push(("stderr".to_owned(), rig.gateway.stderr().into()));
    told.push((
        "the audit log".to_owned(),
        fs::read(rig.path("audit.log")).unwrap(),
    ));

    told.extend(collected(&collector));

    let received = rig.vendor.received();
    let tokens: Vec<_> = received
        .iter()
        .filter_map(|received| received.header("authorization")?.strip_prefix("Bearer "))
        .collect();
    assert!(!tokens.is_empty());
    for (output, bytes) in told {
        let text = String::from_utf8_lossy(&bytes);
        let secrets = text.to_lowercase();
        if let Some(at) = secrets.find(CANARY) {
            let around = &secrets[at.saturating_sub(300)..(at + 100).min(secrets.len())];
            panic!("{output} tells a secret: {around}");
        }
        assert!(
            !tokens.iter().any(|token| text.contains(token)),
            "{output} tells a token"
        );
    }
}

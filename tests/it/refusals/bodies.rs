//! What is no body for an operation.

use http::Method;
use mfa_gateway::route::{FieldKind, Operation};
use serde_json::{Value, json};

use crate::support::{Builder, Call, Raw, Rig, recover};

fn everything() -> Builder {
    Rig::builder().all_routes()
}

#[tokio::test]
async fn no_operation_takes_an_empty_proof() {
    let rig = everything().start().await;
    for &operation in Operation::ALL {
        let facts = operation.facts();
        if facts.method == Method::GET {
            continue;
        }
        for field in facts.fields {
            let good = Call::of(operation);
            let body: Value = serde_json::from_slice(&good.body).unwrap();
            let mut without = body.clone();
            without.as_object_mut().unwrap().remove(field.name);
            let mut bad = Vec::new();
            if field.required {
                bad.push(good.clone().json(&without));
            }
            match field.kind {
                FieldKind::Any => {}
                FieldKind::Email
                | FieldKind::Login
                | FieldKind::Phone
                | FieldKind::Secret
                | FieldKind::Text => {
                    let empty = [
                        json!(""),
                        json!(null),
                        json!(0),
                        json!([]),
                        json!({}),
                        json!(["x"]),
                    ];
                    bad.extend(empty.map(|value| good.clone().with(field.name, value)));
                }
                FieldKind::Object => {
                    let empty = [json!({}), json!(null), json!("x"), json!([{"a": 1}])];
                    bad.extend(empty.map(|value| good.clone().with(field.name, value)));
                }
            }
            for call in bad {
                let body = call.body.clone();
                let reply = rig.call(call).await;
                assert_eq!(reply.status, 400, "{} {body:?}", facts.name);
                reply.assert_refused(400, "invalid-body");
            }
        }
        if !facts.takes_empty_body() {
            for body in ["", "{}"] {
                let reply = rig.call(Call::of(operation).body(body)).await;
                reply.assert_refused(400, "invalid-body");
            }
        }
    }
}

#[tokio::test]
async fn a_body_has_one_reading() {
    let rig = everything().start().await;
    let good = r#"{"token":"1"}"#;
    for body in [
        r#"{"token":"1"}{"token":"2"}"#,
        r#"{"token":"1"} x"#,
        r#"{"token":"1","token":"1"}"#,
        r#"{"token":"1","\u0074oken":"2"}"#,
        r#"{"token":"1","more":{"a":1,"a":2}}"#,
        r#"{"token":"1","more":[{"a":1,"\u0061":2}]}"#,
        r#"[{"token":"1"}]"#,
        r#""token""#,
        "null",
        "{'token':'1'}",
        r#"{"token":"1",}"#,
        r#"{"token":"1" /* x */}"#,
        "\u{feff}{\"token\":\"1\"}",
        "{\"token\":\"1\n\"}",
        r#"{"token":"\ud800"}"#,
        "token=1",
        "{",
    ] {
        let reply = rig.call(Call::of(Operation::UserDisable).body(body)).await;
        assert_eq!(reply.status, 400, "{body}");
        reply.assert_refused(400, "invalid-body");
    }
    let not_utf8 = b"{\"token\":\"\xff\"}".as_slice();
    let reply = rig
        .call(Call::of(Operation::UserDisable).body(not_utf8))
        .await;
    reply.assert_refused(400, "invalid-body");
    let deep = format!(
        r#"{{"token":"1","more":{}{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let reply = rig.call(Call::of(Operation::UserDisable).body(deep)).await;
    reply.assert_refused(400, "invalid-body");
    let reply = rig.call(Call::of(Operation::UserDisable).body(good)).await;
    assert_eq!(reply.code(), None);
}

#[tokio::test]
async fn a_recovery_with_a_field_that_is_not_known_is_refused() {
    let rig = Rig::builder()
        .set("routes.extra_fields.recover", "['captcha']")
        .start()
        .await;
    let reply = rig
        .call(recover("a@b.example", "x").with("Email", "c@d.example"))
        .await;
    reply.assert_refused(400, "invalid-body");
    let reply = rig
        .call(recover("a@b.example", "x").with("captcha", json!({"v": [1]})))
        .await;
    reply.assert_passed(401);
    assert_eq!(rig.received(&reply)[0].json()["captcha"], json!({"v": [1]}));
}

#[tokio::test]
async fn what_is_no_email_address_is_refused_and_not_guessed_at() {
    let rig = Rig::start().await;
    let long = format!("{}@example.com", "a".repeat(250));
    for email in [
        "",
        "ada",
        "@acme.example",
        "ada@",
        "ada@@acme.example",
        "a@b@acme.example",
        "ada@acme.example,eve@evil.example",
        "ada@acme.example;eve@evil.example",
        "<ada@acme.example>",
        "Ada <ada@acme.example>",
        "\"ada\"@acme.example",
        "ada @acme.example",
        "ada@acme example",
        "ada@acme.example\u{0}",
        "ada\n@acme.example",
        "mailto:ada@acme.example",
        "ada@[127.0.0.1]",
        "ada\\@acme.example",
        &long,
    ] {
        let reply = rig.call(recover(email, "x")).await;
        assert_eq!(reply.status, 400, "{email:?}");
        reply.assert_refused(400, "invalid-body");
    }
}

#[tokio::test]
async fn only_json_in_utf_8_without_a_coding_is_read() {
    let rig = everything().start().await;
    let call = || Call::of(Operation::UserDisable);
    for call in [
        call().without("content-type"),
        call().header("content-type", "text/plain"),
        call().header("content-type", "application/x-www-form-urlencoded"),
        call().header("content-type", "application/json; charset=utf-16"),
        call().header("content-type", "application/jsonx"),
        call().also("content-type", "application/json"),
        call().header("content-encoding", "gzip"),
        call().header("content-encoding", "identity"),
    ] {
        let reply = rig.call(call).await;
        reply.assert_refused(415, "unsupported-media-type");
    }
    let reply = rig
        .call(call().header("content-type", "application/JSON;charset=\"UTF-8\""))
        .await;
    assert_eq!(reply.code(), None);
}

#[tokio::test]
async fn a_body_belongs_to_no_get() {
    let rig = everything().start().await;
    let reply = rig
        .call(Call::of(Operation::UserDevices).json(&json!({})))
        .await;
    reply.assert_refused(400, "invalid-body");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_announced_or_not() {
    let rig = everything().set("listen.max_body", "'1KiB'").start().await;
    let call = |bytes: usize| {
        let around = r#"{"token":""}"#.len();
        Call::of(Operation::UserDisable).with("token", "1".repeat(bytes - around))
    };
    for call in [call(1025), call(100_000)] {
        for call in [
            call.clone(),
            call.clone().http2(),
            call.header("transfer-encoding", "chunked"),
        ] {
            rig.call(call).await.assert_refused(413, "body-too-large");
        }
    }
    for call in [
        call(1024),
        call(1024).http2(),
        call(1024).header("transfer-encoding", "chunked"),
    ] {
        assert_eq!(rig.call(call).await.code(), None);
    }
}

#[tokio::test]
async fn who_is_refused_while_still_sending_gets_the_answer_and_may_go_on() {
    let rig = Rig::start().await;
    let next = "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (head, status) in [
        (
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200\r\n\r\n",
            404,
        ),
        (
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nc8\r\n",
            404,
        ),
        (
            "POST /identity/resources/auth/v1/user/mfa/recover HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 200\r\n\r\n",
            421,
        ),
    ] {
        let mut connection = Raw::open(&rig.client).await;
        connection.send(head).await;
        assert_eq!(connection.reply().await.unwrap().status, status);
        connection.send("x".repeat(200)).await;
        if head.contains("chunked") {
            connection.send("\r\n0\r\n\r\n").await;
        }
        connection.send(next).await;
        assert_eq!(connection.reply().await.unwrap().status, 404, "{head}");
    }

    // far more than is taken
    let size = 20_000_000;
    let mut connection = Raw::open(&rig.client).await;
    let head = format!(
        "POST /identity/resources/auth/v1/user/mfa/recover HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    );
    connection.send(head).await;
    connection.send("x".repeat(size)).await;
    assert_eq!(connection.reply().await.unwrap().status, 413);

    // who waits to be told to send is told not to
    let mut connection = Raw::open(&rig.client).await;
    connection
        .send("POST /nowhere HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 200\r\n\r\n")
        .await;
    assert_eq!(connection.reply().await.unwrap().status, 404);
    assert_eq!(connection.end().await, b"");
}

//! Ways around the limit by email, tried on the whole gateway. `config/README.md` has the table of
//! all that was tried, and where.

use mfa_gateway::{route::Operation, sandbox::world::seed::ADA};

use crate::support::{Call, Rig, recover};

/// Two guesses an hour for an email; no other limit stands in the way.
async fn strict() -> Rig {
    let upstream = "{ attempts = 10_000, per = '1m' }";
    let rig = Rig::builder().set("limits.upstream.recover", upstream);
    rig.quota("email", 2).start().await
}

fn guess() -> Call {
    recover(ADA.email, "wrong")
}

async fn use_up(rig: &Rig) {
    for _ in 0..2 {
        rig.call(guess()).await.assert_passed(401);
    }
}

#[tokio::test]
async fn both_protocols_and_all_connections_are_one_count() {
    let rig = strict().await;
    rig.call(guess()).await.assert_passed(401);
    rig.call(guess().http2()).await.assert_passed(401);
    rig.call(guess()).await.assert_refused(429, "rate-limited");
    rig.call(guess().http2())
        .await
        .assert_refused(429, "rate-limited");
}

#[tokio::test]
async fn no_header_makes_another_of_the_caller() {
    let rig = strict().await;
    use_up(&rig).await;
    for name in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "true-client-ip",
        "x-frontegg-forwarded-for",
        "frontegg-tenant-id",
        "frontegg-user-id",
        "x-request-id",
        "user-agent",
    ] {
        let call = guess().header(name, "203.0.113.7");
        rig.call(call).await.assert_refused(429, "rate-limited");
    }
}

#[tokio::test]
async fn json_has_no_second_spelling_of_an_email() {
    let rig = strict().await;
    use_up(&rig).await;
    let body = |body: &str| Call::of(Operation::Recover).body(body.to_owned());
    for spelling in [
        r#"{"email":"\u0061da@acme.example","recoveryCode":"x"}"#,
        r#"{"recoveryCode":"x","email":"ada\u0040acme.example"}"#,
        r#"{"\u0065mail":"ada@acme.example","recoveryCode":"x"}"#,
        "\n{ \"email\" : \"ADA@ACME.EXAMPLE\" , \"recoveryCode\" : \"x\" }\n",
    ] {
        let reply = rig.call(body(spelling)).await;
        reply.assert_refused(429, "rate-limited");
    }
    for trick in [
        r#"{"email":"b@acme.example","email":"ada@acme.example","recoveryCode":"x"}"#,
        r#"{"email":"b@acme.example","Email":"ada@acme.example","recoveryCode":"x"}"#,
        r#"{"email":["ada@acme.example"],"recoveryCode":"x"}"#,
        r#"{"email":"ada@acme.example,b@acme.example","recoveryCode":"x"}"#,
        r#"{"email":"\"Ada\" <ada@acme.example>","recoveryCode":"x"}"#,
        r#"{"email":"mailto:ada@acme.example","recoveryCode":"x"}"#,
        r#"{"email":"ada@acme.example\u0000","recoveryCode":"x"}"#,
        r#"{"email":"ada@acme.example","recoveryCode":"x"}{}"#,
        r#"[{"email":"ada@acme.example","recoveryCode":"x"}]"#,
    ] {
        rig.call(body(trick))
            .await
            .assert_refused(400, "invalid-body");
    }
    assert_eq!(rig.vendor.count(Operation::Recover), 2);
}

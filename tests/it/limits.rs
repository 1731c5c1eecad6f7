//! How often may something be tried?

use std::{collections::HashMap, time::Instant};

use http::{Method, StatusCode};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::Fault,
        world::seed::{ADA, BARBARA, GRACE},
    },
};
use serde_json::json;

use crate::{
    shared_store,
    support::{Builder, Call, Record, Redis, Rig, patience, recover},
};

/// Limits by email as they are by default; no other stands in the way.
fn by_email() -> Builder {
    Rig::builder().set(
        "limits.upstream.recover",
        "{ attempts = 10_000, per = '1m' }",
    )
}

fn guess(email: &str) -> Call {
    recover(email, "wrong")
}

/// Guesses until the gateway says no, and how many got through.
async fn guesses_left(rig: &Rig, email: &str) -> usize {
    for passed in 0..100 {
        if rig.call(guess(email)).await.code().is_some() {
            return passed;
        }
    }
    panic!("no end to the guesses for {email}");
}

#[tokio::test]
async fn the_sixth_guess_for_an_email_is_refused_and_told_when_to_come_again() {
    let rig = by_email().start().await;
    for _ in 0..5 {
        rig.call(guess(ADA.email)).await.assert_passed(401);
    }
    let refused = rig.call(guess(ADA.email)).await;
    refused.assert_refused(429, "rate-limited");
    let policy = r#""email";q=5;w=900, "email";q=20;w=86400"#;
    assert_eq!(refused.header("ratelimit-policy"), Some(policy));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    // one of five is regained after a fifth of a quarter of an hour
    assert!((170..=180).contains(&seconds), "{seconds}");
    let left = format!(r#""email";r=0;t={seconds}"#);
    assert_eq!(refused.header("ratelimit"), Some(&*left));
    let record = &rig.records(&refused)[0];
    assert_eq!(record.0["unmapped"]["limit"]["name"], "email");
    assert_eq!(record.0["unmapped"]["limit"]["remaining"], 0);
    // another account is another matter
    rig.call(guess(GRACE.email)).await.assert_passed(401);
}

#[tokio::test]
async fn a_refusal_does_not_say_whether_the_account_exists() {
    let rig = by_email().quota("email", 1).start().await;
    let mut answers = Vec::new();
    for email in [ADA.email, "nobody@acme.example"] {
        rig.call(guess(email)).await.assert_passed(401);
        let reply = rig.call(guess(email)).await;
        let mut problem = reply.json();
        problem["request_id"] = "".into();
        let seen = format!("{problem} {:?}", reply.header("ratelimit"));
        // the seconds are those since the account's own guess
        answers.push(seen.replace(|character: char| character.is_ascii_digit(), ""));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn all_spellings_of_an_email_are_one() {
    let rig = by_email().start().await;
    for (spellings, another) in [
        (
            [
                "ada@acme.example",
                " ADA@Acme.Example\u{20}",
                "ada@acme.example.",
                "\u{ff41}\u{ff44}\u{ff41}@acme.example",
                "a\u{200b}d\u{ad}a@acme\u{3002}example",
            ],
            "ada+1@acme.example",
        ),
        (
            [
                "stra\u{df}e@b\u{fc}cher.example",
                "STRASSE@BÜCHER.EXAMPLE",
                "strasse@xn--bcher-kva.example",
                "stra\u{17f}se@bu\u{308}cher.example",
                "strasse@XN--BCHER-KVA.example.",
            ],
            "st.rasse@xn--bcher-kva.example",
        ),
    ] {
        for spelling in spellings {
            assert_eq!(rig.call(guess(spelling)).await.code(), None, "{spelling:?}");
        }
        for spelling in spellings {
            rig.call(guess(spelling))
                .await
                .assert_refused(429, "rate-limited");
        }
        assert_eq!(rig.call(guess(another)).await.code(), None, "{another}");
    }
}

#[tokio::test]
async fn plus_tags_are_one_where_they_are_folded() {
    let rig = by_email()
        .set("limits.email.fold_subaddress", "true")
        .quota("email", 1)
        .start()
        .await;
    rig.call(guess("ada+1@acme.example"))
        .await
        .assert_passed(401);
    rig.call(guess("ada+2@acme.example"))
        .await
        .assert_refused(429, "rate-limited");
}

#[tokio::test]
async fn fifty_guesses_at_the_same_instant_let_five_through() {
    let rig = by_email().start().await;
    let replies = rig.call_all((0..50).map(|_| guess(ADA.email))).await;
    let mut statuses: HashMap<u16, usize> = HashMap::new();
    for reply in &replies {
        *statuses.entry(reply.status.as_u16()).or_default() += 1;
    }
    assert_eq!(statuses, HashMap::from([(401, 5), (429, 45)]));
    assert_eq!(rig.vendor.count(Operation::Recover), 5);
}

#[tokio::test]
async fn a_recovery_that_was_accepted_clears_the_count() {
    let rig = by_email().start().await;
    for _ in 0..4 {
        rig.call(guess(BARBARA.email)).await.assert_passed(401);
    }
    let code = BARBARA.recovery_code.unwrap();
    rig.call(recover(BARBARA.email, code))
        .await
        .assert_passed(200);
    assert_eq!(guesses_left(&rig, BARBARA.email).await, 5);
}

#[tokio::test]
async fn an_attempt_of_which_no_byte_left_is_given_back() {
    let rig = by_email().start().await;
    rig.gateway.logged("credential renewed", 1).await;
    rig.vendor.misbehave(Fault::RefuseConnections);
    for _ in 0..8 {
        rig.call(guess(ADA.email))
            .await
            .assert_refused(502, "upstream-unreachable");
    }
    rig.vendor.behave();
    assert_eq!(guesses_left(&rig, ADA.email).await, 5);
}

#[tokio::test]
async fn an_attempt_that_may_have_arrived_counts_whatever_came_of_it() {
    let faults = [
        (Fault::Status(StatusCode::INTERNAL_SERVER_ERROR), 500),
        (Fault::Status(StatusCode::BAD_REQUEST), 400),
        (Fault::Reset, 502),
        (Fault::Hang, 504),
        (Fault::Large(2 * 1024 * 1024), 502),
    ];
    let rig = by_email()
        .set("frontegg.request_timeout", "'1s'")
        .start()
        .await;
    for (fault, status) in faults {
        rig.vendor.misbehave(fault.once());
        assert_eq!(rig.call(guess(ADA.email)).await.status, status, "{fault:?}");
    }
    assert_eq!(guesses_left(&rig, ADA.email).await, 0);
}

#[tokio::test]
async fn codes_are_counted_by_device_and_a_right_one_clears_its_count() {
    let rig = Rig::builder().quota("code", 2).start().await;
    let (device, secret) = GRACE.authenticator.unwrap();
    let target = Call::of(Operation::UserAuthenticatorDisable)
        .target
        .replace("device-1", device);
    let call = |token: &str| {
        Call::of(Operation::UserAuthenticatorDisable)
            .target(&target)
            .on_behalf_of(&GRACE)
            .with("token", token)
    };
    assert_eq!(rig.call(call("000")).await.code(), None);
    let right = rig.vendor.totp(secret).unwrap();
    rig.call(call(&right)).await.assert_passed(200);
    for _ in 0..2 {
        assert_eq!(rig.call(call("000")).await.code(), None);
    }
    rig.call(call("000"))
        .await
        .assert_refused(429, "rate-limited");
    let another = Call::of(Operation::UserAuthenticatorDisable).on_behalf_of(&GRACE);
    assert_eq!(rig.call(another).await.code(), None);
}

#[tokio::test]
async fn codes_that_are_sent_are_counted_and_an_answer_of_yes_gives_none_back() {
    let rig = Rig::builder().quota("send", 2).start().await;
    let (device, _number) = GRACE.phone.unwrap();
    let target = Call::of(Operation::UserSmsDisable)
        .target
        .replace("device-1", device);
    let call = || {
        Call::of(Operation::UserSmsDisable)
            .target(&target)
            .on_behalf_of(&GRACE)
    };
    for _ in 0..2 {
        rig.call(call()).await.assert_passed(200);
    }
    let refused = rig.call(call()).await;
    refused.assert_refused(429, "rate-limited");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some(r#""send";q=2;w=3600"#)
    );
}

#[tokio::test]
async fn a_token_that_the_vendor_does_not_ask_for_makes_no_other_attempt() {
    let redis = Redis::start();
    let shared = redis.as_ref().map(shared_store::one);
    for builder in [Some(Rig::builder()), shared].into_iter().flatten() {
        let rig = builder.quota("code", 2).start().await;
        let guess = |otc_token: &str| {
            let call = Call::of(Operation::LoginSmsEnrollVerify);
            call.with("otcToken", otc_token)
        };
        for made_up in ["a", "b"] {
            let call = guess("theirs").with("mfaToken", made_up);
            assert_eq!(rig.call(call).await.code(), None);
        }
        let third = rig.call(guess("theirs").with("mfaToken", "c")).await;
        third.assert_refused(429, "rate-limited");
        // the third is in the same place where it leaves the token out, and nobody else is
        let mut bare = json!({"otcToken": "theirs", "code": "000000"});
        let reply = rig.call(guess("").json(&bare)).await;
        reply.assert_refused(429, "rate-limited");
        bare["otcToken"] = "another's".into();
        assert_eq!(rig.call(guess("").json(&bare)).await.code(), None);
    }
}

#[tokio::test]
async fn all_spellings_of_a_phone_number_are_one() {
    let rig = Rig::builder().quota("send", 2).start().await;
    let send = |number: &str| Call::of(Operation::LoginSmsEnroll).with("phoneNumber", number);
    for spelling in ["+15555550102", "+1 (555) 555-0102"] {
        assert_eq!(rig.call(send(spelling)).await.code(), None, "{spelling}");
    }
    for spelling in ["+1555/555.0102", "15555550102", "0015555550102"] {
        let reply = rig.call(send(spelling)).await;
        reply.assert_refused(429, "rate-limited");
    }
    for trick in [
        "+1555555010\u{ff12}",
        "+15555550102;ext=1",
        "+15555550102x1",
        "tel:+15555550102",
        "+1555555\u{2011}0102",
        "+15555550102,+15555550103",
        "++15555550102",
        "+",
    ] {
        let reply = rig.call(send(trick)).await;
        reply.assert_refused(400, "invalid-body");
    }
}

#[tokio::test]
async fn the_vendors_own_limit_on_our_address_is_not_run_into() {
    let rig = Rig::builder()
        .vendor(|vendor| vendor.rate_limits = true)
        .start()
        .await;
    for number in 0..10 {
        let email = format!("user-{number}@acme.example");
        rig.call(guess(&email)).await.assert_passed(401);
    }
    let refused = rig.call(guess("user-10@acme.example")).await;
    refused.assert_refused(429, "rate-limited");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some(r#""upstream";q=10;w=60"#)
    );
}

#[tokio::test]
async fn the_vendors_no_is_passed_on_and_heeded_until_it_said_to_come_again() {
    let rig = by_email()
        .vendor(|vendor| vendor.rate_limits = true)
        .start()
        .await;
    for number in 0..10 {
        let email = format!("user-{number}@acme.example");
        rig.call(guess(&email)).await.assert_passed(401);
    }
    let theirs = rig.call(guess("user-10@acme.example")).await;
    theirs.assert_passed(429);
    assert!(theirs.headers.contains_key("x-rate-limit-reset"));
    let seconds: u64 = theirs.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // what the vendor counted is paused here, and nothing else
    let ours = rig.call(guess("user-11@acme.example")).await;
    ours.assert_refused(429, "rate-limited");
    assert_eq!(
        rig.call(Call::of(Operation::LoginVerify)).await.code(),
        None
    );
}

#[tokio::test]
async fn a_vendor_that_does_not_say_when_is_given_a_minute() {
    let rig = by_email().start().await;
    rig.vendor
        .misbehave(Fault::Status(StatusCode::TOO_MANY_REQUESTS).once());
    let theirs = rig.call(guess(ADA.email)).await;
    theirs.assert_passed(429);
    assert_eq!(theirs.header("retry-after"), Some("60"));
    rig.call(guess(GRACE.email))
        .await
        .assert_refused(429, "rate-limited");
}

#[tokio::test]
async fn a_limit_that_only_observes_refuses_nothing_and_tells_what_it_would_have() {
    let rig = by_email().set("limits.mode", "'observe'").start().await;
    let mut limits = Vec::new();
    for _ in 0..9 {
        let reply = rig.call(guess(ADA.email)).await;
        reply.assert_passed(401);
        let [admitted, completed] = &rig.records(&reply)[..] else {
            panic!("{reply:?}");
        };
        let limit = |record: &Record| record.0["unmapped"]["limit"].clone();
        assert_eq!(limit(admitted), limit(completed));
        limits.push(limit(completed));
    }
    assert_eq!(limits[4], json!({"name": "email", "remaining": 0}));
    let would_refuse = json!({"name": "email", "remaining": 0, "would_refuse": true});
    assert!(limits[5..].iter().all(|limit| *limit == would_refuse));
    let message = "a limit that only observes would have refused";
    let lines = rig.gateway.logged(message, 4).await;
    assert!(lines.iter().all(|line| line["limit"] == "email"));
    assert!(!format!("{lines:?}").contains(ADA.email));
    let metrics = rig.ask_admin(Method::GET, "/metrics").await;
    let metrics = String::from_utf8(metrics.body.into()).unwrap();
    let line = |decision| {
        format!(r#"mfa_gateway_limit_decisions_total{{limit="email",decision="{decision}"}}"#)
    };
    assert!(
        metrics.contains(&format!("{} 5\n", line("admitted"))),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("{} 4\n", line("observed"))),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_attempt_comes_back_with_time() {
    let rig = by_email()
        .set("limits.email.quotas", "[{ attempts = 2, per = '2s' }]")
        // it asks as fast as it can, and each refusal's record is looked for
        .set("audit.collapse", "0")
        .start()
        .await;
    assert_eq!(guesses_left(&rig, ADA.email).await, 2);
    let began = Instant::now();
    while rig.call(guess(ADA.email)).await.code().is_some() {
        assert!(began.elapsed() < patience(), "it never came back");
    }
}

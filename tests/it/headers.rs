//! What of a request's headers goes on, and what of an answer's comes back.

use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Fault, ODD_HEADERS, Received},
        world::seed::{ADA, BARBARA},
    },
};

use crate::support::{Call, Rig};

fn devices() -> Call {
    Call::of(Operation::UserDevices)
}

fn all<'a>(received: &'a Received, name: &str) -> Vec<&'a str> {
    let fields = received.headers.iter().filter(|(known, _)| known == name);
    fields.map(|(_, value)| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn nothing_that_says_who_acts_or_from_where_leaves_as_the_caller_said_it() {
    let rig = Rig::builder()
        .set("frontegg.environment_id", "'env-1'")
        .start()
        .await;
    let mut call = devices().header("x-request-id", "theirs");
    let foreign = [
        "authorization",
        "proxy-authorization",
        "x-access-token",
        "x-api-key",
        "x-mfa-gateway-key",
        "frontegg-environment-id",
        "frontegg-application-id",
        "frontegg-vendor-host",
        "frontegg-vendor-id",
        "frontegg-requested-application-id",
        "frontegg-anything",
        "x-frontegg-forwarded-for",
        "x-frontegg-headers-verifier",
        "x-frontegg-anything",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "via",
        "referer",
        "range",
        "expect-ct",
        "if-none-match",
        "x-http-method-override",
        "accept-encoding",
        "content-encoding",
        "te",
        "frontegg_tenant_id",
        "frontegg_user_id",
        "authorization_",
        "x_request_id",
        "user_agent",
        "traceparent_",
    ];
    for name in foreign {
        call = call.header(name, "forged");
    }
    for call in [call.clone(), call.clone().without("te").http2()] {
        let reply = rig.call(call).await;
        assert_eq!(reply.code(), None);
        let received = &rig.received(&reply)[0];
        for (name, value) in &received.headers {
            assert_ne!(value, "forged", "{name}");
            assert_ne!(value, "theirs", "{name}");
        }
        assert_eq!(received.header("frontegg-environment-id"), Some("env-1"));
        for record in rig.records(&reply) {
            assert_eq!(record.0["unmapped"]["caller_request_id"], "theirs");
        }
    }
}

#[tokio::test]
async fn the_listed_headers_go_on_as_they_came() {
    let rig = Rig::builder()
        .forward(&["x-tried", "frontegg-requested-application-id"])
        .start()
        .await;
    let listed = [
        ("accept", "application/json, */*;q=0.1"),
        ("accept-language", "de"),
        ("user-agent", "the app/1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=b"),
        ("x-frontegg-sdk", "@frontegg/rest-api@7"),
        ("x-frontegg-framework", "react@18"),
        ("x-tried", "yes"),
        ("frontegg-requested-application-id", "app-1"),
    ];
    let mut call = devices();
    for (name, value) in listed {
        call = call.header(name, value);
    }
    for call in [call.clone(), call.clone().http2()] {
        let reply = rig.call(call).await;
        let received = &rig.received(&reply)[0];
        for (name, value) in listed {
            assert_eq!(all(received, name), [value], "{name}");
        }
        assert_eq!(all(received, "host"), [rig.vendor.address().to_string()]);
    }
}

#[tokio::test]
async fn only_the_vendors_cookies_go_on() {
    let rig = Rig::start().await;
    let call = devices()
        .header(
            "cookie",
            "session=secret; fe_refresh_1=r; xfe_a=1;fe_device_2=d",
        )
        .also(
            "cookie",
            "fe_x=a=b; FE_y=1; fe_=0; fe_novalue; theme=fe_dark",
        );
    for call in [call.clone(), call.http2()] {
        let reply = rig.call(call).await;
        let received = &rig.received(&reply)[0];
        let sent = all(received, "cookie");
        assert_eq!(sent, ["fe_refresh_1=r; fe_device_2=d; fe_x=a=b; fe_=0"]);
    }
    let reply = rig.call(devices().header("cookie", "session=secret")).await;
    assert_eq!(rig.received(&reply)[0].header("cookie"), None);
}

#[tokio::test]
async fn which_cookies_go_on_can_be_chosen() {
    let rig = Rig::builder()
        .set("headers.cookies", "['mfa', 'trusted_*']")
        .start()
        .await;
    let call = devices().header("cookie", "fe_a=1; mfa=2; mfa2=3; trusted_device=4");
    let reply = rig.call(call).await;
    let received = &rig.received(&reply)[0];
    assert_eq!(received.header("cookie"), Some("mfa=2; trusted_device=4"));
}

#[tokio::test]
async fn a_header_with_an_underscore_is_nobodys_subject() {
    let rig = Rig::start().await;
    let call = devices()
        .without("frontegg-user-id")
        .header("frontegg_user_id", ADA.id);
    let reply = rig.call(call).await;
    reply.assert_refused(400, "subject-missing");
    // nor beside the right one, in whatever case
    let both = devices()
        .on_behalf_of(&ADA)
        .header("frontegg_user_id", BARBARA.id)
        .header("frontegg_tenant-id", BARBARA.tenant)
        .header("x_request_id", "theirs")
        .header("content_length", "5");
    for call in [both.clone(), both.http2()] {
        let reply = rig.call(call).await;
        reply.assert_passed(200);
        let received = &rig.received(&reply)[0];
        assert_eq!(all(received, "frontegg-user-id"), [ADA.id]);
        assert!(
            received
                .headers
                .iter()
                .all(|(name, _)| !name.as_str().contains('_'))
        );
    }
}

#[tokio::test]
async fn a_key_under_a_name_with_an_underscore_is_nobodys() {
    let callers = "[[callers]]\nname = 'desk'\ntoken = 'the-key-of-the-desk'\n";
    let rig = Rig::builder().tables(callers).start().await;
    let key = "the-key-of-the-desk";
    let right = devices()
        .on_behalf_of(&ADA)
        .header("x-mfa-gateway-key", key);
    rig.call(right).await.assert_passed(200);
    for name in ["x_mfa_gateway_key", "x-mfa_gateway-key"] {
        let call = devices().on_behalf_of(&ADA).header(name, key);
        rig.call(call).await.assert_refused(401, "caller-unknown");
    }
}

#[tokio::test]
async fn headers_that_speak_for_another_origin_do_not_come_back() {
    let rig = Rig::start().await;
    for http2 in [false, true] {
        rig.vendor.misbehave(Fault::OddHeaders.once());
        let call = devices().on_behalf_of(&ADA);
        let reply = rig.call(if http2 { call.http2() } else { call }).await;
        reply.assert_passed(200);
        for (name, value) in ODD_HEADERS {
            assert!(!reply.headers.contains_key(*name), "{name}: {value}");
        }
        assert!(reply.headers.contains_key("frontegg-trace-id"));
    }
}

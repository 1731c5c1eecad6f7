//! Traces as a collector sees them, and what the vendor is told of them.

use std::collections::HashMap;

use http::{Method, StatusCode, Version};
use mfa_gateway::{
    route::Operation,
    sandbox::{
        vendor::{Fault, Received},
        world::seed::{ADA, BARBARA},
    },
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode as Code};
use rustix::process::Signal;

use crate::support::{Call, Collector, Mood, Reply, Rig, attributes, eventually, recover};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn devices() -> Call {
    Call::of(Operation::UserDevices).on_behalf_of(&ADA)
}

async fn traced(collector: &Collector) -> Rig {
    let builder = Rig::builder().set("telemetry.otlp_endpoint", &collector.endpoint());
    builder.start().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of one request: its own, then its exchanges', once they are there.
async fn spans(collector: &Collector, reply: &Reply) -> Vec<Span> {
    let own = |span: &Span| {
        attributes(&span.attributes)
            .get("mfa_gateway.request_id")
            .map(String::as_str)
            == Some(reply.request_id())
    };
    let found = || {
        let spans = collector.spans();
        let server = spans.iter().find(|span| own(span))?.clone();
        let below = |span: &&Span| span.parent_span_id == server.span_id;
        let mut found = vec![server.clone()];
        found.extend(spans.iter().filter(below).cloned());
        Some(found)
    };
    eventually("its spans", found).await
}

fn said(received: &Received) -> (Option<&str>, Option<&str>) {
    (
        received.header("traceparent"),
        received.header("tracestate"),
    )
}

fn of(span: &Span) -> HashMap<String, String> {
    attributes(&span.attributes)
}

#[tokio::test]
async fn a_request_is_a_span_below_its_callers_and_the_vendors_exchange_one_below_that() {
    let collector = Collector::start().await;
    let rig = traced(&collector).await;
    let call = devices()
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=opaque");
    let reply = rig.call(call).await;
    reply.assert_passed(200);
    let spans = spans(&collector, &reply).await;
    let [server, client] = spans.as_slice() else {
        panic!("{spans:#?}");
    };
    assert_eq!(
        (hex(&server.trace_id), hex(&client.trace_id)),
        (TRACE.into(), TRACE.into())
    );
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(
        (server.kind(), client.kind()),
        (SpanKind::Server, SpanKind::Client)
    );
    assert_eq!((&*server.name, &*client.name), ("user.devices", "GET"));
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.start_time_unix_nano < client.end_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    assert_eq!((&server.status, &client.status), (&None, &None));

    let about = of(server);
    assert_eq!(about["http.request.method"], "GET");
    assert_eq!(about["http.route"], Operation::UserDevices.facts().path);
    assert_eq!(about["http.response.status_code"], "200");
    assert_eq!(about["mfa_gateway.operation"], "user.devices");
    assert_eq!(of(client)["server.address"], "127.0.0.1");
    assert_eq!(collector.resource()["service.name"], "mfa-gateway");

    let received = rig.received(&reply);
    let onward = format!("00-{TRACE}-{}-01", hex(&client.span_id));
    assert_eq!(said(&received[0]), (Some(&*onward), Some("vendor=opaque")));
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one_and_a_bad_parent_is_none() {
    let collector = Collector::start().await;
    let rig = traced(&collector).await;
    for parent in [None, Some("00-nonsense"), Some("")] {
        let mut call = devices().header("tracestate", "stray=1");
        if let Some(parent) = parent {
            call = call.header("traceparent", parent);
        }
        let reply = rig.client.send(call).await.unwrap();
        reply.assert_passed(200);
        let spans = spans(&collector, &reply).await;
        assert_eq!(spans.len(), 2, "{parent:?}");
        assert!(spans[0].parent_span_id.is_empty());
        let trace = hex(&spans[0].trace_id);
        assert_eq!(trace, reply.request_id().replace('-', ""));
        let onward = format!("00-{trace}-{}-01", hex(&spans[1].span_id));
        let received = rig.received(&reply);
        assert_eq!(said(&received[0]), (Some(&*onward), None));
    }
}

#[tokio::test]
async fn what_the_caller_does_not_sample_has_no_spans_and_goes_on_as_it_came() {
    let collector = Collector::start().await;
    let mut rig = traced(&collector).await;
    let parent = format!("00-{TRACE}-{PARENT}-00");
    let call = devices()
        .header("traceparent", &parent)
        .header("tracestate", "a=b");
    let unsampled = rig.call(call).await;
    let received = rig.received(&unsampled);
    assert_eq!(said(&received[0]), (Some(&*parent), Some("a=b")));
    rig.call(devices()).await;
    rig.gateway.signal(Signal::TERM);
    assert!(rig.gateway.end().await.success());
    // the last ones are taken there before the end
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn a_refusal_and_a_failure_are_told_by_their_reason() {
    let collector = Collector::start().await;
    let rig = traced(&collector).await;
    let refused = rig.call(Call::new(Method::GET, "/nowhere")).await;
    let spans_of_it = spans(&collector, &refused).await;
    assert_eq!(spans_of_it.len(), 1);
    let server = &spans_of_it[0];
    assert_eq!((&*server.name, &server.status), ("GET", &None));
    let about = of(server);
    assert_eq!(
        (&*about["error.type"], &*about["http.response.status_code"]),
        ("route-not-found", "404")
    );
    assert!(!about.contains_key("http.route"));

    rig.vendor.misbehave(Fault::Reset.once());
    let broken = rig.call(devices()).await;
    let spans_of_it = spans(&collector, &broken).await;
    let code = broken.code().unwrap();
    for span in &spans_of_it {
        assert_eq!(of(span)["error.type"], code);
        assert_eq!(span.status.as_ref().unwrap().code(), Code::Error);
    }
    assert_eq!(spans_of_it.len(), 2);

    rig.vendor
        .misbehave(Fault::Status(StatusCode::UNAUTHORIZED).once());
    let again = rig.call(devices()).await;
    again.assert_passed(200);
    let spans_of_it = spans(&collector, &again).await;
    let statuses: Vec<_> = spans_of_it[1..]
        .iter()
        .map(|span| {
            let about = of(span);
            (
                about["http.response.status_code"].clone(),
                about.get("http.request.resend_count").cloned(),
            )
        })
        .collect();
    let expected = [
        ("401".to_owned(), None),
        ("200".to_owned(), Some("1".to_owned())),
    ];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_trace_names_nobody_and_nothing_of_anybodys() {
    let collector = Collector::start().await;
    let rig = traced(&collector).await;
    let path = Operation::UserSmsDisable.facts().path;
    let call = Call::of(Operation::UserSmsDisable)
        .on_behalf_of(&ADA)
        .target(&path.replace("{deviceId}", "device-of-hers"));
    rig.call(call).await;
    rig.call(recover(BARBARA.email, "wrong")).await;
    rig.call(Call::new(Method::GET, "/a/hidden?query")).await;
    let last = rig.call(devices()).await;
    spans(&collector, &last).await;
    let mut told = String::new();
    for (head, body) in collector.sent_to("/v1/traces") {
        told += &head;
        told += &String::from_utf8_lossy(&body);
    }
    assert!(told.contains("user.sms.disable"), "{told}");
    for private in [
        ADA.email,
        ADA.id,
        "device-of-hers",
        BARBARA.email,
        "hidden",
        "query",
    ] {
        assert!(!told.contains(private), "{private}: {told}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_requests_nothing() {
    let collector = Collector::start().await;
    let rig = traced(&collector).await;
    collector.be(Mood::Status(400, None));
    rig.call(devices()).await.assert_passed(200);
    rig.gateway
        .logged(
            "traces don't reach the collector and are dropped until they do",
            1,
        )
        .await;
    let failed = r#"mfa_gateway_spans_total{result="failed"}"#;
    rig.until_metric(failed, "2").await;
    collector.be(Mood::Take);
    let reply = rig.call(devices()).await;
    assert_eq!(spans(&collector, &reply).await.len(), 2);
    rig.gateway
        .logged("traces reach the collector again", 1)
        .await;
    let exported = r#"mfa_gateway_spans_total{result="exported"}"#;
    rig.until_metric(exported, "2").await;
}

#[tokio::test]
async fn what_a_drain_cuts_off_is_traced_to_its_end() {
    let collector = Collector::start().await;
    let mut rig = Rig::builder()
        .set("telemetry.otlp_endpoint", &collector.endpoint())
        .set("shutdown.timeout", "'300ms'")
        .start()
        .await;
    rig.vendor.misbehave(Fault::Hang.at(Operation::UserDevices));
    let mut connection = rig.connect(Version::HTTP_11).await;
    let exchange = tokio::spawn(async move { connection.send(devices()).await });
    rig.vendor
        .until(|vendor| vendor.count(Operation::UserDevices) > 0)
        .await;
    rig.gateway.signal(Signal::TERM);
    rig.gateway.end().await;
    assert!(exchange.await.unwrap().is_err());
    let spans = collector.spans();
    let reasons = spans
        .iter()
        .filter_map(|span| of(span).remove("error.type"));
    assert_eq!(reasons.collect::<Vec<_>>(), ["cut-off"]);
}

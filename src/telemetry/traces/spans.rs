//! What a finished request's spans say, in the words of OpenTelemetry's semantic conventions for
//! HTTP. The full URL, which they ask for too, is left out: it names devices and users.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Exchange, Finished, context::Context};
use crate::{
    otlp::{
        self,
        messages::{KeyValue, Span, SpanKind, Status},
    },
    route::Operation,
};

/// The flag of a span that tells whether its parent is in another process.
const PARENT_KNOWN: u32 = 0x100;
/// The flag of one whose parent is.
const PARENT_ELSEWHERE: u32 = 0x200;
/// The convention's word for an error that has no other.
const OTHER: &str = "_OTHER";

/// The request's own span, then its exchanges'.
pub(super) fn of(request: &Finished) -> impl Iterator<Item = Span> {
    let exchanges = request.trace.exchanges.iter().enumerate();
    std::iter::once(server(request))
        .chain(exchanges.map(|(count, exchange)| client(request, exchange, count)))
}

fn server(request: &Finished) -> Span {
    let trace = &request.trace;
    let mut attributes = vec![
        otlp::text("http.request.method", trace.method),
        otlp::text("mfa_gateway.request_id", request.request_id.to_string()),
    ];
    if let Some(operation) = request.operation {
        attributes.push(otlp::text("http.route", operation.facts().path));
        attributes.push(otlp::text("mfa_gateway.operation", operation.name()));
    }
    let status = request.status.map(|status| status.as_u16());
    attributes.extend(status.map(|status| otlp::number("http.response.status_code", status)));
    let failed = status.is_some_and(|status| status >= 500);
    let error = match request.reason {
        Some(reason) => Some(reason.to_owned()),
        None => status.filter(|_| failed).map(|status| status.to_string()),
    };
    attributes.extend(error.map(|error| otlp::text("error.type", error)));
    let elsewhere = trace.parent.map_or(0, |_| PARENT_ELSEWHERE);
    Span {
        parent_span_id: trace
            .parent
            .map_or_else(Vec::new, |parent| parent.span.to_vec()),
        flags: u32::from(trace.own.flags) | PARENT_KNOWN | elsewhere,
        name: request
            .operation
            .map_or(trace.method, Operation::name)
            .to_owned(),
        kind: SpanKind::Server.into(),
        ..span(
            trace.own,
            request.start,
            (Duration::ZERO, request.duration),
            attributes,
            failed,
        )
    }
}

fn client(request: &Finished, exchange: &Exchange, count: usize) -> Span {
    let trace = &request.trace;
    let mut attributes = vec![
        otlp::text("http.request.method", trace.method),
        otlp::text("server.address", &*exchange.host),
    ];
    if let Some(operation) = request.operation {
        attributes.push(otlp::text("url.template", operation.facts().path));
    }
    if count > 0 {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        attributes.push(otlp::number("http.request.resend_count", count));
    }
    let error = match exchange.status.map(|status| status.as_u16()) {
        Some(status) => {
            attributes.push(otlp::number("http.response.status_code", status));
            (status >= 400).then(|| status.to_string())
        }
        // nothing came: what the caller was told says why
        None => Some(request.reason.unwrap_or(OTHER).to_owned()),
    };
    let failed = error.is_some();
    attributes.extend(error.map(|error| otlp::text("error.type", error)));
    let own = Context {
        span: exchange.span,
        ..trace.own
    };
    Span {
        parent_span_id: trace.own.span.to_vec(),
        flags: u32::from(own.flags) | PARENT_KNOWN,
        name: trace.method.to_owned(),
        kind: SpanKind::Client.into(),
        ..span(
            own,
            request.start,
            (exchange.from, exchange.to),
            attributes,
            failed,
        )
    }
}

/// What all spans have.
fn span(
    own: Context,
    start: SystemTime,
    (from, to): (Duration, Duration),
    attributes: Vec<KeyValue>,
    failed: bool,
) -> Span {
    let at = |offset: Duration| {
        let time = start.checked_add(offset).unwrap_or(start);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    Span {
        trace_id: own.trace.to_vec(),
        span_id: own.span.to_vec(),
        start_time_unix_nano: at(from),
        end_time_unix_nano: at(to),
        attributes,
        status: failed.then_some(Status::ERROR),
        ..Span::default()
    }
}

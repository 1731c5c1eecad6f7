//! The messages of OTLP (opentelemetry-proto 1.x) that are sent and read here, with the fields
//! that are used. The crate that has them all brings the whole of OpenTelemetry's SDK along; the
//! tests hold these against it.

use prost::{Enumeration, Message, Oneof};

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportLogs {
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

/// The log records of one process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

/// The log records of one part of it.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

/// One log record.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    /// 1 to 24, four of each of trace, debug, info, warn, error and fatal.
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    #[prost(string, tag = "3")]
    pub severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    #[prost(string, tag = "12")]
    pub event_name: String,
}

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportSpans {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

/// The spans of one process.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// The spans of one part of it.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// Empty: it has none.
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    /// W3C's trace flags in the lowest 8 bits, and whether the parent is elsewhere above.
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(enumeration = "SpanKind", tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

/// On which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SpanKind {
    Unspecified = 0,
    Server = 2,
    Client = 3,
}

/// How a span ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Status {
    /// 2: an error.
    #[prost(int32, tag = "3")]
    pub code: i32,
}

impl Status {
    /// It ended in an error.
    pub const ERROR: Self = Self { code: 2 };
}

/// Whose telemetry it is.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Which part of it speaks.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    pub value: Option<Value>,
}

/// What a value is.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Value {
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(string, tag = "1")]
    Text(String),
}

/// `ExportLogsServiceResponse` and `ExportTraceServiceResponse`, which are alike.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExportAnswer {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// What was taken only in part.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{
            logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
            trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
        },
        logs::v1::SeverityNumber,
        trace::v1::{span, status::StatusCode},
    };

    use super::{super::words, *};

    /// What the published definition makes of a message, which must be all of it.
    fn read<T: Message + Default + std::fmt::Debug>(ours: &impl Message) -> T {
        let bytes = ours.encode_to_vec();
        let theirs = T::decode(bytes.as_slice()).unwrap();
        assert_eq!(theirs.encoded_len(), bytes.len(), "{theirs:?}");
        theirs
    }

    #[test]
    fn log_records_are_as_published() {
        let text = |text: &str| AnyValue {
            value: Some(Value::Text(text.to_owned())),
        };
        let record = LogRecord {
            time_unix_nano: 1,
            observed_time_unix_nano: 2,
            severity_number: 13,
            severity_text: "Medium".to_owned(),
            body: Some(text("body")),
            attributes: vec![words::number("n", 7), words::text("t", "x")],
            event_name: "event".to_owned(),
        };
        let ours = ExportLogs {
            resource_logs: vec![ResourceLogs {
                resource: Some(words::about_us()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(words::scope("scope")),
                    log_records: vec![record],
                }],
            }],
        };
        let theirs: ExportLogsServiceRequest = read(&ours);
        let logs = &theirs.resource_logs[0];
        let resource = &logs.resource.as_ref().unwrap().attributes;
        assert_eq!(resource[0].key, "service.name");
        let scope = logs.scope_logs[0].scope.as_ref().unwrap();
        assert_eq!(
            (&*scope.name, &*scope.version),
            ("scope", env!("CARGO_PKG_VERSION"))
        );
        let record = &logs.scope_logs[0].log_records[0];
        assert_eq!(
            (record.time_unix_nano, record.observed_time_unix_nano),
            (1, 2)
        );
        assert_eq!(record.severity_number(), SeverityNumber::Warn);
        assert_eq!(
            (&*record.severity_text, &*record.event_name),
            ("Medium", "event")
        );
        let shown = format!("{:?}", (&record.body, &record.attributes));
        for part in ["StringValue(\"body\")", "IntValue(7)", "StringValue(\"x\")"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn spans_are_as_published() {
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            flags: 0x301,
            name: "name".to_owned(),
            kind: SpanKind::Client.into(),
            start_time_unix_nano: 4,
            end_time_unix_nano: 5,
            attributes: vec![words::number("n", 7)],
            status: Some(Status::ERROR),
        };
        let ours = ExportSpans {
            resource_spans: vec![ResourceSpans {
                resource: Some(words::about_us()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(words::scope("scope")),
                    spans: vec![span],
                }],
            }],
        };
        let theirs: ExportTraceServiceRequest = read(&ours);
        let span = &theirs.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.trace_id, [1; 16]);
        assert_eq!(
            (&span.span_id, &span.parent_span_id),
            (&vec![2; 8], &vec![3; 8])
        );
        assert_eq!((span.flags, &*span.name), (0x301, "name"));
        assert_eq!(span.kind(), span::SpanKind::Client);
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (4, 5));
        assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
    }

    #[test]
    fn answers_are_as_published() {
        let ours = ExportAnswer {
            partial_success: Some(PartialSuccess {
                rejected: 3,
                error_message: "full".to_owned(),
            }),
        };
        let logs: ExportLogsServiceResponse = read(&ours);
        let partial = logs.partial_success.unwrap();
        assert_eq!(
            (partial.rejected_log_records, &*partial.error_message),
            (3, "full")
        );
        let traces: ExportTraceServiceResponse = read(&ours);
        assert_eq!(traces.partial_success.unwrap().rejected_spans, 3);
    }
}

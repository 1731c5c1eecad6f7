//! A collector as an output: the audit log's lines as OTLP log records, each line whole in one
//! record's body, so that the chain can be verified from what the collector has.
//!
//! It blocks as a file does, on the output's own thread: lines are taken when the collector has
//! said so, and one that took only some of them has taken none. So a line may come twice, after
//! an answer that was lost, but none is missing unnoticed.

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message;
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};

use super::{
    chain::{Line, severity_of, time_of},
    target::Broken,
};
use crate::{
    config,
    model::Deadline,
    otlp::{
        self, Failure,
        messages::{AnyValue, ExportLogs, LogRecord, ResourceLogs, ScopeLogs, Value},
    },
};

/// So much goes in one request: bytes of lines, and lines.
pub(super) const MOST: usize = 1024 * 1024;
const MOST_LINES: usize = 2048;
/// Enough turns of an event loop that slept for its connections to notice what came meanwhile.
const TURNS: usize = 4;

/// A collector that is ready to take lines.
#[derive(Debug)]
pub(super) struct Collector {
    client: otlp::Client,
    /// A collector that takes longer has not accepted.
    timeout: Duration,
    /// Nothing was taken yet.
    fresh: bool,
    /// Runs only while lines are being sent. `None` once it was dropped.
    event_loop: Option<Runtime>,
}

impl Collector {
    /// Makes the way there ready; connects with the first lines.
    pub(super) fn open(settings: &config::Collector, timeout: Duration) -> io::Result<Self> {
        let client = otlp::Client::new(&settings.logs, &settings.roots);
        let event_loop = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            client: client.map_err(io::Error::other)?,
            timeout,
            fresh: true,
            event_loop: Some(event_loop),
        })
    }

    /// Takes so long at most from here on.
    pub(super) const fn follow(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Sends whole lines; they are there when this returns.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let deadline = Deadline::after(self.timeout);
        let mut whole = 0_usize;
        for lines in requests(lines) {
            self.send(lines, deadline).map_err(|fault| Broken {
                whole,
                fault: fault.into(),
            })?;
            whole = whole.saturating_add(lines.len());
            self.fresh = false;
        }
        Ok(())
    }

    fn send(&self, lines: &[u8], deadline: Deadline) -> Result<(), Failure> {
        let Some(event_loop) = &self.event_loop else {
            return Err(Failure::Timeout);
        };
        let message = Bytes::from(request(lines).encode_to_vec());
        let partial = event_loop.block_on(async {
            // a connection that the collector closed while nothing was sent is no good any more
            for _ in 0..TURNS {
                yield_now().await;
            }
            self.client.deliver(&message, deadline).await
        })?;
        if partial.rejected > 0 {
            return Err(Failure::Rejected {
                rejected: partial.rejected,
                message: partial.error_message,
            });
        }
        Ok(())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(event_loop) = self.event_loop.take() {
            // it may be dropped on a thread that must not wait for it
            event_loop.shutdown_background();
        }
    }
}

/// Cuts lines into parts that each fit a request. A line that is longer goes alone.
fn requests(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let mut end = 0_usize;
        for line in rest.split_inclusive(|byte| *byte == b'\n').take(MOST_LINES) {
            let next = end.saturating_add(line.len());
            if end > 0 && next > MOST {
                break;
            }
            end = next;
        }
        let (part, left) = rest.split_at_checked(end)?;
        rest = left;
        (!part.is_empty()).then_some(part)
    })
}

fn request(lines: &[u8]) -> ExportLogs {
    let now = nanoseconds(SystemTime::now());
    let lines = lines.split(|byte| *byte == b'\n');
    let log_records = lines.filter(|line| !line.is_empty());
    let log_records = log_records.map(|line| record(line, now)).collect();
    ExportLogs {
        resource_logs: vec![ResourceLogs {
            resource: Some(otlp::about_us()),
            scope_logs: vec![ScopeLogs {
                scope: Some(otlp::scope("mfa_gateway.audit")),
                log_records,
            }],
        }],
    }
}

fn record(line: &[u8], now: u64) -> LogRecord {
    let (severity_number, severity_text) = severity(severity_of(line));
    let sequence = Line::parse(line).map(|line| line.sequence);
    let body = Value::Text(String::from_utf8_lossy(line).into_owned());
    LogRecord {
        time_unix_nano: time_of(line).map_or(0, |time| time.saturating_mul(1_000_000)),
        observed_time_unix_nano: now,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        attributes: sequence
            .map(|sequence| otlp::number("mfa_gateway.audit.sequence", sequence))
            .into_iter()
            .collect(),
        event_name: "mfa_gateway.audit".to_owned(),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// OCSF's severity as OpenTelemetry's, and OCSF's word for it.
const fn severity(ocsf: u64) -> (i32, &'static str) {
    match ocsf {
        1 => (9, "Informational"),
        2 => (10, "Low"),
        3 => (13, "Medium"),
        4 => (17, "High"),
        5 => (20, "Critical"),
        6 => (21, "Fatal"),
        _ => (0, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_bounded_in_bytes_and_lines_and_nothing_is_cut() {
        let short = b"x\n".repeat(MOST_LINES + 5);
        let long = [vec![b'x'; MOST], b"\n".to_vec()].concat();
        let middle = [vec![b'x'; MOST / 3], b"\n".to_vec()].concat().repeat(4);
        for (lines, parts) in [
            (Vec::new(), 0),
            (short, 2),
            (long.repeat(2), 2),
            (middle, 2),
        ] {
            let requests: Vec<_> = requests(&lines).collect();
            assert_eq!(requests.len(), parts);
            assert_eq!(requests.concat(), lines);
            assert!(requests.iter().all(|part| part.ends_with(b"\n")));
        }
    }

    #[test]
    fn a_line_is_a_record_with_its_time_severity_and_number() {
        let line =
            br#"{"metadata":{"sequence":7,"a":1},"time":1234,"severity_id":3,"b":"c","hash":""}}"#;
        let record = record(line, 9);
        assert_eq!(record.time_unix_nano, 1_234_000_000);
        assert_eq!(
            (record.severity_number, &*record.severity_text),
            (13, "Medium")
        );
        let Some(Value::Text(body)) = record.body.unwrap().value else {
            panic!("no text");
        };
        assert_eq!(body.as_bytes(), line);
        assert_eq!(
            record.attributes,
            [otlp::number("mfa_gateway.audit.sequence", 7_u64)]
        );
    }
}

//! All metrics, in one place, in the OpenMetrics form.
//!
//! Requests are counted from the same [`Event`] that the audit log writes, so the two can't
//! disagree. Labels come from enums and the configuration; no label ever holds an email, a
//! user, a tenant or a path. To add one: a field, a line in `new`, a row in the operator's guide.

use std::{
    fmt,
    sync::{OnceLock, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use super::few::Few;
use crate::{event::Event, route::Operation};

/// Bounds in seconds: fine where a good answer lies, coarse up to `request_timeout`.
const BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<OperationLabel, Histogram>,
    upstream_duration: Family<OperationLabel, Histogram>,
    /// Those of the above that belong to one operation, by its index; the last is none's.
    by_operation: Box<[OnceLock<OfOperation>]>,
    limit_decisions: Family<DecisionLabels, Counter>,
    decisions: Few<(&'static str, &'static str), Counter>,
    limit_keys: Gauge,
    /// 1 while the limits' store can be used.
    pub limit_store_up: Gauge,
    credential_refreshes: Family<ResultLabel, Counter>,
    credential_expiry: Gauge,
    audit_records: Family<RecordLabels, Counter>,
    audit_appends: Family<OutputLabel, Counter>,
    audit_output_up: Family<OutputLabel, Gauge>,
    spans: Family<ResultLabel, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    in_flight: Gauge,
    /// 1 after a reload that was taken; 0 after one that was refused, and while a file that changed
    /// can't be used.
    pub config_reload_success: Gauge,
}

/// What a request of one operation counts.
struct OfOperation {
    name: &'static str,
    /// By status and reason.
    requests: Few<(u16, &'static str), Counter>,
    request_duration: Histogram,
    /// Not before one was sent.
    upstream_duration: OnceLock<Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    status: u16,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    limit: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RecordLabels {
    output: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutputLabel {
    output: String,
}

/// What others count for themselves, read when metrics are asked for.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Entries of the limiter's store.
    pub limit_keys: usize,
    /// Exchanges of the credential that succeeded and that failed.
    pub credential_refreshes: (u64, u64),
    /// When the credential in hand runs out, in seconds since 1970; 0 where there is none.
    pub credential_expiry: i64,
    /// Records by output and result.
    pub audit_records: Vec<(String, &'static str, u64)>,
    /// How many appends they took, by output.
    pub audit_appends: Vec<(String, u64)>,
    /// Whether an output takes records, by output.
    pub audit_output_up: Vec<(String, bool)>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("mfa_gateway");
        let seconds: fn() -> Histogram = || Histogram::new(BOUNDS);
        let histogram = || Family::new_with_constructor(seconds);
        let metrics = Self {
            requests: Family::default(),
            request_duration: histogram(),
            upstream_duration: histogram(),
            by_operation: (0..=Operation::ALL.len())
                .map(|_| OnceLock::new())
                .collect(),
            limit_decisions: Family::default(),
            decisions: Few::new(),
            limit_keys: Gauge::default(),
            limit_store_up: Gauge::default(),
            credential_refreshes: Family::default(),
            credential_expiry: Gauge::default(),
            audit_records: Family::default(),
            audit_appends: Family::default(),
            audit_output_up: Family::default(),
            spans: Family::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            config_reload_success: Gauge::default(),
            registry: Registry::default(),
        };
        metrics.config_reload_success.set(1);
        metrics.limit_store_up.set(1); // memory is always there
        metrics.register(&mut registry);
        metrics.register_process(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's head to its answer",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register_with_unit(
            "upstream_duration",
            "From the wish for a connection to the vendor to its whole answer",
            Unit::Seconds,
            self.upstream_duration.clone(),
        );
        registry.register(
            "limit_decisions",
            "Decisions by limit",
            self.limit_decisions.clone(),
        );
        registry.register(
            "limit_keys",
            "Keys that are counted at present",
            self.limit_keys.clone(),
        );
        registry.register(
            "limit_store_up",
            "Whether the limits' store can be used",
            self.limit_store_up.clone(),
        );
        registry.register(
            "credential_refreshes",
            "Exchanges of the environment's credential",
            self.credential_refreshes.clone(),
        );
        registry.register(
            "credential_expiry_timestamp_seconds",
            "When the credential in hand runs out",
            self.credential_expiry.clone(),
        );
        registry.register(
            "audit_records",
            "Audit records by output",
            self.audit_records.clone(),
        );
        registry.register(
            "audit_appends",
            "Appends that audit records took, each a sync where durability is synced",
            self.audit_appends.clone(),
        );
        registry.register(
            "audit_output_up",
            "Whether an audit output takes records",
            self.audit_output_up.clone(),
        );
    }

    /// Of the process rather than of requests.
    fn register_process(&self, registry: &mut Registry) {
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", version);
        registry.register("spans", "Spans by what became of them", self.spans.clone());
        registry.register(
            "connections",
            "Connections that are open",
            self.connections.clone(),
        );
        registry.register(
            "in_flight_requests",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "config_reload_success",
            "Whether the configuration was taken when last told to, and its files as they are",
            self.config_reload_success.clone(),
        );
    }

    /// Counts a request as being answered for as long as the guard lives.
    #[must_use]
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts a request that has ended.
    pub fn request(&self, event: &Event) {
        let Some(metrics) = self.of(event.operation) else {
            return;
        };
        // 499 is what proxies log for a caller who left before the answer
        let status = event.status.map_or(499, |status| status.as_u16());
        let reason = event.reason.unwrap_or("");
        let operation = metrics.name;
        let labels = || RequestLabels {
            operation,
            status,
            reason,
        };
        let make = || self.requests.get_or_create_owned(&labels());
        metrics.requests.with((status, reason), make, |counter| {
            counter.inc();
        });
        metrics
            .request_duration
            .observe(event.duration.as_secs_f64());
        if let Some(upstream) = &event.upstream {
            let label = OperationLabel { operation };
            metrics
                .upstream_duration
                .get_or_init(|| self.upstream_duration.get_or_create_owned(&label))
                .observe(upstream.duration.as_secs_f64());
        }
    }

    fn of(&self, operation: Option<Operation>) -> Option<&OfOperation> {
        let index = operation.map_or(Operation::ALL.len(), Operation::index);
        let name = operation.map_or("none", Operation::name);
        let make = || OfOperation {
            name,
            requests: Few::new(),
            request_duration: self
                .request_duration
                .get_or_create_owned(&OperationLabel { operation: name }),
            upstream_duration: OnceLock::new(),
        };
        Some(self.by_operation.get(index)?.get_or_init(make))
    }

    /// Counts a limit's decision.
    pub fn limit(&self, limit: &'static str, decision: &'static str) {
        let labels = DecisionLabels { limit, decision };
        let make = || self.limit_decisions.get_or_create_owned(&labels);
        self.decisions.with((limit, decision), make, |counter| {
            counter.inc();
        });
    }

    /// Counts spans that were `exported`, that the collector did not take (`failed`), or for which
    /// there was no room (`dropped`).
    pub fn spans(&self, result: &'static str, count: u64) {
        self.spans
            .get_or_create(&ResultLabel { result })
            .inc_by(count);
    }

    /// All of them as text.
    ///
    /// # Errors
    /// Where the encoder fails, which it has no reason to.
    pub fn render(&self, readings: &Readings) -> Result<String, fmt::Error> {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.limit_keys.set(gauge(readings.limit_keys));
        self.credential_expiry.set(readings.credential_expiry);
        let (succeeded, failed) = readings.credential_refreshes;
        set(
            &self
                .credential_refreshes
                .get_or_create(&ResultLabel { result: "success" }),
            succeeded,
        );
        set(
            &self
                .credential_refreshes
                .get_or_create(&ResultLabel { result: "failure" }),
            failed,
        );
        for (output, result, count) in &readings.audit_records {
            let labels = RecordLabels {
                output: output.clone(),
                result,
            };
            set(&self.audit_records.get_or_create(&labels), *count);
        }
        for (output, count) in &readings.audit_appends {
            let output = output.clone();
            set(
                &self.audit_appends.get_or_create(&OutputLabel { output }),
                *count,
            );
        }
        for (output, up) in &readings.audit_output_up {
            let output = output.clone();
            self.audit_output_up
                .get_or_create(&OutputLabel { output })
                .set(i64::from(*up));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Shows a count that is kept elsewhere.
fn set(counter: &Counter<u64, AtomicU64>, value: u64) {
    counter
        .inner()
        .store(value, std::sync::atomic::Ordering::Relaxed);
}

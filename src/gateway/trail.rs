//! One request's record, from its first byte to its last.
//!
//! Whatever is known is told to the trail at once, so that a later refusal still names route
//! and caller. However a request ends, exactly one record of its end is written: by
//! [`Trail::refused`] or [`Trail::completed`], and when the caller leaves (hyper drops the
//! request's future), the process ends or a bug unwinds, by `Drop`.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, request::Parts};
use tokio::time::Instant;

use super::{context::Services, rejection::Rejection};
use crate::{
    audit::{Audit, NotAccepted},
    body::Checked,
    event::{Event, LimitNote, Outcome, Peer, Stage, UpstreamNote},
    model::{CallerName, Region, RequestId, UserId},
    route::{Operation, RouteMatch},
    subject::Subject,
    telemetry::{
        metrics::{InFlight, Metrics},
        traces::{Onward, Trace},
    },
};

/// The guard of one request's record.
pub(super) struct Trail {
    event: Event,
    began: Instant,
    audit: Audit,
    metrics: Arc<Metrics>,
    /// `None` where nobody wants it.
    trace: Option<Box<Trace>>,
    ended: bool,
    _in_flight: InFlight,
}

impl Trail {
    /// From here on one record of the request's end is certain.
    pub(super) fn start(
        audit: &Audit,
        services: &Services,
        region: Region,
        peer: Peer,
        head: &Parts,
    ) -> Self {
        let mut theirs = head.headers.get_all(RequestId::HEADER).iter();
        let (request_id, metrics) = (RequestId::new(), &services.metrics);
        let traces = services.traces.as_ref();
        Self {
            event: Event {
                start: SystemTime::now(),
                request_id,
                caller_request_id: theirs.next().cloned(),
                peer,
                client: None,
                operation: None,
                region,
                caller: None,
                tenant: None,
                user: None,
                email: None,
                login: None,
                device: None,
                limit: None,
                upstream: None,
                outcome: Outcome::Refused,
                reason: None,
                status: None,
                duration: Duration::ZERO,
            },
            began: Instant::now(),
            audit: audit.clone(),
            metrics: Arc::clone(metrics),
            trace: traces.and_then(|traces| traces.begin(request_id, head)),
            ended: false,
            _in_flight: metrics.enter(),
        }
    }

    pub(super) const fn request_id(&self) -> RequestId {
        self.event.request_id
    }

    pub(super) fn client(&mut self, address: Option<IpAddr>) {
        self.event.client = address;
    }

    pub(super) fn operation(&mut self, operation: Option<Operation>) {
        self.event.operation = operation;
    }

    pub(super) fn route(&mut self, matched: &RouteMatch<'_>) {
        let operation = matched.facts().operation;
        self.event.operation = Some(operation);
        let parameter = matched.parameter().map(|parameter| parameter.as_str());
        if operation == Operation::UserUnenroll {
            self.event.user = parameter.and_then(|user| UserId::parse(user).ok());
        } else {
            self.event.device = parameter.map(Into::into);
        }
    }

    pub(super) fn caller(&mut self, name: Option<&CallerName>) {
        self.event.caller = name.cloned();
    }

    pub(super) fn body(&mut self, body: &Checked) {
        self.event.email = body
            .email
            .as_ref()
            .map(|email| self.audit.email(email.as_str()));
        self.event.login = match (&self.event.email, &body.login_token) {
            (None, Some(token)) => Some(self.audit.token_hash(token)),
            (Some(_), _) | (None, None) => None,
        };
    }

    pub(super) fn subject(&mut self, subject: &Subject) {
        self.event.tenant = subject.tenant().cloned();
        if let Some(user) = subject.user() {
            self.event.user = Some(user.clone());
        }
    }

    pub(super) fn limit(&mut self, note: Option<LimitNote>) {
        self.event.limit = note;
        if let Some(note) = note.filter(|note| note.would_refuse) {
            tracing::info!(
                request_id = %self.event.request_id,
                operation = self.event.operation.map(Operation::name),
                limit = note.name,
                "a limit that only observes would have refused"
            );
        }
    }

    /// It is about to be sent; how the vendor is told of the trace, where there is one.
    pub(super) fn exchange(&mut self) -> Option<Onward> {
        self.trace.as_mut().map(|trace| trace.exchange())
    }

    /// What came of sending it. A second try without an answer doesn't hide the first one's.
    pub(super) fn upstream(&mut self, note: UpstreamNote) {
        if let Some(trace) = &mut self.trace {
            trace.exchanged(&note, self.began.elapsed());
        }
        if note.status.is_some() || self.event.upstream.is_none() {
            self.event.upstream = Some(note);
        }
    }

    /// Records that the request is about to go to the vendor.
    pub(super) fn admitted(
        &mut self,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        self.event.outcome = Outcome::Pending;
        self.event.duration = self.began.elapsed();
        let acceptance = self.audit.record(&self.event);
        // from here on it is an exchange, and ends as one
        self.event.outcome = Outcome::Failed;
        acceptance
    }

    /// The record that it is about to go wasn't accepted, so it goes nowhere.
    pub(super) fn not_admitted(&mut self) {
        self.event.outcome = Outcome::Refused;
    }

    /// Records that the gateway said no.
    pub(super) fn refused(
        &mut self,
        rejection: &Rejection,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        let facts = rejection.facts();
        self.event.reason = Some(facts.code);
        self.event.status = Some(facts.status);
        self.end()
    }

    /// Records that the vendor answered.
    pub(super) fn completed(
        &mut self,
        status: StatusCode,
    ) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        self.event.status = Some(status);
        self.event.outcome = if status.is_success() {
            Outcome::Succeeded
        } else if status.is_client_error() {
            Outcome::Denied
        } else {
            Outcome::Failed
        };
        self.end()
    }

    fn end(&mut self) -> impl Future<Output = Result<(), NotAccepted>> + Send + use<> {
        self.ended = true;
        self.event.duration = self.began.elapsed();
        self.metrics.request(&self.event);
        if let Some(trace) = self.trace.take() {
            trace.end(&self.event);
        }
        tracing::debug!(
            request_id = %self.event.request_id,
            operation = self.event.operation.map(Operation::name),
            status = self.event.status.map(|status| status.as_u16()),
            reason = self.event.reason,
            "request ended"
        );
        self.audit.record(&self.event)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.ended {
            let reason = match self.event.outcome.stage() {
                _ if std::thread::panicking() => "internal-error",
                // an exchange outlives its caller, but not the process
                Stage::Completed => "cut-off",
                Stage::Admitted | Stage::Refused => "caller-left",
            };
            self.event.reason = Some(reason);
            // nobody is there to wait for it; the record is kept all the same
            drop(self.end());
        }
    }
}

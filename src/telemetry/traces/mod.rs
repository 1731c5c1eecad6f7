//! Traces: a span for each request, and one for each exchange with the vendor below it.
//!
//! A request costs a few allocations and a lock that is held for a push; a thread of its own
//! takes what has gathered to the collector. What can't be taken there in time is dropped and
//! counted: a trace is for looking, the audit log is for proving. Whose parent isn't sampled has
//! no spans.
//!
//! SECURITY: a span names the operation, never an email, user, tenant, path parameter or query.

mod context;
mod export;
mod spans;

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, request::Parts};
use tokio::sync::Notify;
use uuid::Uuid;

pub use context::TRACEPARENT;
pub use export::{Exporter, ExporterError};

use self::context::Context;
use super::metrics::Metrics;
use crate::{
    event::{Event, UpstreamNote},
    model::RequestId,
    route::Operation,
};

/// Finished requests that wait for the collector; more are dropped.
const MOST: usize = 8192;
/// So many wake the exporter before its time.
const ENOUGH: usize = 512;

/// Where requests leave their spans. Cloning it is a reference count.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    finished: Mutex<Vec<Finished>>,
    wake: Notify,
    closing: AtomicBool,
    metrics: Arc<Metrics>,
}

/// One request's trace.
#[derive(Debug)]
pub struct Trace {
    queue: Arc<Queue>,
    /// The caller's span.
    parent: Option<Context>,
    own: Context,
    method: &'static str,
    /// The exchange with the vendor that is under way.
    open: Option<[u8; 8]>,
    exchanges: Vec<Exchange>,
}

/// One exchange with the vendor.
#[derive(Debug)]
struct Exchange {
    span: [u8; 8],
    host: Arc<str>,
    /// From the request's start.
    from: Duration,
    to: Duration,
    status: Option<StatusCode>,
}

/// What goes to the vendor of a trace.
#[derive(Clone, Debug)]
pub struct Onward {
    /// Names the exchange's span.
    pub traceparent: HeaderValue,
    /// The trace began here: what other traces' systems said of theirs doesn't go on.
    pub is_root: bool,
}

/// A trace and what became of its request.
#[derive(Debug)]
struct Finished {
    trace: Box<Trace>,
    request_id: RequestId,
    operation: Option<Operation>,
    start: SystemTime,
    duration: Duration,
    status: Option<StatusCode>,
    reason: Option<&'static str>,
}

impl Traces {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Queue {
            finished: Mutex::default(),
            wake: Notify::new(),
            closing: AtomicBool::new(false),
            metrics,
        }))
    }

    /// The trace of a request; `None` where nobody wants it.
    #[must_use]
    pub fn begin(&self, request_id: RequestId, head: &Parts) -> Option<Box<Trace>> {
        let parent = Context::of(&head.headers);
        let own = match parent {
            Some(parent) if !parent.is_sampled() => return None,
            Some(parent) => Context {
                span: span_id(),
                ..parent
            },
            // a new trace is called as its first request is, so that the audit log leads there
            None => Context::root(*request_id.as_bytes(), span_id()),
        };
        Some(Box::new(Trace {
            queue: Arc::clone(&self.0),
            parent,
            own,
            method: name(&head.method),
            open: None,
            exchanges: Vec::new(),
        }))
    }
}

impl Trace {
    /// An exchange with the vendor begins.
    pub fn exchange(&mut self) -> Onward {
        let span = span_id();
        self.open = Some(span);
        let exchange = Context { span, ..self.own };
        Onward {
            traceparent: exchange.to_header(),
            is_root: self.parent.is_none(),
        }
    }

    /// It has ended, so long after the request's start.
    pub fn exchanged(&mut self, note: &UpstreamNote, to: Duration) {
        if let Some(span) = self.open.take() {
            self.exchanges.push(Exchange {
                span,
                host: Arc::clone(&note.host),
                from: to.saturating_sub(note.duration),
                to,
                status: note.status,
            });
        }
    }

    /// The request has ended like this.
    pub fn end(self: Box<Self>, event: &Event) {
        let queue = Arc::clone(&self.queue);
        queue.push(Finished {
            trace: self,
            request_id: event.request_id,
            operation: event.operation,
            start: event.start,
            duration: event.duration,
            status: event.status,
            reason: event.reason,
        });
    }
}

impl Finished {
    fn spans(&self) -> u64 {
        let exchanges = u64::try_from(self.trace.exchanges.len()).unwrap_or(u64::MAX);
        exchanges.saturating_add(1)
    }
}

impl Queue {
    fn push(&self, request: Finished) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.len() >= MOST {
            drop(finished);
            return self.metrics.spans("dropped", request.spans());
        }
        finished.push(request);
        let enough = finished.len() == ENOUGH;
        drop(finished);
        if enough {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Vec<Finished> {
        mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Random but for two bits, and so never zero.
fn span_id() -> [u8; 8] {
    let mut id = [0; 8];
    let (_time, random) = Uuid::now_v7().as_u64_pair();
    id.copy_from_slice(&random.to_be_bytes());
    id
}

/// A method as it may be told: any other could be anything.
fn name(method: &Method) -> &'static str {
    const KNOWN: [(Method, &str); 9] = [
        (Method::GET, "GET"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::DELETE, "DELETE"),
        (Method::PATCH, "PATCH"),
        (Method::HEAD, "HEAD"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::CONNECT, "CONNECT"),
        (Method::TRACE, "TRACE"),
    ];
    let found = KNOWN.iter().find(|(known, _name)| known == method);
    found.map_or("_OTHER", |(_known, name)| name)
}

#[cfg(test)]
mod tests;

//! Takes finished requests' spans to the collector, on a thread of its own.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use tokio::{
    runtime::{self, Runtime},
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{Finished, Queue, Traces, spans};
use crate::{
    config::Collector,
    model::Deadline,
    net::SetupError,
    otlp::{
        self, Client,
        messages::{ExportSpans, ResourceSpans, ScopeSpans},
    },
    telemetry::metrics::Metrics,
};

/// The longest that a span waits when few come.
const EVERY: Duration = Duration::from_secs(1);
/// Requests whose spans go in one message.
const TOGETHER: usize = 512;
/// How long a message is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all is tried that there is at the end.
const LAST: Duration = Duration::from_secs(2);

/// The thread that exports.
#[derive(Debug)]
pub struct Exporter {
    queue: Arc<Queue>,
    ended: oneshot::Receiver<()>,
}

/// It can't be started.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The way to the collector can't be taken as it is configured.
    #[error(transparent)]
    Net(#[from] SetupError),
    /// The system gives no thread.
    #[error("a thread for traces can't be started: {0}")]
    Thread(#[from] io::Error),
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ExporterError`]; that the collector can't be reached is none.
    pub fn start(
        collector: &Collector,
        metrics: Arc<Metrics>,
    ) -> Result<(Traces, Self), ExporterError> {
        let client = Client::new(&collector.traces, &collector.roots)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let traces = Traces::new(metrics);
        let (end, ended) = oneshot::channel();
        let exporting = Exporting {
            queue: Arc::clone(&traces.0),
            client,
            failing: false,
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || run(&runtime, exporting, end))?;
        let queue = Arc::clone(&traces.0);
        Ok((traces, Self { queue, ended }))
    }

    /// Exports what there is, and ends. Takes a few seconds at most.
    pub async fn end(mut self) {
        self.queue.close();
        if timeout(LAST, &mut self.ended).await.is_err() {
            tracing::warn!("the last traces did not reach the collector");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn run(runtime: &Runtime, exporting: Exporting, end: oneshot::Sender<()>) {
    runtime.block_on(exporting.run());
    // nobody waits for it where the time was up
    end.send(()).unwrap_or_default();
}

struct Exporting {
    queue: Arc<Queue>,
    client: Client,
    /// The last message was not taken.
    failing: bool,
}

impl Exporting {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.queue.wake.notified() => {}
            }
            let closing = self.queue.closing.load(Ordering::Acquire);
            let patience = if closing { LAST } else { PATIENCE };
            for requests in self.queue.take().chunks(TOGETHER) {
                self.export(requests, Deadline::after(patience)).await;
            }
            if closing {
                return;
            }
        }
    }

    async fn export(&mut self, requests: &[Finished], deadline: Deadline) {
        let message = Bytes::from(message(requests).encode_to_vec());
        let count = requests.iter().map(Finished::spans);
        let count = count.fold(0, u64::saturating_add);
        match self.client.deliver(&message, deadline).await {
            Ok(partial) => {
                let rejected = u64::try_from(partial.rejected)
                    .unwrap_or_default()
                    .min(count);
                let metrics = &self.queue.metrics;
                metrics.spans("exported", count.saturating_sub(rejected));
                metrics.spans("failed", rejected);
                if self.failing {
                    tracing::info!("traces reach the collector again");
                }
                self.failing = false;
            }
            Err(error) => {
                self.queue.metrics.spans("failed", count);
                if !self.failing {
                    tracing::warn!(%error, "traces don't reach the collector and are dropped until they do");
                }
                self.failing = true;
            }
        }
    }
}

fn message(requests: &[Finished]) -> ExportSpans {
    ExportSpans {
        resource_spans: vec![ResourceSpans {
            resource: Some(otlp::about_us()),
            scope_spans: vec![ScopeSpans {
                scope: Some(otlp::scope("mfa_gateway")),
                spans: requests.iter().flat_map(spans::of).collect(),
            }],
        }],
    }
}

//! Where traces and audit records go by OTLP.

use std::sync::Arc;

use http::Uri;
use rustls::RootCertStore;

/// An OpenTelemetry collector, or whatever else takes OTLP over HTTP.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Takes audit records.
    pub logs: Uri,
    /// Takes traces.
    pub traces: Uri,
    /// Whose certificates are trusted, where it is reached by https.
    pub roots: Arc<RootCertStore>,
}

/// Two are the same that are at the same place.
impl PartialEq for Collector {
    fn eq(&self, other: &Self) -> bool {
        (&self.logs, &self.traces) == (&other.logs, &other.traces)
    }
}

impl Eq for Collector {}

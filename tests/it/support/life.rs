//! What the gateway tells of its own life: metrics, and audit records that belong to no request.

use std::{
    fs,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::{Rig, patience};

impl Rig {
    /// The value of a metric, with its labels as they stand in the text.
    pub(crate) async fn metric(&self, sample: &str) -> Option<String> {
        let metrics = self.ask_admin(Method::GET, "/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        let mut samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = samples.find(|(name, _)| *name == sample)?;
        Some(value.to_owned())
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until_metric(&self, sample: &str, value: &str) {
        let began = Instant::now();
        loop {
            let now = self.metric(sample).await;
            if now.as_deref() == Some(value) {
                return;
            }
            assert!(began.elapsed() < patience(), "{sample} stays {now:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a probe answers with this status, and gives the answer's text.
    pub(crate) async fn until_probe(&self, target: &str, status: u16) -> String {
        let began = Instant::now();
        loop {
            let answer = self.ask_admin(Method::GET, target).await;
            if answer.status == status {
                return String::from_utf8(answer.body.to_vec()).unwrap();
            }
            assert!(began.elapsed() < patience(), "{target}: {answer:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the audit log says of the gateway's own life, without the headers of files.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        let records = self.audit.records().into_iter();
        let events = records.filter_map(|record| {
            let event = record.0["unmapped"]["event"].as_str()?.to_owned();
            (event != "header").then(|| (event, record.0["unmapped"].clone()))
        });
        events.collect()
    }

    /// The names of [`Self::events`].
    pub(crate) fn event_names(&self) -> Vec<String> {
        self.events().into_iter().map(|(name, _)| name).collect()
    }

    /// Replaces text in the configuration's file.
    pub(crate) fn edit(&self, old: &str, new: &str) {
        let file = self.path("gateway.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{old:?} is not in {text}");
        fs::write(file, text.replace(old, new)).unwrap();
    }
}

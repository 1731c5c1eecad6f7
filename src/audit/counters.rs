//! How many records each output took and missed, and whether it takes any, for the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The counts of all outputs.
#[derive(Debug)]
pub struct Counters {
    outputs: Vec<Output>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Output {
    name: String,
    written: AtomicU64,
    failed: AtomicU64,
    appends: AtomicU64,
    up: AtomicBool,
}

/// One count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<'a> {
    /// The output's name; `all` for records that no output took.
    pub output: &'a str,
    /// `written`, `failed` (this output did not take it when it should have) or `lost` (none
    /// did, and it isn't kept).
    pub result: &'static str,
    /// How many records.
    pub records: u64,
}

impl Output {
    fn read(&self) -> [Count<'_>; 2] {
        [
            Count::of(&self.name, "written", &self.written),
            Count::of(&self.name, "failed", &self.failed),
        ]
    }
}

impl<'a> Count<'a> {
    fn of(output: &'a str, result: &'static str, records: &AtomicU64) -> Self {
        Self {
            output,
            result,
            records: records.load(Ordering::Relaxed),
        }
    }
}

impl Counters {
    /// Of outputs by name, with whether each takes records.
    pub(super) fn new(outputs: impl Iterator<Item = (String, bool)>) -> Self {
        let output = |(name, up)| Output {
            name,
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            up: AtomicBool::new(up),
        };
        Self {
            outputs: outputs.map(output).collect(),
            lost: AtomicU64::new(0),
        }
    }

    /// Every count there is.
    pub fn read(&self) -> impl Iterator<Item = Count<'_>> {
        let lost = Count::of("all", "lost", &self.lost);
        self.outputs.iter().flat_map(Output::read).chain([lost])
    }

    /// For each output, how many appends (and, with `durability = "synced"`, syncs) its
    /// records took.
    pub fn appends(&self) -> impl Iterator<Item = (&str, u64)> {
        let of = |output: &'_ Output| output.appends.load(Ordering::Relaxed);
        self.outputs
            .iter()
            .map(move |output| (output.name.as_str(), of(output)))
    }

    /// For each output, whether it takes records.
    pub fn up(&self) -> impl Iterator<Item = (&str, bool)> {
        let of = |output: &'_ Output| output.up.load(Ordering::Relaxed);
        self.outputs
            .iter()
            .map(move |output| (output.name.as_str(), of(output)))
    }

    pub(super) fn name(&self, index: usize) -> Option<&str> {
        self.outputs.get(index).map(|output| output.name.as_str())
    }

    /// Output `index` takes records from here on, or none.
    pub(super) fn set_up(&self, index: usize, up: bool) {
        if let Some(output) = self.outputs.get(index) {
            output.up.store(up, Ordering::Relaxed);
        }
    }

    pub(super) fn wrote(&self, index: usize, records: u64) {
        if let Some(output) = self.outputs.get(index) {
            output.written.fetch_add(records, Ordering::Relaxed);
            if records > 0 {
                output.appends.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn missed(&self, index: usize, records: u64) {
        if let Some(output) = self.outputs.get(index) {
            output.failed.fetch_add(records, Ordering::Relaxed);
        }
    }

    pub(super) fn lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }
}

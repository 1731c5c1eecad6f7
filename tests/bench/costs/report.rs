//! Figures of all rounds, and the table that is made of them.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    support::figures::{median, microseconds, ratios, spread},
    variants::{VARIANTS, Variant},
};

/// One variant in one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: usize,
    pub(crate) span: Duration,
    /// The gateway's own time on the processor.
    pub(crate) cpu: Duration,
    pub(crate) latencies: Vec<Duration>,
    /// The store's own time in scripts, per request.
    pub(crate) script: Option<Duration>,
}

/// All samples, by variant; each variant has one of each round, in their order.
#[derive(Default)]
pub(crate) struct Samples {
    by_variant: BTreeMap<&'static str, Vec<Figures>>,
    notes: Vec<String>,
}

/// What is shown of a sample. Times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
    script: Option<f64>,
}

impl From<Sample> for Figures {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn from(sample: Sample) -> Self {
        let mut latencies = sample.latencies;
        latencies.sort_unstable();
        let rank = |hundredths: usize| microseconds(latencies[latencies.len() * hundredths / 100]);
        let requests = sample.requests as f64;
        Self {
            rate: requests / sample.span.as_secs_f64(),
            cpu: microseconds(sample.cpu) / requests,
            p50: rank(50),
            p99: rank(99),
            script: sample.script.map(microseconds),
        }
    }
}

impl Samples {
    pub(crate) fn add(&mut self, variant: &Variant, sample: Sample) {
        let samples = self.by_variant.entry(variant.name).or_default();
        samples.push(sample.into());
    }

    /// A line to stand below the table.
    pub(crate) fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// In Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| variant | requests/s | CPU µs a request | p50 µs | p99 µs | against | requests/s | CPU a request | p50 |\n\
             |---|--:|--:|--:|--:|---|--:|--:|--:|\n",
        );
        for variant in VARIANTS {
            let Some(figures) = self.by_variant.get(variant.name) else {
                continue;
            };
            let of = |field: fn(&Figures) -> f64| median(figures.iter().map(field).collect());
            write!(
                text,
                "| `{}`: {} | {:.0} | {:.1} | {:.0} | {:.0} |",
                variant.name,
                variant.what,
                of(|figures| figures.rate),
                of(|figures| figures.cpu),
                of(|figures| figures.p50),
                of(|figures| figures.p99)
            )
            .unwrap();
            text += &self.ratios(variant, figures);
        }
        text.push('\n');
        for line in self.scripts().chain(self.notes.iter().cloned()) {
            writeln!(text, "- {line}").unwrap();
        }
        text
    }

    /// The medians of the rounds' ratios, with the least and the greatest.
    fn ratios(&self, variant: &Variant, figures: &[Figures]) -> String {
        let Some(name) = variant.against else {
            return " | | | |\n".to_owned();
        };
        let base = &self.by_variant[name];
        let of = |field: fn(&Figures) -> f64| {
            let all = |figures: &[Figures]| figures.iter().map(field).collect::<Vec<_>>();
            spread(ratios(&all(figures), &all(base)))
        };
        format!(
            " `{name}` | {} | {} | {} |\n",
            of(|figures| figures.rate),
            of(|figures| figures.cpu),
            of(|figures| figures.p50)
        )
    }

    fn scripts(&self) -> impl Iterator<Item = String> {
        self.by_variant.iter().filter_map(|(name, figures)| {
            let scripts: Option<Vec<_>> = figures.iter().map(|figures| figures.script).collect();
            let script = median(scripts?);
            Some(format!(
                "`{name}`: {script:.1} µs a request in scripts, by the store's own INFO commandstats"
            ))
        })
    }
}

//! How the gateway scales: what it holds in memory, how fast it starts, and whether a request
//! costs the same whatever the number of connections, of known emails and of cores.
//!
//! Of each question asked there are rows of one table, what was measured beside what is wanted,
//! and of costs a plot. Nothing is asserted about time.
//!
//! ```sh
//! cargo bench --bench scale -- --only connections --rounds 5 --seconds 2 --plots target/plots
//! ```

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a measurement that goes wrong ends"
)]

mod configuration;
mod connections;
mod cores;
mod curve;
mod emails;
mod fill;
mod loader;
mod memory;
mod plot;
mod report;
mod start;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "costs does more with it")]
mod support;

use std::{fs, path::PathBuf, time::Duration};

use clap::Parser;

use report::Report;
use support::{process::pin_to_last_core, world::World};

/// Measures how the gateway scales.
#[derive(Parser)]
struct Options {
    /// How often each cost and each start is measured; memory is once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement of a cost takes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Of start, connections, emails and cores those that begin so; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// The folder for the plots.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/scale"))]
    plots: PathBuf,
    /// `cargo bench` says this.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn asks(&self, question: &str) -> bool {
        let begins = |name: &String| question.starts_with(name.as_str());
        self.only.is_empty() || self.only.iter().any(begins)
    }

    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() {
    let options = Options::parse();
    if !options.bench {
        println!("nothing is measured: that is for `cargo bench --bench scale`");
        return;
    }
    fs::create_dir_all(&options.plots).unwrap();
    let pinned = pin_to_last_core();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(measure(&options));
    println!(
        "\n{} rounds of {} s; {pinned}, where nothing else is said\n",
        options.rounds, options.seconds
    );
    print!("{report}");
}

async fn measure(options: &Options) -> Report {
    let world = World::new().await;
    let mut report = Report::default();
    if options.asks("start") {
        start::measure(&world, options, &mut report).await;
    }
    if options.asks("connections") {
        connections::measure(&world, options, &mut report).await;
    }
    if options.asks("emails") {
        emails::measure(&world, options, &mut report).await;
    }
    if options.asks("cores") {
        cores::measure(&world, options, &mut report).await;
    }
    report
}

//! What each part of the gateway costs, as ratios: the release binary in several variants, one
//! after the other and over again, before the same vendor under the same load.
//!
//! Only the ratios mean something, and only those of one round: a machine's speed drifts from
//! minute to minute. Where `taskset` is installed the gateway has a core for itself, and the
//! load, the vendor and the store share another. The gateway's own time on the processor is
//! read from the kernel over exactly the span that is measured.
//!
//! ```sh
//! cargo bench --bench costs -- --rounds 5 --seconds 2 --only redis
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

mod counts;
#[path = "../../it/support/redis.rs"]
#[expect(dead_code, reason = "tests do more with it")]
mod redis;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod variants;

use std::{collections::BTreeSet, time::Duration};

use clap::Parser;

use redis::Redis;
use report::{Sample, Samples};
use support::{
    load::{Pace, drive},
    process::{self, Gateway, pin_to_last_core},
    world::World,
};
use variants::{VARIANTS, Variant};

/// Connections at once, each with one request at a time.
const CONNECTIONS: usize = 32;

/// Before each measurement: connections are made, tables filled.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measures what each part of the gateway costs.
#[derive(Parser)]
struct Options {
    /// How often each variant is measured; at least 5 for figures to be shown around.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Variants whose name begins so, and those that they are compared with; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// `cargo bench` says this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    if !options.bench {
        println!("nothing is measured: that is for `cargo bench --bench costs`");
        return;
    }
    let pinned = pin_to_last_core();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let samples = runtime.block_on(measure(&options));
    println!(
        "\n{} rounds of {} s, {CONNECTIONS} connections; {pinned}\n",
        options.rounds, options.seconds
    );
    print!("{}", samples.table());
}

/// A variant that is running.
struct Contender {
    variant: &'static Variant,
    gateway: Gateway,
}

async fn measure(options: &Options) -> Samples {
    let chosen = chosen(&options.only);
    let world = World::new().await;
    let with_redis = chosen.iter().any(|variant| variant.needs_redis());
    let redis = with_redis.then(Redis::start).flatten();
    let mut contenders = Vec::new();
    for variant in chosen {
        if variant.needs_redis() && redis.is_none() {
            eprintln!("LEFT OUT: {}", variant.name);
            continue;
        }
        let configuration = variant.configuration(&world, redis.as_ref());
        let gateway = Gateway::start(variant.name, &configuration, &[]).await;
        variant.prepare(&world, gateway.address).await;
        contenders.push(Contender { variant, gateway });
    }
    let span = Duration::from_secs_f64(options.seconds);
    let mut samples = Samples::default();
    for round in 1..=options.rounds {
        // each round begins with another, so that none always follows the same
        let turn = round % contenders.len();
        contenders.rotate_left(turn);
        for contender in &contenders {
            eprintln!(
                "round {round} of {}: {}",
                options.rounds, contender.variant.name
            );
            let sample = one(contender, &world, redis.as_ref(), span).await;
            samples.add(contender.variant, sample);
        }
        contenders.rotate_right(turn);
    }
    for contender in &contenders {
        if contender.variant.is_synced() {
            samples.note(records_a_sync(contender.variant, &world, span).await);
        }
    }
    for contender in contenders {
        contender.gateway.end().await;
    }
    samples
}

/// All, or those that were asked for with those that they are compared with.
fn chosen(only: &[String]) -> Vec<&'static Variant> {
    let asked = |variant: &&Variant| {
        only.is_empty()
            || only
                .iter()
                .any(|name| variant.name.starts_with(name.as_str()))
    };
    let names: BTreeSet<_> = VARIANTS
        .iter()
        .filter(asked)
        .flat_map(|variant| [Some(variant.name), variant.against])
        .flatten()
        .collect();
    let chosen = VARIANTS.iter();
    chosen
        .filter(|variant| names.contains(variant.name))
        .collect()
}

fn pace(span: Duration) -> Pace {
    Pace {
        connections: CONNECTIONS,
        at_once: CONNECTIONS,
        warm_up: WARM_UP,
        span,
    }
}

async fn one(
    contender: &Contender,
    world: &World,
    redis: Option<&Redis>,
    span: Duration,
) -> Sample {
    let Contender { variant, gateway } = contender;
    let target = variant.target(world, gateway.address);
    let store = redis.filter(|_| variant.needs_redis());
    if let Some(store) = store {
        store.command(&["CONFIG", "RESETSTAT"]);
    }
    let (driven, cpu) = drive(target, pace(span), || gateway.cpu_time()).await;
    assert_eq!(
        variant.resumes(),
        driven.resumed > driven.all / 2,
        "{} of {} connections resumed a session",
        driven.resumed,
        driven.all
    );
    Sample {
        requests: driven.latencies.len(),
        span: driven.span,
        cpu,
        latencies: driven.latencies,
        script: store.map(|store| counts::script_time(store, driven.all)),
    }
}

/// How many records share a sync, counted by the kernel in a run of its own: to be watched
/// makes the gateway slower.
async fn records_a_sync(variant: &Variant, world: &World, span: Duration) -> String {
    let counts = world.folder.path().join("syncs");
    let watcher = [
        "strace",
        "-D",
        "-f",
        "-c",
        "--seccomp-bpf",
        "-e",
        "trace=fsync,fdatasync",
        "-o",
        counts.to_str().unwrap(),
    ];
    if !process::is_installed("strace") {
        return format!(
            "{}: syncs were not counted: there is no strace",
            variant.name
        );
    }
    let gateway = Gateway::start(
        "watched",
        &variant.configuration_named(world, None, "watched"),
        &watcher,
    )
    .await;
    let target = variant.target(world, gateway.address);
    let (driven, _) = drive(target, pace(span), || Duration::ZERO).await;
    gateway.end().await;
    let records = counts::lines(&world.audit_file("watched"));
    let syncs = counts::counted_syncs(&counts).await;
    format!(
        "{}: {:.1} records a sync ({records} records of {} requests, {syncs} syncs, watched by strace)",
        variant.name,
        records as f64 / syncs as f64,
        driven.all,
    )
}

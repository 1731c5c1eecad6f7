//! Two cores against one.
//!
//! The gateway serves with one thread a core that it may use, so `taskset` decides. What two
//! cores could answer is 2 / (CPU a request with two threads), and one core 1 / (CPU a request
//! with one): the first is `2 × CPU a request (1 core) / CPU a request (2 cores)` times the
//! second. This is 2 where the threads don't disturb each other, and less where locks are fought
//! for and memory goes from one core's cache to the other's. It means something only while both
//! threads are busy, so how busy they were is shown too.
//!
//! On a machine with four cores or more the load has the others. With fewer it must share the
//! gateway's: then all of it, gateway, vendor and load, is once on one core and once on two, so
//! that the gateway is disturbed as much in both. A third gateway has one core for itself there,
//! and the load the other. It isn't disturbed at all, so two cores look worse against it than
//! they are: the truth lies between.
//!
//! All cores are saturated, and the requests a second say what two cores really answer of one:
//! of the gateway alone where the load has cores of its own and enough of them, of everything
//! together where it hasn't.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Options,
    configuration::{Setup, recoveries},
    loader::{Loader, listeners},
    report::Report,
    support::{
        figures::{least, median, microseconds, ratios, spread},
        load::Pace,
        process::{Gateway, cores, cpu_times, is_installed},
        world::{World, acceptor},
    },
};

/// Over all threads of the load.
const CONNECTIONS: usize = 64;

/// Which cores a gateway has, and which the load, on so many threads.
struct Place {
    name: &'static str,
    gateway: String,
    load: String,
    loaders: usize,
}

/// A gateway on some cores, and the load before it.
struct Arrangement {
    gateway: Gateway,
    loaders: Vec<Loader>,
}

/// One arrangement in one round.
struct Sample {
    /// A request, in microseconds.
    cpu: f64,
    /// Requests a second.
    rate: f64,
    /// For which part of the time the less busy of the two busiest threads ran.
    second: f64,
}

pub(crate) async fn measure(world: &World, options: &Options, report: &mut Report) {
    let cores = cores();
    if cores.len() < 2 || !is_installed("taskset") {
        eprintln!("LEFT OUT: cores, for want of two, or of taskset");
        return;
    }
    let mut arrangements = Vec::new();
    for place in places(cores) {
        arrangements.push(Arrangement::start(world, &place).await);
    }
    let mut samples: Vec<_> = arrangements.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: one core and two", options.rounds);
        for turn in 0..arrangements.len() {
            // each round begins with another
            let turn = (round + turn) % arrangements.len();
            samples[turn].push(arrangements[turn].sample(options.span()).await);
        }
    }
    show(&samples, report);
}

/// One core, two, and where the load shares them one without it.
fn places(cores: &[String]) -> Vec<Place> {
    let (first, second) = (cores[0].clone(), cores[1].clone());
    let both = cores[..2].join(",");
    let place = |name, gateway: &str, load: &str, loaders| Place {
        name,
        gateway: gateway.to_owned(),
        load: load.to_owned(),
        loaders,
    };
    if cores.len() >= 4 {
        let (others, number) = (cores[2..].join(","), cores.len() - 2);
        return vec![
            place("one-core", &first, &others, number),
            place("two-cores", &both, &others, number),
        ];
    }
    vec![
        place("one-core", &first, &first, 1),
        place("two-cores", &both, &both, 2),
        place("one-core-alone", &first, &second, 1),
    ]
}

fn show(samples: &[Vec<Sample>], report: &mut Report) {
    let of = |samples: &[Sample], field: fn(&Sample) -> f64| {
        samples.iter().map(field).collect::<Vec<_>>()
    };
    let cpu = |samples| of(samples, |sample| sample.cpu);
    let rate = |samples| of(samples, |sample| sample.rate);
    let (one, two) = (&samples[0], &samples[1]);
    let mut compare = |one, what: &str, wanted| {
        let possible = ratios(&cpu(one), &cpu(two));
        let possible = possible.iter().map(|ratio| 2.0 * ratio).collect();
        let measured = format!(
            "{} ({:.1} and {:.1} µs)",
            spread(possible),
            median(cpu(one)),
            median(cpu(two))
        );
        report.add(what, measured, wanted);
    };
    compare(
        one,
        "two cores against one: 2 × CPU a request on one / CPU a request on two",
        "≥ 1.8",
    );
    if let Some(alone) = samples.get(2) {
        compare(
            alone,
            "the same against one that the load stays away from",
            "≥ 1.8",
        );
    }
    report.add(
        "requests a second on two cores against one, load included where it shares them",
        format!(
            "{} ({:.0} and {:.0})",
            spread(ratios(&rate(two), &rate(one))),
            median(rate(one)),
            median(rate(two))
        ),
        "",
    );
    let second = of(two, |sample| sample.second);
    report.add(
        "on two, the less busy thread's part of a core",
        format!(
            "{:.0} %, at least {:.0}",
            100.0 * median(second.clone()),
            100.0 * least(&second)
        ),
        "",
    );
}

impl Arrangement {
    async fn start(world: &World, place: &Place) -> Self {
        let listeners = listeners(place.loaders);
        let port = listeners[0].local_addr().unwrap().port();
        let tls = acceptor(world.stand_in.authority());
        let vendors = listeners.into_iter();
        let loaders = vendors
            .map(|vendor| Loader::start(&place.load, vendor, tls.clone()))
            .collect();
        let setup = Setup {
            identity_url: &format!("https://localhost:{port}"),
            ..Setup::usual(place.name, world)
        };
        let configuration = setup.configuration(world);
        let cores = Some(place.gateway.as_str());
        let gateway = Gateway::start_on(cores, place.name, &configuration, &[]).await;
        Self { gateway, loaders }
    }

    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    async fn sample(&self, span: Duration) -> Sample {
        let connections = CONNECTIONS / self.loaders.len();
        let pace = Pace {
            connections,
            at_once: connections,
            warm_up: Duration::from_millis(300),
            span,
        };
        let process = self.gateway.child.id();
        let target = recoveries(self.gateway.address, |number| number % 100_000);
        let (began, before) = (Instant::now(), cpu_times(process));
        let all_begun: Vec<_> = self
            .loaders
            .iter()
            .map(|loader| loader.begin(target.clone(), pace, process))
            .collect();
        let (mut cpu, mut rate) = (Duration::ZERO, 0.0);
        for begun in all_begun {
            let (driven, meanwhile) = begun.await.unwrap();
            // each has taken the gateway's time over its own span, and all spans are the same
            cpu += meanwhile / u32::try_from(self.loaders.len()).unwrap();
            rate += driven.latencies.len() as f64 / driven.span.as_secs_f64();
        }
        let after = cpu_times(process);
        // a thread that is new, or over, has hardly run
        let ran = after
            .iter()
            .filter_map(|(thread, to)| to.checked_sub(*before.get(thread)?));
        let mut busy: Vec<_> = ran.collect();
        busy.sort_unstable();
        let second = busy.iter().rev().nth(1).copied().unwrap_or_default();
        Sample {
            cpu: microseconds(cpu) / (rate * span.as_secs_f64()),
            rate,
            second: second.as_secs_f64() / began.elapsed().as_secs_f64(),
        }
    }
}

//! What a known email holds in memory, and what a request costs where many are known.

use std::time::Duration;

use crate::{
    Options,
    configuration::{OFTEN, Setup, recoveries},
    curve::{Curve, Point},
    fill::{AT_ONCE, send},
    memory::Memory,
    plot::thousands,
    report::Report,
    support::{load::Pace, process::Gateway, world::World},
};

const MILLION: usize = 1_000_000;

pub(crate) async fn measure(world: &World, options: &Options, report: &mut Report) {
    let (mut points, mut memories) = (Vec::new(), Vec::new());
    for size in [1, 1_000, 10_000, 100_000, MILLION] {
        let gateway = filled(world, size).await;
        memories.push(Memory::at_rest(&gateway).await);
        let known = u64::try_from(size).unwrap();
        let target = recoveries(gateway.address, move |number| shuffled(number) % known);
        let pace = Pace {
            connections: AT_ONCE,
            at_once: AT_ONCE,
            warm_up: Duration::from_millis(300),
            span: options.span(),
        };
        points.push(Point {
            size,
            gateway,
            target,
            pace,
        });
    }
    let grown = memories[memories.len() - 1].grown_since(memories[0], MILLION);
    report.add(
        format!("memory of an email, {} known", thousands(MILLION)),
        format!("{:.1} bytes", grown * 1024.0),
        "≤ 80 bytes",
    );
    let curve = Curve {
        name: "emails",
        over: "known emails",
        against: 1,
    };
    curve.measure(&points, options, report).await;
}

/// A gateway that has counted an attempt by each of so many emails. The one with a single email
/// has had as many requests as the one with the most: their memory is compared.
async fn filled(world: &World, size: usize) -> Gateway {
    let (quotas, requests) = match size {
        1 => (OFTEN, MILLION),
        _ => (Setup::usual("", world).quotas, size),
    };
    eprintln!("{requests} requests by {size} emails");
    let name = format!("emails-{size}");
    let setup = Setup {
        quotas,
        ..Setup::usual(&name, world)
    };
    let gateway = Gateway::start(&name, &setup.configuration(world), &[]).await;
    let known = u64::try_from(size).unwrap();
    let target = recoveries(gateway.address, move |number| number % known);
    send(&target, u64::try_from(requests).unwrap()).await;
    gateway
}

/// A number that says nothing of the one before: the finaliser of SplitMix64.
const fn shuffled(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

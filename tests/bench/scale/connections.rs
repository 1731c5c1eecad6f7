//! What a connection holds in memory while it is idle, and what a request costs where there are
//! many connections.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use crate::{
    Options,
    configuration::{Setup, recoveries},
    curve::{Curve, Point},
    fill::{hold, send},
    memory::Memory,
    plot::thousands,
    report::Report,
    support::{load::Pace, process::Gateway, world::World},
};

/// Idle connections, and the most that take turns.
const MANY: usize = 10_000;

/// Requests on their way at once, at most: the gateway refuses more than 1,024, and each has a
/// connection to the vendor, which counts against the limit of open files here and there.
const AT_ONCE: usize = 1_000;

/// The gateway parks a connection two seconds after its last answer, and gives back what that frees
/// three seconds later.
const PARKED: Duration = Duration::from_secs(8);

/// Of this process: a socket each, and something for all else.
const FILES: usize = MANY + AT_ONCE + 500;

pub(crate) async fn measure(world: &World, options: &Options, report: &mut Report) {
    raise_file_limit();
    memory(world, report).await;
    let at_once = Curve {
        name: "connections",
        over: "connections",
        against: 100,
    };
    cost(&at_once, AT_ONCE, world, options, report).await;
    // nothing but their number differs here: requests have no turn of the event loop in common
    let in_turn = Curve {
        name: "connections-in-turn",
        over: "connections in turn",
        against: 1,
    };
    cost(&in_turn, 1, world, options, report).await;
}

/// What a request costs where so many at most are on their way at once.
async fn cost(
    curve: &Curve,
    at_once: usize,
    world: &World,
    options: &Options,
    report: &mut Report,
) {
    let mut points = Vec::new();
    for size in [1, 10, 100, 1_000, MANY] {
        let name = format!("{}-{size}", curve.name);
        let configuration = Setup::usual(&name, world).configuration(world);
        let gateway = Gateway::start(&name, &configuration, &[]).await;
        let target = recoveries(gateway.address, |number| number % 100_000);
        let pace = Pace {
            connections: size,
            at_once: size.min(at_once),
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
    curve.measure(&points, options, report).await;
}

/// Compared are two loads of the same requests: over few connections, and over one each. Only
/// the connections differ then, and no table or pool counts as theirs.
async fn memory(world: &World, report: &mut Report) {
    eprintln!("memory of {MANY} idle connections");
    let configuration = Setup::usual("idle", world).configuration(world);
    let gateway = Gateway::start("idle", &configuration, &[]).await;
    let target = recoveries(gateway.address, |number| number);
    let number = u64::try_from(MANY).unwrap();
    send(&target, number).await;
    let before = Memory::at_rest(&gateway).await;
    let held = hold(&target, number).await;
    sleep(PARKED).await;
    let after = Memory::at_rest(&gateway).await;
    assert!(
        held.iter().all(|sender| sender.is_ready()),
        "the gateway closed connections"
    );
    report.add(
        format!("memory of a connection, {} idle", thousands(MANY)),
        format!("{:.2} KiB", after.grown_since(before, MANY)),
        "≤ 10 KiB",
    );
}

/// As many open files as the system allows.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|most| most >= FILES as u64);
    assert!(
        enough,
        "{FILES} open files are needed: raise the hard limit"
    );
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

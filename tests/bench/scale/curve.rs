//! A request's cost over something that grows, as ratios to its cost at one size in the same
//! round: a machine's speed drifts from minute to minute.
//!
//! Each size has a gateway of its own, all run from first to last, and each round measures one
//! after the other.

use crate::{
    Options,
    plot::{Mark, Plot, thousands},
    report::Report,
    support::{
        figures::{greatest, least, median, microseconds, ratios, spread},
        load::{Pace, Target, drive},
        process::Gateway,
    },
};

/// What grows.
pub(crate) struct Curve {
    /// Of its plot's file.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) over: &'static str,
    /// The size that others are compared with.
    pub(crate) against: usize,
}

/// A gateway at one size, and its load.
pub(crate) struct Point {
    pub(crate) size: usize,
    pub(crate) gateway: Gateway,
    pub(crate) target: Target,
    pub(crate) pace: Pace,
}

impl Curve {
    pub(crate) async fn measure(&self, points: &[Point], options: &Options, report: &mut Report) {
        // by point, one of each round in their order
        let mut costs = vec![Vec::new(); points.len()];
        for round in 1..=options.rounds {
            // each round begins with another, so that none always follows the same
            let mut order: Vec<_> = points.iter().zip(&mut costs).collect();
            let turn = round % order.len();
            order.rotate_left(turn);
            for (point, costs) in order {
                eprintln!(
                    "round {round} of {}: {}: {}",
                    options.rounds, self.over, point.size
                );
                costs.push(cost(point).await);
            }
        }
        self.show(points, &costs, options, report);
    }

    fn show(&self, points: &[Point], costs: &[Vec<f64>], options: &Options, report: &mut Report) {
        let base = points.iter().position(|point| point.size == self.against);
        let base = &costs[base.expect("it is one of them")];
        let mut marks = Vec::new();
        for (point, costs) in points.iter().zip(costs) {
            let ratios = ratios(costs, base);
            marks.push(Mark {
                x: point.size,
                y: median(ratios.clone()),
                least: least(&ratios),
                greatest: greatest(&ratios),
            });
            let what = format!("CPU a request, {}: {}", self.over, thousands(point.size));
            let microseconds = median(costs.clone());
            let measured = format!("{microseconds:.1} µs, {} ×", spread(ratios));
            let wanted = if point.size == self.against {
                ""
            } else {
                "1 ×"
            };
            report.add(what, measured, wanted);
        }
        let title = format!(
            "CPU a request, against that at {} ({:.1} µs)",
            thousands(self.against),
            median(base.clone())
        );
        let plot = Plot {
            title,
            over: self.over,
            marks,
        };
        report.draw(&options.plots, self.name, &plot);
    }
}

/// The gateway's own time on the processor a request, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
async fn cost(point: &Point) -> f64 {
    let clock = || point.gateway.cpu_time();
    let (driven, cpu) = drive(point.target.clone(), point.pace, clock).await;
    microseconds(cpu) / driven.latencies.len() as f64
}

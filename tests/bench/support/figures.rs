//! How the figures of several rounds become one.

use std::time::Duration;

pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    let middle = of.len() / 2;
    if of.len().is_multiple_of(2) {
        f64::midpoint(of[middle - 1], of[middle])
    } else {
        of[middle]
    }
}

pub(crate) fn least(of: &[f64]) -> f64 {
    of.iter().copied().fold(f64::INFINITY, f64::min)
}

pub(crate) fn greatest(of: &[f64]) -> f64 {
    of.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// For each round, how this one's figure compares with that one's.
pub(crate) fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    let pairs = these.iter().zip(those);
    pairs.map(|(this, that)| this / that).collect()
}

/// The median, with the least and the greatest.
pub(crate) fn spread(of: Vec<f64>) -> String {
    let (least, greatest) = (least(&of), greatest(&of));
    format!("{:.2} ({least:.2}–{greatest:.2})", median(of))
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

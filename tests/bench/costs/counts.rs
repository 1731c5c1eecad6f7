//! What others count of a gateway: its store, the kernel, and the lines of its audit log.

use std::{fs, path::Path, time::Duration};

use tokio::time::sleep;

use crate::redis::Redis;

/// What Redis itself says that the scripts took: per request, where `requests` were made.
pub(crate) fn script_time(store: &Redis, requests: u64) -> Duration {
    let statistics = store.command(&["INFO", "commandstats"]).concat();
    let used: u64 = statistics
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_evalsha:"))
        .flat_map(|line| line.split(','))
        .filter_map(|field| field.strip_prefix("usec="))
        .map(|microseconds| microseconds.parse::<u64>().unwrap())
        .sum();
    Duration::from_micros(used) / u32::try_from(requests).unwrap()
}

pub(crate) fn lines(path: &Path) -> usize {
    let text = fs::read(path).unwrap();
    memchr::memchr_iter(b'\n', &text).count()
}

/// Reads what strace wrote at its end: `% time`, seconds, microseconds a call, calls, …, name.
pub(crate) async fn counted_syncs(path: &Path) -> u64 {
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains("total") {
            let calls = text.lines().filter_map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let is_sync = words.last().is_some_and(|name| name.ends_with("sync"));
                is_sync.then(|| words[3].parse::<u64>().unwrap())
            });
            return calls.sum();
        }
        sleep(Duration::from_millis(10)).await;
    }
}

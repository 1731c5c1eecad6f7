//! Loads that end after so many requests, or stay.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinSet;

use crate::support::load::{Target, ask, connect};

/// Few, so that the vendor gets few connections.
pub(crate) const AT_ONCE: usize = 32;

/// Sends the requests of the numbers below `end`, over few connections.
pub(crate) async fn send(target: &Target, end: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (target, next) = (target.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let (mut sender, _) = connect(target.address, None).await;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                ask(&mut sender, (target.make)(number), target.status).await;
            }
        });
    }
    workers.join_all().await;
}

/// Opens a connection for each number below `end`, a few at once, and keeps it after its answer.
pub(crate) async fn hold(target: &Target, end: u64) -> Vec<SendRequest<Full<Bytes>>> {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (target, next) = (target.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut kept = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return kept;
                }
                let (mut sender, _) = connect(target.address, None).await;
                ask(&mut sender, (target.make)(number), target.status).await;
                kept.push(sender);
            }
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

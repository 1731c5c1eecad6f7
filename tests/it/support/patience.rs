//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// How long a condition may take. A slow machine sets `MFA_GATEWAY_TEST_PATIENCE` to more seconds.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("MFA_GATEWAY_TEST_PATIENCE").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Asks again and again until there is an answer, and gives it.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < patience(), "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// What a future gives, if it does within [`patience`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(patience(), future).await {
        Ok(given) => given,
        Err(_elapsed) => panic!("waited in vain: {what}"),
    }
}

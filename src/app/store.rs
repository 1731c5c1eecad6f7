//! Tells of the shared store's state: once when it is lost and once when it is back, not once a
//! request.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    audit::{Audit, Control},
    limit::StoreState,
    telemetry::metrics::Metrics,
};

/// Runs for as long as there is a store.
pub(super) async fn tell(
    mut states: watch::Receiver<StoreState>,
    audit: Audit,
    metrics: Arc<Metrics>,
) {
    let mut before = StoreState::Usable;
    loop {
        let state = states.borrow_and_update().clone();
        let recorded = match (&before, &state) {
            (StoreState::Usable, StoreState::Away(why)) => {
                metrics.limit_store_up.set(0);
                tracing::error!(error = %why, "the shared store of the limits can't be used; limits.on_store_failure decides until it is back");
                audit.control(&Control::StoreLost { error: why }).await
            }
            (StoreState::Away(_), StoreState::Usable) => {
                metrics.limit_store_up.set(1);
                tracing::info!("the shared store of the limits is back");
                audit.control(&Control::StoreBack).await
            }
            (StoreState::Away(_), StoreState::Away(_))
            | (StoreState::Usable, StoreState::Usable) => Ok(()),
        };
        if recorded.is_err() {
            tracing::warn!("what became of the shared store is not in the audit log yet");
        }
        before = state;
        if states.changed().await.is_err() {
            return;
        }
    }
}

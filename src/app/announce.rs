//! What happens to the gateway itself while it serves, told to the audit log, and of the
//! shared store to the metrics and the log too. The credential's refresher logs for itself.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    audit::{Audit, Control},
    gateway::Services,
    limit::StoreState,
    telemetry::metrics::Metrics,
};

/// Tells when the credential can't be renewed any more and when it can again, once each.
pub(super) async fn credential(mut services: watch::Receiver<Services>, audit: Audit) {
    let mut failing = false;
    loop {
        let credentials = services.borrow_and_update().credentials.clone();
        let status = tokio::select! {
            status = credentials.turned(failing) => status,
            // a reload may have brought another credential
            changed = services.changed() => match changed {
                Ok(()) => continue,
                Err(_ending) => return,
            },
        };
        failing = status.trouble.is_some();
        let recorded = match &status.trouble {
            Some(trouble) => {
                let error = trouble.to_string();
                audit
                    .control(&Control::CredentialFailed { error: &error })
                    .await
            }
            None => audit.control(&Control::CredentialBack).await,
        };
        if recorded.is_err() {
            tracing::warn!("what happened to the credential is not in the audit log yet");
        }
    }
}

/// Tells when the shared store of the limits is lost and when it is back, once each and not once a
/// request.
pub(super) async fn store(
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

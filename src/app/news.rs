//! What happens to the gateway itself while it serves, told to the audit log.

use tokio::sync::watch;

use crate::{
    audit::{Audit, Control},
    gateway::Services,
};

/// Tells when the credential can't be renewed any more and when it can again, once each.
pub(super) async fn of_credential(mut services: watch::Receiver<Services>, audit: Audit) {
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

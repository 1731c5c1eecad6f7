//! What the gateway is given: by the process, by the files, by a connection.

use std::sync::Arc;

use super::{Entrance, identify::TokenKeys};
use crate::{
    caller::Callers,
    client_ip::Source,
    credential::Credentials,
    event::Peer,
    limit::Limiter,
    model::Proof,
    telemetry::{metrics::Metrics, traces::Traces},
    upstream::AddressProof,
};

/// What the gateway works with besides its settings, shared by all threads. A reload makes another.
#[derive(Clone, Debug)]
pub struct Services {
    /// Counts attempts.
    pub limiter: Arc<Limiter>,
    /// Has the credential.
    pub credentials: Credentials,
    /// Verify tokens.
    pub token_keys: TokenKeys,
    /// Counts everything.
    pub metrics: Arc<Metrics>,
    /// Takes spans, where there is a collector.
    pub traces: Option<Traces>,
}

/// What was read from the files that the settings name. Read again when they change.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Who may call.
    pub callers: Arc<Callers>,
    /// Makes the vendor believe the user's address.
    pub address_proof: Option<AddressProof>,
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The door that it came through.
    pub entrance: Arc<Entrance>,
    /// The other end: the calling app.
    pub peer: Peer,
    /// What the other end has proven.
    pub proof: Proof,
    /// Where its requests say from where the user comes.
    pub source: Source,
}

//! `[[callers]]`: who may call, and what each is known by.

use super::secret::SecretSource;
use crate::{
    model::{CallerName, ServiceAccount, TenantId},
    route::Operation,
};

/// One `[[callers]]`.
#[derive(Clone, Debug)]
pub struct Caller {
    /// For the audit log and metrics.
    pub name: CallerName,
    /// What it is known by.
    pub known_by: KnownBy,
    /// What it may do, of what [`Routes`](super::Routes) lets through.
    pub operations: Vec<Operation>,
    /// For whom; `None`: for all.
    pub tenants: Option<Vec<TenantId>>,
}

/// What a caller is known by.
#[derive(Clone, Debug)]
pub enum KnownBy {
    /// A DNS name of its client certificate, lower case.
    CertificateDns(String),
    /// A projected token of this Kubernetes service account.
    ServiceAccount(ServiceAccount),
    /// The SPIFFE ID of its client certificate.
    SpiffeId(String),
    /// A bearer secret, or two while one takes the other's place: one a line.
    Token(SecretSource),
    /// The user that it runs as, at the other end of a unix socket.
    Uid(u32),
}

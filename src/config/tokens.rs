//! Settings about tokens that others sign: the user's, and those of Kubernetes service accounts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Uri};
use rustls::RootCertStore;

use crate::model::Signature;

/// `[subject.user_token]`.
#[derive(Clone, Debug)]
pub struct UserToken {
    /// Names the tenant once more, if the caller likes; it must be the token's.
    pub tenant_header: HeaderName,
    /// Names the user once more, likewise.
    pub user_header: HeaderName,
    /// The tokens' `iss`.
    pub issuer: String,
    /// One of the tokens' `aud`.
    pub audience: String,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// Accepted signatures; at least one.
    pub signatures: Vec<Signature>,
    /// With which credential users' own operations go on.
    pub credential: ActingWith,
    /// Removing a factor asks for a second factor shown this recently.
    pub require_mfa_within: Option<Duration>,
    /// Adding one asks for a second factor too.
    pub require_mfa_for_enrolment: bool,
}

/// A credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActingWith {
    /// The environment's.
    Environment,
    /// The user's own token.
    User,
}

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file that is read again when it changes.
    File(PathBuf),
    /// Published under this URL; always https.
    Url(Uri),
}

/// `[kubernetes]`, where a caller is known by its service account.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// One of the tokens' `aud`.
    pub audience: String,
    /// The tokens' `iss`; `None`: the cluster says.
    pub issuer: Option<String>,
    /// Where the issuer's keys are; `None`: the cluster says.
    pub keys: Option<KeySource>,
    /// Whose certificates are trusted of whoever has the keys.
    pub roots: Arc<RootCertStore>,
    /// Our own token, to ask the cluster with; read each time, since it changes. `None`: ask
    /// without one.
    pub token_file: Option<PathBuf>,
}

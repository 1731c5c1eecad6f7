//! The words that all other modules speak: small types that can't be wrong inside.
//!
//! Each is parsed where foreign bytes come in and carries the form in which it
//! goes out again, so that nothing behind the door checks a second time.
//! No I/O here, no `async` but [`Deadline::run`]; of the clock only what a deadline or a pause needs.

mod deadline;
mod email;
mod ids;
mod mac;
mod pace;
mod phone;
mod proof;
mod quota;
mod region;
mod retry_after;
mod service_account;
mod signature;
mod single;

pub use deadline::{Alarm, Deadline, Elapsed};
pub use email::{CanonicalEmail, EmailError, EmailKey, Subaddress};
pub use ids::{CallerName, IdError, PathParameter, RequestId, TenantId, UserId};
pub use mac::MacKey;
pub use pace::{later, share};
pub use phone::{CanonicalPhone, PhoneError};
pub use proof::{CertificateNames, Proof};
pub use quota::Quota;
pub use region::{Region, UnknownRegion};
pub use retry_after::{retry_after, whole_seconds};
pub use service_account::{ServiceAccount, ServiceAccountError};
pub use signature::Signature;
pub use single::{Repeated, single};

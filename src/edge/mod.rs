//! Sockets, connections and the admin endpoints: all that knows hyper's server.
//!
//! A connection is accepted (`serve`), asked for whom it is passed on where its listener stands
//! behind proxies (`proxy`), greeted by TLS where it has that (`tls`, `certificate`), spoken to
//! in its version of HTTP (`http`), watched while it keeps us waiting (`patience`), and its
//! requests go to [`crate::gateway`] one by one. What a request may do is not decided here.

mod admin;
mod certificate;
mod door;
mod drain;
mod http;
mod limits;
mod listen;
mod patience;
pub(crate) mod proxy;
mod serve;
mod tls;

pub use admin::{Desk, Key, Phase, serve as serve_admin};
pub use door::Door;
pub use drain::Drain;
pub use listen::{ListenError, Listener, SocketFile, UnixAccess, tcp};
pub use serve::{Arrival, Arrivals, Crew, Seat, Workplace, accept};
pub use tls::{Identity, IdentityError};

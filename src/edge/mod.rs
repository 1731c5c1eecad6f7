//! Sockets, connections and the admin endpoints: all that knows hyper's server.
//!
//! A connection is accepted (`serve`), greeted by TLS where its listener has it (`tls`),
//! watched while it keeps us waiting (`patience`), and its requests go to
//! [`crate::gateway`] one by one. What a request may do is not decided here.

mod admin;
mod drain;
mod listen;
mod patience;
mod serve;
mod tls;

pub use admin::{Desk, Key, Phase, serve as serve_admin};
pub use drain::Drain;
pub use listen::{ListenError, Listener, SocketFile, tcp};
pub use serve::{Arrival, Arrivals, Crew, Door, Seat, Workplace, accept};
pub use tls::{Identity, IdentityError};

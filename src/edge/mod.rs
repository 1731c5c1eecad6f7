//! Sockets, connections and the admin endpoints: all that knows hyper's server.
//!
//! 1. `listen`: the sockets that are listened on
//! 2. `serve`: a connection is accepted, and handed to the thread that serves it
//! 3. `rules`: what its listener asks of it
//! 4. `proxy`: whom it is passed on for, where the listener stands behind proxies
//! 5. `tls`, `certificate`: its handshake, and whom its certificate names
//! 6. `http`: its version of HTTP; each request goes to [`crate::gateway`]
//! 7. `timeouts`: how long it may keep us waiting, from its first byte to its last; `memory`: what
//!    it gives back while it is parked
//! 8. `drain`: its end, when all are to end
//!
//! `admin` is the listener for operators. What a request may do is not decided here.

mod admin;
mod certificate;
mod drain;
mod http;
mod listen;
mod memory;
pub(crate) mod proxy;
mod rules;
mod serve;
mod timeouts;
mod tls;

pub use admin::{AdminState, Key, Phase, serve as serve_admin};
pub use drain::Drain;
pub use listen::{ListenError, Listener, SocketFile, UnixAccess, tcp};
pub use rules::ConnectionRules;
pub use serve::{Accepted, Server, ServerHandle, Servers, accept};
pub use tls::{Identity, IdentityError};

//! Every way in which a request is refused before anything of it leaves. That the vendor saw
//! nothing of it, and that its record says the same as its answer, is checked for each call
//! (see [`crate::support`]).

mod bodies;
mod callers;
mod documented;
mod door;
mod routes;

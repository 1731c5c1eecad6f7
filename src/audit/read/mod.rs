//! Reads a log back: its files in their order, compressed or not, and the lines in them, also
//! where a container's log driver has wrapped them.
//!
//! It promises that a line comes out as the gateway wrote it. What the line says, and whether
//! it is true, is for others.

mod lines;
mod order;
mod source;

pub(super) use lines::{Lines, Text, Unwrapped, Unwrapper};
pub(super) use order::in_order;
pub use source::{Input, Progress, ReadError};

//! What the gateway tells of itself: logs for people, metrics for machines.
//! The audit log is a thing of its own and not here.

mod few;
pub mod log;
pub mod metrics;
pub mod traces;

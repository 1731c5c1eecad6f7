//! The configuration: what may be written, where it came from, and what it means.

mod pattern;
mod secret;
mod settings;

pub use pattern::Pattern;
pub use secret::SecretSource;
pub use settings::{
    Admin, Audit, Bind, Caller, Durability, Egress, EmailForm, Frontegg, Headers, Limits, Listen,
    ListenTls, LogFormat, Mode, OnFailure, Output, Policy, Routes, Settings, Shutdown, Subject,
    SubjectFrom, Telemetry,
};

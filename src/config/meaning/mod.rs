//! The meant form: what the entries mean together, or everything that is wrong with them.
//!
//! Each section has a function of its own. It tells every problem to the [`Reader`] and
//! goes on with something harmless, so that one run finds all of them.

mod audit;
mod callers;
mod certificate;
mod frontegg;
mod headers;
mod known_by;
mod limits;
mod listen;
mod reader;
mod redis;
mod routes;
mod subject;
mod telemetry;
mod tls;
mod tokens;

pub use routes::Verdict;

use std::net::SocketAddr;

use super::{
    Admin, Settings, Shutdown,
    entries::Entries,
    problem::{Problem, Problems},
    secret::SecretSource,
};
use reader::Reader;

/// Where the admin listener is, whatever is wrong outside `[admin]`.
///
/// # Errors
/// `problems`, and what is wrong with `admin.address`.
pub(super) fn admin_address(
    entries: &Entries,
    problems: Problems,
) -> Result<Option<SocketAddr>, Problems> {
    alone(entries, problems, listen::admin_address)
}

/// The admin listener and its key, whatever is wrong outside `[admin]`.
///
/// # Errors
/// `problems`, and what is wrong with `[admin]`.
pub(super) fn admin(entries: &Entries, problems: Problems) -> Result<Option<Admin>, Problems> {
    alone(entries, problems, listen::admin)
}

/// The audit log's keys, the present one first, whatever is wrong outside `[audit]`.
///
/// # Errors
/// `problems`, and what is wrong with the keys.
pub(super) fn audit_keys(
    entries: &Entries,
    problems: Problems,
) -> Result<Vec<SecretSource>, Problems> {
    let mend = "name the file that holds it by --key-file, or the configuration by -c";
    let (key, previous) = alone(entries, problems, |reader| audit::keys(reader, mend))?;
    Ok(key.into_iter().chain(previous).collect())
}

/// One part, without the others.
fn alone<T>(
    entries: &Entries,
    problems: Problems,
    read: impl FnOnce(&mut Reader<'_>) -> T,
) -> Result<T, Problems> {
    let mut reader = Reader::new(entries, problems);
    let part = read(&mut reader);
    if reader.problems.is_empty() {
        Ok(part)
    } else {
        Err(reader.problems)
    }
}

/// Makes settings of the entries, with what is probably a mistake but not surely.
///
/// # Errors
/// Every problem of the layers and of the meaning.
pub(super) fn settings(
    entries: &Entries,
    problems: Problems,
) -> Result<(Settings, Vec<Problem>), Problems> {
    let mut reader = Reader::new(entries, problems);
    let callers = callers::read(&mut reader);
    let listen = listen::listeners(&mut reader, !callers.is_empty());
    let admin = listen::admin(&mut reader);
    known_by::are_seen(&mut reader, &callers, &listen);
    listen::no_two_alike(&mut reader, &listen, admin.as_ref());
    let frontegg = frontegg::read(&mut reader, &listen);
    let routes = routes::read(&mut reader);
    let headers = headers::read(&mut reader);
    let subject = subject::read(&mut reader, &routes, &listen);
    callers::agree(&mut reader, &callers, &routes, &subject);
    let kubernetes = tokens::kubernetes(&mut reader, &callers);
    let limits = limits::read(&mut reader, &listen, &callers);
    let collector = telemetry::collector(&mut reader);
    let audit = audit::read(&mut reader, collector.as_ref());
    let telemetry = telemetry::read(&mut reader, collector);
    let shutdown = Shutdown {
        delay: reader.duration("shutdown.delay"),
        timeout: reader.duration("shutdown.timeout"),
    };
    match (frontegg, subject, kubernetes, limits, audit) {
        (Some(frontegg), Some(subject), Some(kubernetes), Some(limits), Some(audit))
            if reader.problems.is_empty() =>
        {
            let settings = Settings {
                listen,
                admin,
                frontegg,
                routes,
                headers,
                subject,
                callers,
                kubernetes,
                limits,
                audit,
                telemetry,
                shutdown,
            };
            Ok((settings, reader.warnings))
        }
        (_, _, _, _, _) => Err(reader.problems),
    }
}

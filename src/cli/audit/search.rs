//! `audit search`: what does the log say about somebody, or about a request?

use std::{
    io::{self, Write},
    net::IpAddr,
    time::SystemTime,
};

use clap::Args;
use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{FileArgs, KeyArgs, rows};
use crate::{
    audit::{self, Hit, Query, ReadError, Record},
    cli::{Failure, config::Format, output::print},
    config::{Pattern, parse_duration},
    model::{CanonicalEmail, Subaddress},
};

/// `mfa-gateway audit search`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mfa-gateway audit search --email ada@example.com --since 2d audit.jsonl*\n  mfa-gateway audit search --operation 'user.*disable*' --outcome succeeded audit.jsonl*\n\nThe log is trusted as it is: audit verify says whether it may be."
)]
pub(super) struct SearchArgs {
    /// The account, also where the log has only its hash; where it has masks, all with the same
    #[arg(long)]
    email: Option<String>,
    /// The user's id
    #[arg(long)]
    user: Option<String>,
    /// The tenant's id
    #[arg(long)]
    tenant: Option<String>,
    /// An operation; * stands for any text
    #[arg(long)]
    operation: Option<String>,
    /// The calling application
    #[arg(long)]
    caller: Option<String>,
    /// How it ended
    #[arg(long, value_parser = ["succeeded", "denied", "failed", "refused", "pending"])]
    outcome: Option<String>,
    /// The user's address, or the calling application's where that is unknown
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Our id of the request, or the caller's
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Not before this: a time (2026-11-23T12:00:00Z, 2026-11-23), or so long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<SystemTime>,
    /// Before this
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<SystemTime>,
    /// How what is found is written; json: one object a line
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    files: FileArgs,
}

pub(super) fn run(arguments: &SearchArgs) -> Result<(), Failure> {
    let (query, inputs) = (query(arguments)?, arguments.files.inputs());
    let colour = rows::Colour::of_stdout();
    print_found(|out| {
        audit::search(&inputs, &query, |found| {
            let written = match arguments.format {
                Format::Json => write_json(found, out),
                Format::Text => writeln!(out, "{}", rows::of_hit(found, colour)),
            };
            written.map_err(Stopped::Output)
        })
    })
}

/// Prints what is found as it is found. That nobody reads on is no failure; that a file can't be
/// read is one.
pub(super) fn print_found(
    tell: impl FnOnce(&mut io::StdoutLock<'static>) -> Result<(), Stopped>,
) -> Result<(), Failure> {
    let mut trouble = None;
    print(|out| match tell(out) {
        Ok(()) => Ok(()),
        Err(Stopped::Output(error)) => Err(error),
        Err(Stopped::Input(error)) => {
            trouble = Some(error);
            Ok(())
        }
    })?;
    trouble.map_or(Ok(()), |error| Err(Failure::at_run_time(error)))
}

/// Why a search ended before its end.
#[derive(Debug)]
pub(super) enum Stopped {
    Input(ReadError),
    Output(io::Error),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Input(error)
    }
}

fn query(arguments: &SearchArgs) -> Result<Query, Failure> {
    let accounts = match &arguments.email {
        Some(email) => accounts(email, &arguments.keys)?,
        None => Vec::new(),
    };
    Ok(Query {
        accounts,
        user: arguments.user.clone(),
        tenant: arguments.tenant.clone(),
        operation: arguments.operation.clone().map(Pattern::new),
        caller: arguments.caller.clone(),
        outcome: arguments.outcome.clone(),
        client: arguments.client.map(|client| client.to_canonical()),
        request_id: arguments.request_id.clone(),
        since: arguments.since,
        until: arguments.until,
    })
}

/// All that an email may be called: under every key, and with its plus-tag or without.
fn accounts(email: &str, keys: &KeyArgs) -> Result<Vec<Box<str>>, Failure> {
    let keyring = keys.keyring()?;
    let mut accounts = Vec::new();
    for subaddress in [Subaddress::Keep, Subaddress::Fold] {
        let canonical = CanonicalEmail::parse(email, subaddress)
            .map_err(|error| Failure::Usage(format!("--email: {error}")))?;
        accounts.extend(keyring.accounts(canonical.as_str()));
    }
    Ok(accounts)
}

/// Writes one object a line, with the records as they stand in the log.
fn write_json(found: &Hit, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        request_id: Option<&'a str>,
        outcome: Option<&'a str>,
        ended: bool,
        records: Vec<&'a RawValue>,
    }
    let latest = found.latest();
    let line = Line {
        request_id: latest.and_then(Record::request_id),
        outcome: latest.and_then(Record::outcome),
        ended: found.ended.is_some(),
        records: found.records().map(Record::raw).collect(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}

/// A point in time, or a time ago.
fn time(text: &str) -> Result<SystemTime, String> {
    if let Some(ago) = parse_duration(text) {
        let then = SystemTime::now().checked_sub(ago);
        return then.ok_or_else(|| "is before any log".to_owned());
    }
    let midnight = |date: civil::Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let date = text
        .parse::<civil::Date>()
        .ok()
        .filter(|_| !text.contains('T'));
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| date.and_then(midnight));
    time.map(SystemTime::from)
        .ok_or_else(|| "write it like 2026-11-23T12:00:00Z, 2026-11-23 or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_point_a_day_or_a_while_ago() {
        let noon = time("2026-11-23T12:00:00Z").unwrap();
        assert_eq!(rows::shown(noon), "2026-11-23T12:00:00.000Z");
        assert_eq!(
            rows::shown(time("2026-11-23T13:00:00+01:00").unwrap()),
            "2026-11-23T12:00:00.000Z"
        );
        assert_eq!(
            rows::shown(time("2026-11-23").unwrap()),
            "2026-11-23T00:00:00.000Z"
        );
        assert!(time("2h").unwrap() < SystemTime::now());
        for wrong in ["", "yesterday", "2026-11-23T12:00:00", "2"] {
            time(wrong).unwrap_err();
        }
    }
}

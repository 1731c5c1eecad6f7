//! `audit verify`: is the log as it was written?

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};

use super::{FileArgs, KeyArgs, rows::shown};
use crate::{
    audit::{self, Chain, Expected, Input, Progress, Report},
    cli::{
        Failure,
        config::{Format, write_json},
        output::print,
    },
};

/// `mfa-gateway audit verify`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway audit verify --key-file audit.key /var/log/mfa-gateway/audit.jsonl*\n\nExit status: 0 as it was written, 1 it isn't or can't be read, 2 usage."
)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// A record that is known to have been written, as an earlier verify showed it: a log that ends
    /// before it was cut off
    #[arg(long, value_name = "SEQUENCE:HASH")]
    expect: Option<Expected>,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    files: FileArgs,
}

/// Between two looks at how far it is.
const STEP: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &VerifyArgs) -> Result<(), Failure> {
    let (keys, inputs) = (arguments.keys.keyring()?, arguments.files.inputs());
    let progress = Progress::default();
    let bar = Bar::show(&inputs, &progress);
    let report = audit::verify(&inputs, &keys, arguments.expect.as_ref(), &progress);
    bar.end();
    let report = report.map_err(Failure::at_run_time)?;
    print(|out| match arguments.format {
        Format::Json => write_json(&as_json(&report), out),
        Format::Text => write_text(&report, out),
    })?;
    match &report.bad {
        Some(bad) => Err(Failure::AtRunTime(bad.to_string())),
        None if report.chains.is_empty() => Err(Failure::AtRunTime(
            "there is no audit record in it".to_owned(),
        )),
        None => Ok(()),
    }
}

/// Writes what a log holds, for people.
fn write_text(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for chain in &report.chains {
        write_chain(chain, out)?;
    }
    if report.foreign > 0 {
        writeln!(out, "{} lines of others were passed over.", report.foreign)?;
    }
    match &report.bad {
        None if report.chains.is_empty() => Ok(()),
        None => writeln!(out, "The log is as it was written."),
        Some(bad) => {
            writeln!(
                out,
                "The log is NOT as it was written. The first bad record:"
            )?;
            let mut row = |name: &str, value: &str| writeln!(out, "  {name:<8}  {value}");
            if let Some(input) = &bad.input {
                row("file", &input.to_string())?;
            }
            if bad.line > 0 {
                row("line", &bad.line.to_string())?;
            }
            if let Some(sequence) = bad.sequence {
                row("record", &sequence.to_string())?;
            }
            if let Some(time) = bad.time {
                row("time", &shown(time))?;
            }
            row("damage", bad.damage.as_str())?;
            row("because", &bad.detail)
        }
    }
}

fn write_chain(chain: &Chain, out: &mut impl Write) -> io::Result<()> {
    let name = chain
        .name
        .as_deref()
        .unwrap_or("whose beginning isn't here");
    writeln!(out, "chain {name}")?;
    let first = chain.after.saturating_add(1);
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<8}  {value}");
    if chain.records == 0 {
        return row("records", "none yet".to_owned());
    }
    row(
        "records",
        format!("{} ({first} to {})", chain.records, chain.last()),
    )?;
    if let (Some(began), Some(ended)) = (chain.began(), chain.ended()) {
        row("written", format!("{} to {}", shown(began), shown(ended)))?;
    }
    if chain.after > 0 {
        row(
            "before",
            format!("{} records in older files, not looked at", chain.after),
        )?;
    }
    if chain.missed > 0 {
        row(
            "missed",
            format!("{} records that another output has", chain.missed),
        )?;
    }
    row("end", format!("--expect {}:{}", chain.last(), chain.hash()))
}

fn as_json(report: &Report) -> Value {
    let chain = |chain: &Chain| {
        json!({
            "name": chain.name,
            "after": chain.after,
            "records": chain.records,
            "missed": chain.missed,
            "began": chain.began().map(shown),
            "ended": chain.ended().map(shown),
            "end": format!("{}:{}", chain.last(), chain.hash()),
        })
    };
    let bad = report.bad.as_ref().map(|bad| {
        json!({
            "damage": bad.damage.as_str(),
            "file": bad.input.as_ref().map(Input::to_string),
            "line": (bad.line > 0).then_some(bad.line),
            "sequence": bad.sequence,
            "time": bad.time.map(shown),
            "detail": bad.detail,
        })
    });
    json!({
        "verified": report.bad.is_none() && !report.chains.is_empty(),
        "records": report.records(),
        "foreign_lines": report.foreign,
        "files": report.inputs.iter().map(Input::to_string).collect::<Vec<_>>(),
        "chains": report.chains.iter().map(chain).collect::<Vec<_>>(),
        "bad": bad,
    })
}

/// How far it is, on a terminal.
struct Bar(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

impl Bar {
    /// Shows nothing where nobody looks, or where the end isn't known.
    fn show(inputs: &[Input], progress: &Progress) -> Self {
        let total = inputs.iter().map(Input::size).sum::<Option<u64>>();
        let Some(total) = total.filter(|total| *total > 0 && io::stderr().is_terminal()) else {
            return Self(None);
        };
        let (end, ended) = mpsc::channel::<()>();
        let progress = progress.clone();
        let drawing = thread::spawn(move || {
            while ended.recv_timeout(STEP) == Err(mpsc::RecvTimeoutError::Timeout) {
                draw(&bar(progress.bytes(), total));
            }
            draw("");
        });
        Self(Some((end, drawing)))
    }

    fn end(self) {
        let Some((end, drawing)) = self.0 else { return };
        drop(end);
        if drawing.join().is_err() {
            tracing::debug!("the progress bar had panicked");
        }
    }
}

/// Draws over the line. Nothing depends on its being seen.
fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(write!(stderr, "\r\x1b[K{text}"));
    drop(stderr.flush());
}

fn bar(done: u64, total: u64) -> String {
    const WIDTH: u64 = 40;
    let part = |of: u64| {
        let scaled = done.min(total).saturating_mul(of);
        usize::try_from(scaled.checked_div(total).unwrap_or(of)).unwrap_or_default()
    };
    let (full, percent) = (part(WIDTH), part(100));
    let mebibytes = |bytes: u64| bytes >> 20;
    format!(
        "[{:<40}] {percent:>3} %  {} of {} MiB",
        "#".repeat(full),
        mebibytes(done),
        mebibytes(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_from_nothing_to_all() {
        assert_eq!(bar(0, 1 << 21), format!("[{:<40}]   0 %  0 of 2 MiB", ""));
        assert_eq!(
            bar(1 << 20, 1 << 21),
            format!("[{:<40}]  50 %  1 of 2 MiB", "#".repeat(20))
        );
        assert_eq!(
            bar(1 << 22, 1 << 21),
            format!("[{}] 100 %  4 of 2 MiB", "#".repeat(40))
        );
    }
}

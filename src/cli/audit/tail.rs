//! `audit tail`: the last records, and those that come.

use std::{
    collections::VecDeque,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    rows::{self, Colour},
    search::{Stopped, print_found},
};
use crate::{
    audit::{self, Follow, Input, Record},
    cli::{Failure, config::Format, output::print, run::event_loop},
};

/// `mfa-gateway audit tail`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mfa-gateway audit tail -f /var/log/mfa-gateway/audit.jsonl\n  kubectl logs -f my-app -c mfa-gateway | mfa-gateway audit tail -"
)]
pub(super) struct TailArgs {
    /// Go on with the records that come, also when the file is rotated
    #[arg(short, long)]
    follow: bool,
    /// So many of those that are there
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    lines: u16,
    /// How records are written; json: as they stand in the log
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The log's file; - is the standard input, which is shown whole
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(200);
/// No record is longer.
const LONGEST: u64 = 16 * 1024;

pub(super) fn run(arguments: &TailArgs) -> Result<(), Failure> {
    let view = View {
        format: arguments.format,
        colour: Colour::of_stdout(),
    };
    match Input::of(arguments.file.clone()) {
        Input::File(path) => file(&path, arguments, view),
        Input::Stdin => piped(view),
    }
}

#[derive(Clone, Copy)]
struct View {
    format: Format,
    colour: Colour,
}

impl View {
    fn show(self, record: &Record) -> String {
        match self.format {
            Format::Json => record.raw().get().to_owned(),
            Format::Text => rows::of_record(record, self.colour),
        }
    }
}

fn piped(view: View) -> Result<(), Failure> {
    print_found(|out| {
        audit::records(&Input::Stdin, |record| {
            let written = writeln!(out, "{}", view.show(&record)).and_then(|()| out.flush());
            written.map_err(Stopped::Output)
        })
    })
}

fn file(path: &Path, arguments: &TailArgs, view: View) -> Result<(), Failure> {
    let failed = |error| Failure::AtRunTime(format!("{} can't be read: {error}", path.display()));
    let back = u64::from(arguments.lines).saturating_mul(LONGEST);
    let mut followed = Follow::open(path.to_owned(), back).map_err(failed)?;
    let mut last = VecDeque::new();
    followed
        .poll(&mut |record| {
            last.push_back(record);
            if last.len() > usize::from(arguments.lines) {
                last.pop_front();
            }
        })
        .map_err(failed)?;
    let mut records: Vec<_> = last.into();
    if !arguments.follow {
        return write(&records, view).map(drop);
    }
    event_loop()?.block_on(async {
        let mut clock = tokio::time::interval(LOOK);
        // until it is interrupted, or nobody reads any more
        while write(&records, view)? {
            records.clear();
            clock.tick().await;
            followed
                .poll(&mut |record| records.push(record))
                .map_err(failed)?;
        }
        Ok(())
    })
}

/// Writes records; false where nobody reads them any more.
fn write(records: &[Record], view: View) -> Result<bool, Failure> {
    let mut whole = false;
    print(|out| {
        for record in records {
            writeln!(out, "{}", view.show(record))?;
        }
        whole = true;
        Ok(())
    })?;
    Ok(whole)
}

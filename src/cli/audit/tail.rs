//! `audit tail`: the last records, and those that come.

use std::{collections::VecDeque, io::Write, path::Path, time::Duration};

use clap::Args;

use super::{
    FileArgs, KeyArgs,
    rows::{self, Colour},
    search::{Stopped, print_found},
};
use crate::{
    audit::{self, Follow, Input, ReadError, Record},
    cli::{Failure, config::Format, output::print, run::event_loop},
};

/// `mfa-gateway audit tail`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mfa-gateway audit tail -f /var/log/mfa-gateway/audit.jsonl\n  mfa-gateway audit tail -n 50 /var/log/mfa-gateway/audit.jsonl*\n  kubectl logs -f my-app -c mfa-gateway | mfa-gateway audit tail -"
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
    /// What verify and search want; to show records needs no key
    #[command(flatten)]
    _keys: KeyArgs,
    /// What is read; the standard input alone is shown as it comes, and whole
    #[command(flatten)]
    files: FileArgs,
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
    let inputs = arguments.files.inputs();
    match inputs.as_slice() {
        [Input::Stdin] => piped(view),
        [Input::File(path)] if !is_compressed(path) => file(path, arguments, view),
        _ if arguments.follow => Err(Failure::Usage(
            "-f goes on with one file: name the one that is being written".to_owned(),
        )),
        several => last_of(several, arguments, view),
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The last records of several files, or of a compressed one, which have to be read whole.
fn last_of(inputs: &[Input], arguments: &TailArgs, view: View) -> Result<(), Failure> {
    let mut last = Last::of(arguments.lines);
    audit::records(inputs, |record| {
        last.push(record);
        Ok::<_, ReadError>(())
    })
    .map_err(Failure::at_run_time)?;
    write(&last.into_records(), view).map(drop)
}

/// The last records of those that came.
struct Last {
    records: VecDeque<Record>,
    most: usize,
}

impl Last {
    fn of(most: u16) -> Self {
        Self {
            records: VecDeque::new(),
            most: most.into(),
        }
    }

    fn push(&mut self, record: Record) {
        self.records.push_back(record);
        if self.records.len() > self.most {
            self.records.pop_front();
        }
    }

    fn into_records(self) -> Vec<Record> {
        self.records.into()
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
        audit::records(&[Input::Stdin], |record| {
            let written = writeln!(out, "{}", view.show(&record)).and_then(|()| out.flush());
            written.map_err(Stopped::Output)
        })
    })
}

fn file(path: &Path, arguments: &TailArgs, view: View) -> Result<(), Failure> {
    let failed = |error| Failure::AtRunTime(format!("{} can't be read: {error}", path.display()));
    let back = u64::from(arguments.lines).saturating_mul(LONGEST);
    let mut followed = Follow::open(path.to_owned(), back).map_err(failed)?;
    let mut last = Last::of(arguments.lines);
    followed
        .poll(&mut |record| last.push(record))
        .map_err(failed)?;
    let mut records = last.into_records();
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

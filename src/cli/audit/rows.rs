//! Records as rows: what all have stands in columns, what some have follows with its name.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use crate::audit::{Hit, Record};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Off,
    On,
}

impl Colour {
    /// On a terminal, unless `NO_COLOR` (<https://no-color.org>) says otherwise.
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if io::stdout().is_terminal() && !unwanted {
            Self::On
        } else {
            Self::Off
        }
    }

    fn paint(self, ansi: &str, text: &str) -> String {
        match self {
            Self::Off => text.to_owned(),
            Self::On => format!("\x1b[{ansi}m{text}\x1b[0m"),
        }
    }
}

/// A record, as `tail` shows it.
pub(super) fn of_record(record: &Record, colour: Colour) -> String {
    row(record, record.outcome(), colour)
}

/// A request, as `search` shows it.
pub(super) fn of_hit(found: &Hit, colour: Colour) -> String {
    let Some(latest) = found.latest() else {
        return String::new();
    };
    let mut text = row(latest, latest.outcome(), colour);
    if found.ended.is_none() {
        text += "  ";
        text += &colour.paint("31", "NO END RECORDED: killed, or still under way");
    } else if found.admitted.is_none()
        && matches!(latest.outcome(), Some("succeeded" | "denied" | "failed"))
    {
        text += "  (its first record is not in these files)";
    }
    text
}

fn row(record: &Record, outcome: Option<&str>, colour: Colour) -> String {
    let (word, ansi) = match outcome {
        Some(outcome) => (outcome, ansi_of(outcome)),
        None => ("gateway", "36"),
    };
    let name = record.name();
    let status = record.status().unwrap_or("-");
    let mut text = format!(
        "{}  {}  {status:<3}  {:<26}",
        shown(record.time()),
        colour.paint(ansi, &format!("{word:<9}")),
        plain(name)
    );
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            text += "  ";
            text += name;
            text += "=";
            text += &plain(value);
        }
    };
    add("reason", record.reason());
    add("user", record.user());
    add("tenant", record.tenant());
    add("device", record.device());
    add("caller", record.caller());
    add(
        "client",
        record.client().map(|client| client.to_string()).as_deref(),
    );
    for (name, value) in record.particulars() {
        add(name, Some(&value));
    }
    add("took", record.duration().map(lasted).as_deref());
    if let Some((count, time)) = record.repeated() {
        add("times", Some(&format!("{count} within {time:?}")));
    }
    add("id", record.request_id());
    if record.operation().is_none()
        && let Some(message) = record.message()
    {
        let written = write!(text, "  {}", plain(message));
        debug_assert!(written.is_ok(), "a text takes everything");
    }
    text.trim_end().to_owned()
}

fn ansi_of(outcome: &str) -> &'static str {
    match outcome {
        "succeeded" => "32",
        "denied" | "failed" => "31",
        "refused" => "33",
        _pending => "2",
    }
}

/// SECURITY: a terminal must not obey what a caller has written.
fn plain(text: &str) -> String {
    let escaped = |c: char| -> String {
        if c.is_control() {
            c.escape_unicode().collect()
        } else {
            c.into()
        }
    };
    text.chars().map(escaped).collect()
}

/// A time, to the millisecond.
pub(super) fn shown(time: SystemTime) -> String {
    // what can't be shown is a time that no clock of ours has told
    let shown = Timestamp::try_from(time).map(|time| format!("{time:.3}"));
    shown.unwrap_or_else(|_out_of_range| "unknown".to_owned())
}

/// Records tell whole milliseconds.
fn lasted(took: Duration) -> String {
    if took.is_zero() {
        return "0ms".to_owned();
    }
    format!("{took:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        Record::parse(line.as_bytes()).unwrap()
    }

    const REFUSED: &str = r#"{"metadata":{"sequence":7,"correlation_uid":"id-1"},"time":1795435200123,"count":9,"start_time":1795435200000,"end_time":1795435200500,"status_code":"429","user":{"uid":"email:1"},"src_endpoint":{"ip":"203.0.113.7"},"unmapped":{"operation":"recover","stage":"refused","outcome":"refused","reason":"rate-limited","caller":"a\u001bb"}}"#;

    #[test]
    fn a_row_says_what_the_record_says_and_no_escape_sequence() {
        let text = of_record(&record(REFUSED), Colour::Off);
        assert_eq!(
            text,
            "2026-11-23T12:00:00.123Z  refused    429  recover                     reason=rate-limited  user=email:1  caller=a\\u{1b}b  client=203.0.113.7  times=9 within 500ms  id=id-1"
        );
        let coloured = of_record(&record(REFUSED), Colour::On);
        assert!(coloured.contains("\x1b[33mrefused  \x1b[0m"), "{coloured}");
    }

    #[test]
    fn what_happened_to_the_gateway_is_told_in_words() {
        let line = r#"{"metadata":{"sequence":1,"version":"1.8.0"},"time":0,"message":"the configuration was read again","unmapped":{"event":"reload","keys":["limits.email","routes.deny"]}}"#;
        assert_eq!(
            of_record(&record(line), Colour::Off),
            "1970-01-01T00:00:00.000Z  gateway    -    reload                      keys=limits.email,routes.deny  the configuration was read again"
        );
    }

    #[test]
    fn a_request_without_end_stands_out() {
        let line = REFUSED.replace("\"outcome\":\"refused\"", "\"outcome\":\"pending\"");
        let found = Hit {
            admitted: Some(record(&line)),
            ended: None,
        };
        assert!(
            of_hit(&found, Colour::Off).ends_with("NO END RECORDED: killed, or still under way")
        );
    }
}

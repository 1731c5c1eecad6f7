//! `mfa-gateway check`: every problem of the configuration at once.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{
    Failure,
    config::{Format, SourceArgs, write_json},
    connect::{self, Finding},
    output::print,
    run::event_loop,
};
use crate::config::{Loaded, Problem, Problems, load};

/// `mfa-gateway check`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway check -c gateway.toml --connect\n\nExit status: 0 right, 1 a connection failed, 2 the configuration is wrong."
)]
pub(super) struct CheckArgs {
    /// Where the configuration is.
    #[command(flatten)]
    sources: SourceArgs,
    /// Also reaches the vendor's host, exchanges the credential, fetches the keys of tokens, and tries
    /// the shared store and the collector
    #[arg(long)]
    connect: bool,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Reports on the configuration, and on what it reaches with `--connect`.
pub(super) fn run(arguments: &CheckArgs) -> Result<(), Failure> {
    let outcome = load(&arguments.sources.sources());
    let findings = match &outcome {
        Ok(loaded) if arguments.connect => {
            let found = event_loop()?.block_on(connect::try_all(&loaded.settings));
            found.map_err(|error| Failure::Usage(error.to_string()))?
        }
        Ok(_) | Err(_) => Vec::new(),
    };
    print(|out| {
        report(
            &outcome,
            &findings,
            arguments.format,
            out,
            &mut io::stderr().lock(),
        )
    })?;
    if outcome.is_err() {
        return Err(Failure::Said);
    }
    if findings.iter().any(|finding| finding.trouble.is_some()) {
        return Err(Failure::AtRunTime(
            "not everything that the configuration names can be used".to_owned(),
        ));
    }
    Ok(())
}

/// Writes what is wrong with a configuration, or that nothing is. As text, problems and
/// warnings are messages for people and go to `messages`, the verdict to `out`; as JSON
/// everything goes to `out`.
///
/// # Errors
/// Where one of the two can't be written to.
fn report(
    outcome: &Result<Loaded, Problems>,
    findings: &[Finding],
    format: Format,
    out: &mut impl Write,
    messages: &mut impl Write,
) -> io::Result<()> {
    let (warnings, problems) = match outcome {
        Ok(loaded) => (loaded.warnings.as_slice(), None),
        Err(problems) => (&[][..], Some(problems)),
    };
    match format {
        Format::Json => {
            let problems = problems.into_iter().flatten();
            let problems: Vec<_> = problems.map(Problem::json).collect();
            let warnings: Vec<_> = warnings.iter().map(Problem::json).collect();
            let report = json!({
                "valid": problems.is_empty(),
                "problems": problems,
                "warnings": warnings,
                "connections": findings.iter().map(Finding::json).collect::<Vec<_>>(),
            });
            write_json(&report, out)
        }
        Format::Text => {
            write_warnings(warnings, messages)?;
            match problems {
                Some(problems) => write_problems(problems, messages),
                None => writeln!(out, "The configuration is right."),
            }?;
            findings
                .iter()
                .try_for_each(|finding| writeln!(out, "{}", finding.text()))
        }
    }
}

/// Writes all problems as blocks, and how many there are.
///
/// # Errors
/// Where `messages` can't be written to.
fn write_problems(problems: &Problems, messages: &mut impl Write) -> io::Result<()> {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    writeln!(messages, "{problems}\n\nThe configuration has {count}.")
}

/// Writes all warnings as blocks.
///
/// # Errors
/// Where `messages` can't be written to.
pub(super) fn write_warnings(warnings: &[Problem], messages: &mut impl Write) -> io::Result<()> {
    for warning in warnings {
        writeln!(messages, "warning: {warning}\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::config::tests::loaded, *};
    use crate::config::{Sources, load};

    fn reported(outcome: &Result<Loaded, Problems>, format: Format) -> (String, String) {
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        report(outcome, &[], format, &mut out, &mut messages).unwrap();
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(messages).unwrap(),
        )
    }

    fn broken() -> Result<Loaded, Problems> {
        let set = ["frontegg.regoin=us", "listen.max_body=1"];
        load(&Sources {
            set: set.map(str::to_owned).to_vec(),
            ..Sources::default()
        })
    }

    #[test]
    fn a_right_configuration_is_said_to_be_so() {
        let (_folder, loaded) = loaded(&["limits.mode=observe"]);
        let (out, messages) = reported(&Ok(loaded), Format::Text);
        assert_eq!(out, "The configuration is right.\n");
        assert!(messages.starts_with("warning: limits.mode: "), "{messages}");
    }

    #[test]
    fn all_problems_are_reported() {
        let (out, messages) = reported(&broken(), Format::Text);
        assert_eq!(out, "");
        assert!(messages.contains("frontegg.regoin: is not a key of the configuration\n  from  --set\n  mend  did you mean frontegg.region?\n"));
        assert!(
            messages.contains("listen.max_body: \"1\" is not a size"),
            "{messages}"
        );
        assert!(messages.trim_end().ends_with(" problems."), "{messages}");
        let (out, messages) = reported(&broken(), Format::Json);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&value["valid"], messages.as_str()), (&false.into(), ""));
        assert_eq!(value["problems"][0]["key"], "frontegg.regoin");
    }
}

//! `mfa-gateway routes`: the route table, and what this configuration lets through.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{
    Failure,
    config::{Format, SourceArgs, write_json},
    loaded,
    output::print,
};
use crate::{
    config::{Loaded, Verdict},
    route::Operation,
};

/// `mfa-gateway routes`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  mfa-gateway routes -c gateway.toml --set 'routes.allow=[\"recover\", \"user.*disable\"]'"
)]
pub(super) struct RoutesArgs {
    /// Where the configuration is.
    #[command(flatten)]
    sources: SourceArgs,
    /// How the table is written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists the routes.
pub(super) fn run(arguments: &RoutesArgs) -> Result<(), Failure> {
    let loaded = loaded(&arguments.sources)?;
    print(|out| write_routes(&loaded, arguments.format, out))
}

/// Writes all operations, each with whether it is let through, or why not.
///
/// # Errors
/// Where `out` can't be written to.
fn write_routes(loaded: &Loaded, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Json => {
            let rows = Operation::ALL.iter().map(|operation| {
                let facts = operation.facts();
                let verdict = loaded.verdict(*operation);
                json!({
                    "operation": facts.name,
                    "method": facts.method.as_str(),
                    "path": facts.path,
                    "category": facts.category.as_str(),
                    "allowed": verdict == Verdict::Allowed,
                    "reason": verdict.as_str(),
                })
            });
            write_json(&rows.collect(), out)
        }
        Format::Text => {
            writeln!(
                out,
                "{:<34} {:<14} {:<16} {:<6} PATH",
                "OPERATION", "CATEGORY", "LET THROUGH", "METHOD"
            )?;
            for operation in Operation::ALL {
                let facts = operation.facts();
                writeln!(
                    out,
                    "{:<34} {:<14} {:<16} {:<6} {}",
                    facts.name,
                    facts.category.as_str(),
                    loaded.verdict(*operation).as_str(),
                    facts.method.as_str(),
                    facts.path,
                )?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::config::tests::loaded, *};

    #[test]
    fn every_operation_is_listed_with_whether_it_is_let_through() {
        let (_folder, loaded) = loaded(&[]);
        let mut out = Vec::new();
        write_routes(&loaded, Format::Text, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 42);
        let line = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.split(' ').next() == Some(name));
            line.unwrap().to_owned()
        };
        assert!(line("recover").contains(" yes "));
        assert!(line("user.disable").contains(" no: denied "));
        assert!(line("user.unenroll").contains(" no: not allowed "));
    }

    #[test]
    fn scripts_get_the_same() {
        let (_folder, loaded) = loaded(&["routes.allow=recover"]);
        let mut out = Vec::new();
        write_routes(&loaded, Format::Json, &mut out).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let allowed: Vec<_> = rows.iter().filter(|row| row["allowed"] == true).collect();
        assert_eq!((rows.len(), allowed.len()), (41, 1));
        assert_eq!(allowed[0]["operation"], "recover");
    }
}

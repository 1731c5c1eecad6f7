//! Which lines the log has.

use std::str::FromStr;

use tracing_subscriber::filter::{ParseError, Targets};

/// Levels, for all modules or for some: `info`, or `warn,mfa_gateway=debug`.
///
/// As `tracing-subscriber` reads it, but without what chooses by spans and their fields: there are
/// no spans here, and the machine for regular expressions that it takes was a fortieth of the
/// program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFilter(Targets);

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum LogFilterError {
    /// There is nothing in it.
    #[error("it names no level")]
    Empty,
    /// Neither a level's nor a module's.
    #[error("{0:?} stands in no level and in no module's name")]
    Foreign(char),
    /// `tracing-subscriber` can't read it.
    #[error(transparent)]
    Malformed(#[from] ParseError),
}

impl LogFilter {
    /// As a subscriber takes it.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.0.clone()
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let directives = text.split(',').map(str::trim);
        let directives: Vec<_> = directives.filter(|one| !one.is_empty()).collect();
        let directives = directives.join(",");
        if directives.is_empty() {
            return Err(LogFilterError::Empty);
        }
        let known = |c: &char| c.is_ascii_alphanumeric() || "_-:=,".contains(*c);
        if let Some(foreign) = directives.chars().find(|c| !known(c)) {
            return Err(LogFilterError::Foreign(foreign));
        }
        Ok(Self(directives.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_levels_for_all_modules_or_for_some() {
        let filter: LogFilter = "warn, mfa_gateway=debug,".parse().unwrap();
        let shows = |module, level| filter.targets().would_enable(module, &level);
        assert!(shows("mfa_gateway::edge", Level::DEBUG));
        assert!(!shows("mfa_gateway::edge", Level::TRACE));
        assert!(shows("h2", Level::WARN));
        assert!(!shows("h2", Level::INFO));
    }

    #[test]
    fn what_would_be_read_as_an_odd_name_is_refused() {
        for (text, told) in [
            ("", "no level"),
            (" , ", "no level"),
            ("info;debug", "';'"),
            ("[request{id=1}]=debug", "'['"),
            ("mfa_gateway=loud", "level"),
            ("a=b=c", "'='"),
        ] {
            let error = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
        }
    }
}

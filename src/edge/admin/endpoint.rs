//! What can be asked of the admin listener, how, and by whom.

use http::Method;

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Config,
    Limits,
    LimitsReset,
    Live,
    Metrics,
    Quit,
    Ready,
    Startup,
    Version,
}

impl Endpoint {
    /// In the order of the module's table.
    pub(super) const ALL: [Self; 9] = [
        Self::Live,
        Self::Startup,
        Self::Ready,
        Self::Metrics,
        Self::Version,
        Self::Config,
        Self::Limits,
        Self::LimitsReset,
        Self::Quit,
    ];

    pub(super) fn at(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Config => "/config",
            Self::Limits => "/limits",
            Self::LimitsReset => "/limits/reset",
            Self::Live => "/livez",
            Self::Metrics => "/metrics",
            Self::Quit => "/quitquitquit",
            Self::Ready => "/readyz",
            Self::Startup => "/startupz",
            Self::Version => "/version",
        }
    }

    /// The methods that it takes, as `Allow` has them.
    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Limits | Self::LimitsReset | Self::Quit => "POST",
            Self::Config
            | Self::Live
            | Self::Metrics
            | Self::Ready
            | Self::Startup
            | Self::Version => "GET, HEAD",
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        self.allow()
            .split(", ")
            .any(|known| known == method.as_str())
    }

    /// Whether it is for trusted peers alone.
    pub(super) const fn is_guarded(self) -> bool {
        match self {
            Self::Config | Self::Limits | Self::LimitsReset | Self::Quit => true,
            Self::Live | Self::Metrics | Self::Ready | Self::Startup | Self::Version => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_at_the_modules_head_is_right() {
        let source = include_str!("../admin.rs");
        let rows: Vec<_> = source
            .lines()
            .filter(|line| line.starts_with("//! | `"))
            .collect();
        assert_eq!(rows.len(), Endpoint::ALL.len());
        for (row, endpoint) in rows.into_iter().zip(Endpoint::ALL) {
            let who = if endpoint.is_guarded() {
                "guarded"
            } else {
                "anyone"
            };
            let (allow, path) = (endpoint.allow(), endpoint.path());
            let method = allow.strip_suffix(", HEAD").unwrap_or(allow);
            let start = format!("//! | `{method} {path}` | {who}");
            assert!(row.starts_with(&start), "{row}");
            assert_eq!(Endpoint::at(path), Some(endpoint));
        }
    }
}

//! The vendor's regions and their hosts.

use std::str::FromStr;

/// A region of the vendor's. Data and credentials of one don't exist in another,
/// so a request never goes from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Australia.
    Au,
    /// Canada.
    Ca,
    /// Europe.
    Eu,
    /// United States.
    Us,
}

impl Region {
    /// All of them, as people would list them.
    pub const ALL: [Self; 4] = [Self::Eu, Self::Us, Self::Ca, Self::Au];

    /// As written in the configuration and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Au => "au",
            Self::Ca => "ca",
            Self::Eu => "eu",
            Self::Us => "us",
        }
    }

    /// The host of both the identity API and the environment authentication,
    /// from the vendor's page on regions.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Au => "api.au.frontegg.com",
            Self::Ca => "api.ca.frontegg.com",
            Self::Eu => "api.frontegg.com",
            Self::Us => "api.us.frontegg.com",
        }
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|region| region.as_str() == text)
            .ok_or(UnknownRegion)
    }
}

/// The text names no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of eu, us, ca, au")]
pub struct UnknownRegion;

//! Whose word on the user's address is trusted.

use std::net::IpAddr;

use ipnet::IpNet;

/// The proxies in front of a listener: networks, and whoever reaches its unix socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// Adds what is written: a network, one address, or `unix`.
    ///
    /// # Errors
    /// What it is not.
    pub(super) fn add(&mut self, text: &str) -> Result<(), &'static str> {
        if text == "unix" {
            self.unix = true;
            return Ok(());
        }
        let network = text
            .parse::<IpNet>()
            .or_else(|_no_network| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_no_address| "is not a valid network")?;
        if network != network.trunc() {
            return Err("has bits behind its prefix");
        }
        self.networks.push(network);
        Ok(())
    }

    /// Of what is written, which is right.
    #[cfg(test)]
    pub(crate) fn of(written: &[&str]) -> Self {
        let mut proxies = Self::default();
        for text in written {
            proxies.add(text).unwrap();
        }
        proxies
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether who reaches the unix socket is one.
    #[must_use]
    pub const fn trusts_unix(&self) -> bool {
        self.unix
    }

    /// Whether it is the address of one. An IPv4 address written as IPv6 is that address.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Whether everyone is.
    pub(super) fn trusts_everyone(&self) -> bool {
        self.networks
            .iter()
            .any(|network| network.prefix_len() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_trusted_in_either_spelling() {
        let proxies = TrustedProxies::of(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]);
        for inside in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "192.0.2.1",
            "2001:db8:ffff::1",
        ] {
            assert!(proxies.trusts(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.2", "2001:db9::1", "::1", "0.0.0.0"] {
            assert!(!proxies.trusts(outside.parse().unwrap()), "{outside}");
        }
        assert!(!proxies.trusts_unix() && TrustedProxies::of(&["unix"]).trusts_unix());
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "proxy",
            "10.0.0",
            "UNIX",
            "fe80::1%eth0",
        ] {
            assert!(TrustedProxies::default().add(bad).is_err(), "{bad:?}");
        }
    }
}

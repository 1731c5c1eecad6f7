//! The configuration of the gateway in front of the stand-in.

use std::{net::SocketAddr, path::Path};

use super::world::seed;

/// What the gateway's configuration depends on.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// Where its admin listener is.
    pub admin: SocketAddr,
    /// The stand-in's origin.
    pub vendor: String,
    /// What the gateway logs.
    pub log: &'static str,
}

impl Setting {
    /// The configuration's text, for a gateway whose files are in `folder`.
    pub(super) fn configuration(&self, folder: &Path) -> String {
        let Self {
            listen,
            admin,
            vendor,
            log,
        } = self;
        let file = |name: &str| quoted(&folder.join(name).to_string_lossy());
        let [ca, api_key, output, audit_key] =
            ["ca.pem", "api-key", "audit.log", "audit-key"].map(file);
        let (client_id, tenant) = (seed::CLIENT_ID, seed::ACME);
        format!(
            r#"# The gateway of `mfa-gateway sandbox`, which writes this file at each start, with its own
# folder and ports. While it runs, change something here and send it SIGHUP to try that out.
# The users, the credential and the vendor are made up: nothing in here is a secret.

[listen]
address = "{listen}"

[admin]
address = "{admin}"

[frontegg]
# The stand-in instead of a region, and the CA that signed its certificate.
identity_url = "{vendor}"
auth_url     = "{vendor}/auth/vendor/"
ca_file      = {ca}
client_id    = "{client_id}"
api_key_file = {api_key}

[subject]
# A guard: requests for another tenant than Acme are refused.
tenant = "{tenant}"

[limits.upstream.recover]
# The stand-in, like the vendor, takes ten recoveries a minute from one address.
attempts = 10

[audit]
output   = {output}
key_file = {audit_key}

[telemetry]
log = "{log}"
"#
        )
    }
}

/// A TOML string. JSON's form is one too, escapes included.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sandbox) fn setting() -> Setting {
        Setting {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:9090".parse().unwrap(),
            vendor: "https://127.0.0.1:8443".to_owned(),
            log: "info",
        }
    }

    #[test]
    fn the_shipped_example_is_what_is_written() {
        let shipped = include_str!("../../config/sandbox.toml");
        let folder = Path::new("/var/lib/mfa-gateway-sandbox");
        assert_eq!(setting().configuration(folder), shipped);
    }
}

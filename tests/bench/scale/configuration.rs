//! How the gateway is configured here, and the one thing that it is asked: a recovery with a
//! wrong code, which the vendor refuses. An accepted one would clear what is counted.
//!
//! No address of a user is known, so the limit of emails is the only one that counts anything,
//! and each email is one entry.

use std::{net::SocketAddr, sync::Arc};

use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use mfa_gateway::{
    route::Operation,
    sandbox::world::seed::{CLIENT_ID, SECRET},
};

use crate::support::{
    load::{Connections, Target},
    process::Configuration,
    world::World,
};

/// For people who try often, and are never refused by the gateway.
pub(crate) const OFTEN: &str =
    r#"[{ attempts = 1_000_000, per = "1s" }, { attempts = 1_000_000, per = "1m" }]"#;

/// The same, but an attempt weighs for the better part of an hour: an email stays known for as
/// long as anything here takes.
pub(crate) const REMEMBERED: &str =
    r#"[{ attempts = 1_000_000, per = "1s" }, { attempts = 10_000, per = "366d" }]"#;

/// One gateway's configuration.
pub(crate) struct Setup<'a> {
    /// Of its files.
    pub(crate) name: &'a str,
    pub(crate) address: SocketAddr,
    /// Where identity calls go.
    pub(crate) identity_url: &'a str,
    /// Of the limit of emails.
    pub(crate) quotas: &'a str,
}

/// A port of the system's choice.
pub(crate) const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(LOOPBACK), 0);
const LOOPBACK: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

impl<'a> Setup<'a> {
    /// On any port, before the vendor that all share; emails are remembered.
    pub(crate) fn usual(name: &'a str, world: &'a World) -> Self {
        Self {
            name,
            address: ANY_PORT,
            identity_url: &world.identity_url,
            quotas: REMEMBERED,
        }
    }

    pub(crate) fn configuration(&self, world: &World) -> Configuration {
        // little of the audit log is kept: it would fill the disk. A thousand connections to the
        // vendor at once take its core, which the load shares, longer than people would wait.
        let toml = format!(
            r#"
listen.address = "{address}"
listen.idle_timeout = "1h"
listen.max_connections = 20_000
admin.address = ""
telemetry.log_format = "json"
limits.key = "no secret: what is measured here is thrown away"
limits.max_keys = 2_000_000
limits.email.quotas = {quotas}
limits.upstream.recover = {{ attempts = 1_000_000, per = "1s" }}
audit.key = "no secret: what is measured here is thrown away"
audit.output = "{audit}"
audit.collapse = 0
audit.rotate = {{ size = "32MiB", keep = 1 }}
frontegg.connect_timeout = "1m"
frontegg.request_timeout = "2m"
frontegg.identity_url = "{identity}"
frontegg.auth_url = "{auth}"
frontegg.ca_file = "{ca}"
frontegg.client_id = "{CLIENT_ID}"
frontegg.api_key = "{SECRET}"
"#,
            address = self.address,
            quotas = self.quotas,
            audit = world.audit_file(self.name).display(),
            identity = self.identity_url,
            auth = world.stand_in.auth_url(),
            ca = world.path("vendor-ca.pem").display(),
        );
        Configuration {
            path: world.path(&format!("{}.toml", self.name)),
            toml,
        }
    }
}

/// Recoveries by the emails of these numbers, over plain connections that are kept.
pub(crate) fn recoveries(
    address: SocketAddr,
    email: impl Fn(u64) -> u64 + Send + Sync + 'static,
) -> Target {
    let make = move |number| {
        let facts = Operation::Recover.facts();
        let body = format!(
            r#"{{"email":"user-{}@acme.example","recoveryCode":"wrong"}}"#,
            email(number)
        );
        Request::builder()
            .method(facts.method.clone())
            .uri(facts.path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .unwrap()
    };
    Target {
        address,
        tls: None,
        connections: Connections::Kept,
        make: Arc::new(make),
        status: StatusCode::BAD_REQUEST,
    }
}

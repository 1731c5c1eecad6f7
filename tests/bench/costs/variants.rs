//! The variants: how the gateway is configured in each, and what it is asked.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use mfa_gateway::{
    route::Operation,
    sandbox::world::seed::{ADA, CLIENT_ID, SECRET},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::{
    redis::Redis,
    support::{
        load::{Connections, Make, Target, ask, connect},
        process::Configuration,
        world::{LOAD, RIGHT, World},
    },
};

/// One way to run the gateway, and one thing to ask of it.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// The variant that it is compared with.
    pub(crate) against: Option<&'static str>,
    /// For people.
    pub(crate) what: &'static str,
    ask: Ask,
    way: Way,
    audit: Audit,
    store: Store,
    /// HTTP/2 to the vendor.
    http2: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// A recovery with the right code: charged, then given back.
    Accepted,
    /// A user's devices, for a user whom the caller names.
    Devices,
    /// The same, for the user whose token it is: always the same token.
    DevicesByToken,
    /// The same, each time another token than the last few thousand.
    DevicesByTokens,
    /// A recovery with a wrong code: charged.
    Guess,
    /// The same for an email that has no attempts left: refused by the gateway.
    Refused,
}

/// How the load reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Client certificates, connections kept.
    MutualTls,
    /// Client certificates, a full handshake for each request.
    MutualTlsFull,
    /// Client certificates, a resumed session for each request.
    MutualTlsResumed,
    /// Plain HTTP, connections kept.
    Plain,
    /// Plain HTTP, a connection for each request.
    PlainFresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audit {
    /// As near to no audit log as there is: no chain, and records go to `/dev/null`.
    Null,
    Synced,
    Unchained,
    Written,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Memory,
    Redis,
}

/// What is meant for production, as far as nothing else is said.
const PLAIN: Variant = Variant {
    name: "plain",
    against: None,
    what: "a wrong recovery code; limits in memory, chained records written to a file",
    ask: Ask::Guess,
    way: Way::Plain,
    audit: Audit::Written,
    store: Store::Memory,
    http2: false,
};

/// The table, in the order in which it is shown.
#[rustfmt::skip]
pub(crate) const VARIANTS: &[Variant] = &[
    PLAIN,
    Variant { name: "http2", against: Some("plain"), what: "HTTP/2 to the vendor", http2: true, ..PLAIN },
    Variant { name: "refused", against: Some("plain"), what: "no attempts left: a refusal, and its record", ask: Ask::Refused, ..PLAIN },
    Variant { name: "redis", against: Some("plain"), what: "limits in a Redis on this machine: one script call", store: Store::Redis, ..PLAIN },
    Variant { name: "accepted", what: "the right recovery code: charged, then cleared", ask: Ask::Accepted, ..PLAIN },
    Variant { name: "redis-accepted", against: Some("accepted"), what: "the same in Redis: a script call and a DEL", ask: Ask::Accepted, store: Store::Redis, ..PLAIN },
    Variant { name: "fresh", what: "plain HTTP, a connection each request", way: Way::PlainFresh, ..PLAIN },
    Variant { name: "mtls", against: Some("plain"), what: "client certificates, connections kept", way: Way::MutualTls, ..PLAIN },
    Variant { name: "mtls-resumed", against: Some("fresh"), what: "client certificates, a resumed session each request", way: Way::MutualTlsResumed, ..PLAIN },
    Variant { name: "mtls-full", against: Some("fresh"), what: "client certificates, a full handshake each request", way: Way::MutualTlsFull, ..PLAIN },
    Variant { name: "devices", what: "a user's devices, for whom the caller names", ask: Ask::Devices, ..PLAIN },
    Variant { name: "token", against: Some("devices"), what: "the same by a user's token, known already", ask: Ask::DevicesByToken, ..PLAIN },
    Variant { name: "token-new", against: Some("devices"), what: "the same by a token not seen lately: RS256 verified", ask: Ask::DevicesByTokens, ..PLAIN },
    Variant { name: "audit-null", what: "as near to no audit log as there is: unchained, to /dev/null", audit: Audit::Null, ..PLAIN },
    Variant { name: "audit-unchained", against: Some("audit-null"), what: "records written to a file, no chain", audit: Audit::Unchained, ..PLAIN },
    Variant { name: "audit-written", against: Some("audit-null"), what: "records written to a file, chained", ..PLAIN },
    Variant { name: "audit-synced", against: Some("audit-null"), what: "records on the disk before the next step, chained", audit: Audit::Synced, ..PLAIN },
];

/// The same in all: as many quotas as by default, and none that is ever reached but an email's where
/// that is asked for.
const COMMON: &str = r#"
listen.address = "127.0.0.1:0"
listen.trusted_proxies = ["127.0.0.1/32"]
listen.idle_timeout = "1h"
admin.address = ""
telemetry.log_format = "json"
limits.key = "no secret: what is measured here is thrown away"
limits.email_client.quotas = [{ attempts = 900_000, per = "1s" }, { attempts = 900_000, per = "1d" }]
limits.client.quotas = [{ attempts = 1_000_000, per = "1s" }]
limits.upstream.recover = { attempts = 1_000_000, per = "1s" }
audit.key = "no secret: what is measured here is thrown away"
audit.collapse = 0
"#;

impl Variant {
    pub(crate) fn needs_redis(&self) -> bool {
        self.store == Store::Redis
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.audit == Audit::Synced
    }

    /// Whether its connections resume TLS sessions.
    pub(crate) fn resumes(&self) -> bool {
        self.way == Way::MutualTlsResumed
    }

    pub(crate) fn configuration(&self, world: &World, redis: Option<&Redis>) -> Configuration {
        self.configuration_named(world, redis, self.name)
    }

    /// The same, with files of this name.
    pub(crate) fn configuration_named(
        &self,
        world: &World,
        redis: Option<&Redis>,
        name: &str,
    ) -> Configuration {
        let path = |name: &str| world.path(name).display().to_string();
        let audit = match self.audit {
            Audit::Null => "/dev/null".to_owned(),
            Audit::Synced | Audit::Unchained | Audit::Written => {
                world.audit_file(name).display().to_string()
            }
        };
        let mut toml = format!(
            "{COMMON}
frontegg.identity_url = \"{identity}\"
frontegg.auth_url = \"{auth}\"
frontegg.ca_file = \"{ca}\"
frontegg.client_id = \"{CLIENT_ID}\"
frontegg.api_key = \"{SECRET}\"
frontegg.http2 = {http2}
audit.output = \"{audit}\"
audit.durability = \"{durability}\"
audit.chain = {chain}
limits.email.quotas = [{{ attempts = 1_000_000, per = \"1s\" }}, {{ attempts = {attempts}, per = \"1d\" }}]
",
            http2 = self.http2,
            attempts = self.email_attempts(),
            identity = world.identity_url,
            auth = world.stand_in.auth_url(),
            ca = path("vendor-ca.pem"),
            durability = if self.is_synced() {
                "synced"
            } else {
                "written"
            },
            chain = !matches!(self.audit, Audit::Null | Audit::Unchained),
        );
        if let (Store::Redis, Some(redis)) = (self.store, redis) {
            toml += &format!(
                "limits.store = \"redis\"\nlimits.redis.url = \"{}\"\nlimits.redis.timeout = \"1s\"\nlimits.redis.prefix = \"{name}\"\n",
                redis.url()
            );
        }
        if self.is_by_token() {
            toml += &format!(
                "subject.from = \"user-token\"\nsubject.user_token.issuer = \"{}\"\nsubject.user_token.audience = \"{CLIENT_ID}\"\n",
                world.stand_in.origin()
            );
        }
        if self.is_mutual_tls() {
            toml += &format!(
                "listen.tls.certificate_file = \"{}\"\nlisten.tls.private_key_file = \"{}\"\nlisten.tls.client_ca_file = \"{}\"\n\
                 [[callers]]\nname = \"load\"\ncertificate_dns = \"{LOAD}\"\n",
                path("certificate.pem"),
                path("certificate-key.pem"),
                path("ca.pem")
            );
        }
        Configuration {
            path: world.path(&format!("{name}.toml")),
            toml,
        }
    }

    /// How often one email may be tried in a day.
    fn email_attempts(&self) -> u32 {
        if self.ask == Ask::Refused {
            1
        } else {
            1_000_000
        }
    }

    /// Spends the one attempt, where all that follow are to be refused.
    pub(crate) async fn prepare(&self, world: &World, address: SocketAddr) {
        if self.ask == Ask::Refused {
            let make = self.make(world, Connections::Kept);
            let (mut sender, _resumed) = connect(address, None).await;
            ask(&mut sender, make(0), StatusCode::BAD_REQUEST).await;
        }
    }

    pub(crate) fn target(&self, world: &World, address: SocketAddr) -> Target {
        let connections = match self.way {
            Way::MutualTls | Way::Plain => Connections::Kept,
            Way::MutualTlsFull | Way::PlainFresh => Connections::Fresh,
            Way::MutualTlsResumed => Connections::Resumed,
        };
        Target {
            address,
            tls: self.is_mutual_tls().then(|| tls(world)),
            connections,
            make: self.make(world, connections),
            status: match self.ask {
                Ask::Guess => StatusCode::BAD_REQUEST,
                Ask::Refused => StatusCode::TOO_MANY_REQUESTS,
                Ask::Accepted | Ask::Devices | Ask::DevicesByToken | Ask::DevicesByTokens => {
                    StatusCode::OK
                }
            },
        }
    }

    fn is_by_token(&self) -> bool {
        matches!(self.ask, Ask::DevicesByToken | Ask::DevicesByTokens)
    }

    fn is_mutual_tls(&self) -> bool {
        match self.way {
            Way::MutualTls | Way::MutualTlsFull | Way::MutualTlsResumed => true,
            Way::Plain | Way::PlainFresh => false,
        }
    }

    fn make(&self, world: &World, connections: Connections) -> Make {
        let operation = match self.ask {
            Ask::Accepted | Ask::Guess | Ask::Refused => Operation::Recover,
            Ask::Devices | Ask::DevicesByToken | Ask::DevicesByTokens => Operation::UserDevices,
        };
        let ask = self.ask;
        let emails = if ask == Ask::Refused { 1 } else { 100_000 };
        let code = if ask == Ask::Accepted { RIGHT } else { "wrong" };
        let tokens = match ask {
            Ask::DevicesByToken => vec![world.token(0)],
            Ask::DevicesByTokens => world.many_tokens(),
            Ask::Accepted | Ask::Devices | Ask::Guess | Ask::Refused => Vec::new(),
        };
        Arc::new(move |number| {
            let mut request = Request::builder()
                .method(operation.facts().method.clone())
                .uri(operation.facts().path)
                .header(HOST, "localhost")
                .header("x-forwarded-for", user_address(number));
            if connections != Connections::Kept {
                request = request.header(CONNECTION, "close");
            }
            match ask {
                Ask::Accepted | Ask::Guess | Ask::Refused => {
                    let body = format!(
                        r#"{{"email":"user-{}@acme.example","recoveryCode":"{code}"}}"#,
                        number % emails
                    );
                    let request = request.header(CONTENT_TYPE, "application/json");
                    request.body(Full::from(body)).unwrap()
                }
                Ask::Devices => request
                    .header("frontegg-tenant-id", ADA.tenant)
                    .header("frontegg-user-id", ADA.id)
                    .body(Full::<Bytes>::default())
                    .unwrap(),
                Ask::DevicesByToken | Ask::DevicesByTokens => {
                    let turn = usize::try_from(number).unwrap() % tokens.len();
                    request
                        .header(AUTHORIZATION, format!("Bearer {}", tokens[turn]))
                        .body(Full::default())
                        .unwrap()
                }
            }
        })
    }
}

/// How the load does TLS.
fn tls(world: &World) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(world.authority.der().clone()).unwrap();
    let certificates = vec![world.load.certificate.clone()];
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, world.load.key.clone_key())
        .unwrap()
}

/// Where a user is said to be: one of 60,000.
fn user_address(number: u64) -> String {
    let number = number % 60_000;
    format!("192.0.{}.{}", number / 256, number % 256)
}

//! Every key that may be written, in one table.
//!
//! It alone decides what is known, of which kind it is, what it is by default and whether
//! it is a secret; the defaults, the reference, the JSON Schema and the search for the
//! nearest known key are all read from it, so they can't drift apart.

use super::kind::Kind;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Where it stands. A section that may be repeated has no index here, and `*` stands
    /// for any name.
    pub path: &'static str,
    /// What may be written there.
    pub kind: Kind,
    /// Its default, as a TOML value.
    pub default: &'static str,
    /// What it is for, in a few words.
    pub doc: &'static str,
}

/// A table of keys.
#[derive(Debug)]
pub struct Section {
    /// Its path.
    pub path: &'static str,
    /// Whether it may be given several times.
    pub repeats: Repeats,
    /// What it is for.
    pub doc: &'static str,
}

/// Whether a section may be given several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// As a list of tables, which is empty by default.
    Always,
    /// As a table, or as a list of them.
    Maybe,
    /// It is one table.
    Never,
}

/// The key at this path of the table.
#[must_use]
pub(super) fn key(pattern: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == pattern)
}

/// The section at this path of the table.
#[must_use]
pub(super) fn section(pattern: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == pattern)
}

/// Whether there is a key or a section at this path.
#[cfg(test)]
pub(crate) fn is_known(path: &str) -> bool {
    key(path).is_some() || section(path).is_some()
}

/// What stands at `name` below the section at `pattern`: its path in the table, if any.
#[must_use]
pub(super) fn child(pattern: &str, name: &str) -> Option<&'static str> {
    let known = |wanted: &str| {
        key(wanted)
            .map(|key| key.path)
            .or_else(|| section(wanted).map(|section| section.path))
    };
    let join = |name: &str| match pattern {
        "" => name.to_owned(),
        _ => format!("{pattern}.{name}"),
    };
    known(&join(name)).or_else(|| known(&join("*")))
}

impl Key {
    /// The section that it stands in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _name)| section)
    }

    /// Its name in that section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_section, name)| name)
    }
}

const fn key_row(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        default,
        doc,
    }
}

const fn section_row(path: &'static str, repeats: Repeats, doc: &'static str) -> Section {
    Section { path, repeats, doc }
}

mod table {
    use Kind::{Choice, Count, Flag, List, OneOrMore, Path, Quotas, Secret, Text, Url};

    use super::Repeats::{Always, Maybe, Never};
    use super::{Key, Kind, Section, key_row as k, section_row as s};

    const fn time(least: &'static str, most: &'static str) -> Kind {
        Kind::Duration { least, most }
    }

    const fn size(least: &'static str, most: &'static str) -> Kind {
        Kind::Size { least, most }
    }

    const fn count(least: u64, most: u64) -> Kind {
        Count { least, most }
    }

    const ENFORCE: Kind = Choice(&["", "enforce", "observe"]);
    const AS_ABOVE: &str = "enforce or observe, for this limit alone. Empty: as limits.mode.";

    /// The sections, in the order of the reference.
    #[rustfmt::skip]
    pub const SECTIONS: &[Section] = &[
        s("listen", Maybe, "Where callers connect. Write [[listen]] to have several: say a socket for the pod and TLS for everyone else."),
        s("listen.tls", Never, "TLS on the TCP addresses of this listener. Unix sockets stay plain. Without files: plain HTTP."),
        s("admin", Never, "Probes, metrics and support."),
        s("frontegg", Never, "The vendor, and the environment's credential."),
        s("frontegg.client_ip", Never, "The vendor's setting \"Inject client IP\"."),
        s("routes", Never, "Which operations are let through; `mfa-gateway routes` shows the outcome."),
        s("routes.extra_fields", Never, "Body fields beyond those that the vendor documents."),
        s("headers", Never, "What else of a request goes on to the vendor."),
        s("subject", Never, "On behalf of which tenant and user."),
        s("subject.user_token", Never, "The user's JWT, for subject.from = \"user-token\"."),
        s("callers", Always, "Who may call: one [[callers]] each. Without any, whoever reaches a loopback or unix listener may, and other listeners are refused."),
        s("kubernetes", Never, "The cluster, for callers that are known by their service account."),
        s("limits", Never, "How many attempts are let through. A quota lets so many through at once and regains them evenly over its period."),
        s("limits.redis", Never, "The shared store."),
        s("limits.email", Never, "Recoveries by email."),
        s("limits.email_client", Never, "Recoveries by email and the user's address together, so that one address can't lock the owner out."),
        s("limits.client", Never, "Recoveries by the user's address (IPv6: by /64)."),
        s("limits.code", Never, "Guesses of a one-time code, by device, else user, else login."),
        s("limits.send", Never, "Codes that are sent and cost money, by device, user, phone number or login."),
        s("limits.upstream", Never, "The vendor's own limits on the address that this gateway calls from, one table for each operation."),
        s("limits.upstream.*", Never, "One operation."),
        s("audit", Never, "The record of every request."),
        s("audit.rotate", Never, "When an audit file makes room for the next."),
        s("telemetry", Never, "Logs and traces."),
        s("shutdown", Never, "How the gateway stops."),
    ];

    /// The keys, in the order of the reference.
    #[rustfmt::skip]
    pub const KEYS: &[Key] = &[
        k("listen.address", OneOrMore, r#"["127.0.0.1:8080", "[::1]:8080"]"#,
            "An IP address with a port, or unix:/path; one or a list. While it is the default, a machine without IPv6 goes without ::1."),
        k("listen.base_path", Text, r#""""#, "A prefix that is served too, such as /frontegg for the vendor's browser SDKs."),
        k("listen.allowed_hosts", List, "[]", "Names accepted in Host, whatever the port. Empty: loopback addresses take loopback names, all others any."),
        k("listen.allowed_origins", List, "[]", "Origins whose browser pages may call, such as https://app.example.com. Requests without an Origin always may."),
        k("listen.trusted_proxies", List, "[]", "Networks (CIDR), or \"unix\", whose X-Forwarded-For, Forwarded or PROXY header is trusted, from right to left. Empty: the user's address is unknown."),
        k("listen.proxy_protocol", Flag, "false", "Each connection from a trusted proxy starts with a PROXY protocol v2 header."),
        k("listen.max_connections", count(1, 1_000_000), "10_000", "Connections at once."),
        k("listen.max_in_flight", count(1, 1_000_000), "1_024", "Requests at once; one more is answered 503."),
        k("listen.max_body", size("256B", "16MiB"), r#""64KiB""#, "The largest request body."),
        k("listen.max_headers", count(16, 1_000), "100", "The most header fields of a request."),
        k("listen.header_timeout", time("10ms", "10m"), r#""10s""#, "The longest that a request's head may take to arrive."),
        k("listen.body_timeout", time("10ms", "10m"), r#""10s""#, "The longest that a request's body may take to arrive."),
        k("listen.idle_timeout", time("10ms", "1d"), r#""75s""#, "The longest that a connection may wait for its next request."),
        k("listen.unix_mode", Text, r#""0660""#, "Permission bits of unix sockets, octal."),
        k("listen.unix_group", Text, r#""""#, "The group that unix sockets belong to: its name in /etc/group, or its number. Empty: the gateway's own."),
        k("listen.tls.certificate_file", Path, r#""""#, "The certificate chain, PEM, the server's own first."),
        k("listen.tls.private_key_file", Path, r#""""#, "Its private key, PEM."),
        k("listen.tls.client_ca_file", Path, r#""""#, "Asks for client certificates and trusts those that a CA in this file signed, PEM. Needed where a caller is known by its certificate; read again when it changes."),

        k("admin.address", Text, r#""127.0.0.1:9090""#, "An IP address with a port; empty switches it off. In Kubernetes the pod's, so that the kubelet reaches the probes."),
        k("admin.key", Secret, r#""""#, "Opens the configuration and the limits to those who aren't on this machine, in the header x-mfa-gateway-key."),
        k("admin.key_file", Path, r#""""#, "The same in a file."),
        k("admin.quit", Flag, "false", "POST /quitquitquit stops the gateway, for Jobs with a sidecar."),

        k("frontegg.region", Choice(&["eu", "us", "ca", "au"]), r#""eu""#, "Where the environment lives."),
        k("frontegg.domain", Text, r#""""#, "A custom domain for identity calls: acme for acme.frontegg.com, or a whole host name. Authentication stays at the region's host."),
        k("frontegg.client_id", Secret, r#""""#, "The environment's client ID. Needed, here or in FRONTEGG_CLIENT_ID."),
        k("frontegg.client_id_file", Path, r#""""#, "The same in a file."),
        k("frontegg.api_key", Secret, r#""""#, "The environment's API key. Needed, here or in FRONTEGG_API_KEY; best given as a file."),
        k("frontegg.api_key_file", Path, r#""""#, "The same in a file, which is read again when it changes."),
        k("frontegg.environment_id", Text, r#""""#, "Says which environment is meant when the credential reaches several; sent as frontegg-environment-id."),
        k("frontegg.application_id", Text, r#""""#, "Sent as frontegg-application-id."),
        k("frontegg.vendor_host", Text, r#""""#, "Sent as frontegg-vendor-host."),
        k("frontegg.ca_file", Path, r#""""#, "Believe the certificates in this PEM file instead of the system's. Read again when it changes."),
        k("frontegg.identity_url", Url, r#""""#, "Another origin for identity calls, such as https://identity.internal, without a path. For private deployments."),
        k("frontegg.auth_url", Url, r#""""#, "Another URL to exchange the credential at, with its path."),
        k("frontegg.connect_timeout", time("10ms", "1m"), r#""2s""#, "The longest that connecting may take, name and TLS included."),
        k("frontegg.request_timeout", time("10ms", "5m"), r#""15s""#, "The longest that a whole exchange may take."),
        k("frontegg.http2", Flag, "false", "Offer HTTP/2. Fewer connections on long ways, more work on short ones."),
        k("frontegg.proxy", Url, r#""""#, "The proxy on the way out, such as http://proxy:3128. Empty: HTTPS_PROXY and NO_PROXY decide."),
        k("frontegg.client_ip.shared_secret", Secret, r#""""#, "The application's shared secret. Empty: the user's address isn't sent."),
        k("frontegg.client_ip.shared_secret_file", Path, r#""""#, "The same in a file."),

        k("routes.allow", List, r#"["authentication", "self-service"]"#, "Categories (authentication, self-service, enrolment, management) or operation names, in which * stands for any text. Enrolment and management are never let through by a *."),
        k("routes.deny", List, r#"["user.disable"]"#, "The same, and stronger than allow. The vendor has deprecated user.disable."),
        k("routes.extra_fields.recover", List, "[]", "Further body fields that recover may carry."),

        k("headers.forward", List, "[]", "Further request headers that go on, such as frontegg-requested-application-id."),
        k("headers.cookies", List, r#"["fe_*"]"#, "Cookies that go on; * stands for any text. The app's own session is none of the vendor's business."),

        k("subject.from", Choice(&["headers", "user-token", "fixed"]), r#""headers""#, "Who says for whom a request is: the caller in headers, the user's verified token, or this configuration."),
        k("subject.tenant_header", Text, r#""frontegg-tenant-id""#, "The header that names the tenant."),
        k("subject.user_header", Text, r#""frontegg-user-id""#, "The header that names the user."),
        k("subject.tenant", Text, r#""""#, "The tenant, with \"fixed\", whatever a request says. With the others a guard: requests for another tenant are refused, and those that name none are for this one. Operations for the whole environment have no tenant and pass it: leave them out of `routes.allow`."),
        k("subject.user", Text, r#""""#, "The user, with \"fixed\", whatever a request says."),
        k("subject.user_token.issuer", Text, r#""""#, "Who issues the tokens: the vendor's host for this environment."),
        k("subject.user_token.audience", Text, r#""""#, "For whom they are: the environment's client ID."),
        k("subject.user_token.jwks_url", Url, r#""""#, "The keys that sign them. Empty: /.well-known/jwks.json of the issuer."),
        k("subject.user_token.jwks_file", Path, r#""""#, "The same keys in a file."),
        k("subject.user_token.algorithms", List, r#"["RS256"]"#, "Accepted signatures; HS256 never is."),
        k("subject.user_token.credential", Choice(&["environment", "user"]), r#""environment""#, "Act with the environment's credential, or pass the user's own token on."),
        k("subject.user_token.require_mfa_within", Text, r#""""#, "Removing a factor asks for a second factor shown this recently, such as 10m."),
        k("subject.user_token.require_mfa_for_enrolment", Flag, "false", "Adding one asks for it too."),

        k("callers.name", Text, r#""""#, "How the audit log calls them. Needed."),
        k("callers.token", Secret, r#""""#, "The secret that they send in the header x-mfa-gateway-key. Two, one a line, while one takes the other's place."),
        k("callers.token_file", Path, r#""""#, "The same in a file, which is read again when it changes."),
        k("callers.spiffe_id", Text, r#""""#, "Known by the SPIFFE ID of their client certificate, such as spiffe://example.org/ns/shop/sa/login: the whole of it."),
        k("callers.certificate_dns", Text, r#""""#, "Known by a DNS name of their client certificate: the whole of it, no wildcard."),
        k("callers.service_account", Text, r#""""#, "Known by a Kubernetes token of this namespace/name."),
        k("callers.uid", count(0, 4_294_967_295), "", "Known by the user id at the other end of a unix socket."),
        k("callers.operations", List, r#"["*"]"#, "What they may do of what routes lets through: categories or operation names, * for any text."),
        k("callers.tenants", List, r#"["*"]"#, "For which tenants; \"*\" alone: for all."),

        k("kubernetes.issuer", Text, r#""""#, "The issuer of service account tokens. Empty: the cluster is asked."),
        k("kubernetes.audience", Text, r#""mfa-gateway""#, "The audience that the tokens must be for."),
        k("kubernetes.jwks_url", Url, r#""""#, "The keys that sign them. Empty: the cluster is asked."),
        k("kubernetes.jwks_file", Path, r#""""#, "The same keys in a file."),
        k("kubernetes.ca_file", Path, r#""/var/run/secrets/kubernetes.io/serviceaccount/ca.crt""#, "The cluster's CA. Read again when it changes."),
        k("kubernetes.token_file", Path, r#""/var/run/secrets/kubernetes.io/serviceaccount/token""#, "The gateway's own token, to ask the cluster with."),

        k("limits.store", Choice(&["memory", "redis"]), r#""memory""#, "Where attempts are counted: in each replica, or in one store for all."),
        k("limits.on_store_failure", Choice(&["local", "deny", "allow"]), r#""local""#, "While the shared store is away: count in each replica, refuse, or let through."),
        k("limits.mode", Choice(&["enforce", "observe"]), r#""enforce""#, "Refuse, or only count and record what would be refused."),
        k("limits.max_keys", count(1_000, 100_000_000), "1_000_000", "Entries that the memory store keeps. Beyond them none is forgotten early: newcomers share buckets."),
        k("limits.key", Secret, r#""""#, "Keys the hashes under which emails are counted. Empty: made at start, which is too little for a shared store."),
        k("limits.key_file", Path, r#""""#, "The same in a file."),
        k("limits.redis.url", OneOrMore, r#""redis://127.0.0.1:6379""#, "Redis or Valkey; rediss:// for TLS, several for a cluster."),
        k("limits.redis.sentinel", Text, r#""""#, "The master's name, where the URLs are those of sentinels."),
        k("limits.redis.username", Text, r#""""#, "Its user."),
        k("limits.redis.password", Secret, r#""""#, "Its password."),
        k("limits.redis.password_file", Path, r#""""#, "The same in a file."),
        k("limits.redis.ca_file", Path, r#""""#, "Believe the certificates in this PEM file instead of the system's; read again for each connection."),
        k("limits.redis.prefix", Text, r#""mfa-gateway""#, "What its keys start with."),
        k("limits.redis.timeout", time("1ms", "10s"), r#""50ms""#, "The longest that it may take to answer."),
        k("limits.email.quotas", Quotas, r#"[{ attempts = 5, per = "15m" }, { attempts = 20, per = "1d" }]"#, "All of them hold. Empty: no limit."),
        k("limits.email.mode", ENFORCE, r#""""#, AS_ABOVE),
        k("limits.email.fold_subaddress", Flag, "false", "user+tag@example.com counts as user@example.com."),
        k("limits.email_client.quotas", Quotas, r#"[{ attempts = 3, per = "15m" }, { attempts = 6, per = "1d" }]"#, "All of them hold. Empty: no limit."),
        k("limits.email_client.mode", ENFORCE, r#""""#, AS_ABOVE),
        k("limits.client.quotas", Quotas, r#"[{ attempts = 30, per = "15m" }]"#, "All of them hold. Empty: no limit."),
        k("limits.client.mode", ENFORCE, r#""""#, AS_ABOVE),
        k("limits.code.quotas", Quotas, r#"[{ attempts = 10, per = "15m" }]"#, "All of them hold. Empty: no limit."),
        k("limits.code.mode", ENFORCE, r#""""#, AS_ABOVE),
        k("limits.send.quotas", Quotas, r#"[{ attempts = 3, per = "10m" }, { attempts = 10, per = "1d" }]"#, "All of them hold. Empty: no limit."),
        k("limits.send.mode", ENFORCE, r#""""#, AS_ABOVE),
        k("limits.upstream.*.attempts", count(1, 1_000_000), "10", "Attempts at once."),
        k("limits.upstream.*.per", time("1s", "366d"), r#""1m""#, "The time in which they are regained."),
        k("limits.upstream.*.mode", ENFORCE, r#""""#, AS_ABOVE),

        k("audit.output", OneOrMore, r#""stdout""#, "stdout, stderr, otlp or a file's absolute path; one or a list. A record is accepted when one of them has it."),
        k("audit.durability", Choice(&["written", "synced"]), r#""written""#, "A record counts once the kernel has it, or (files only) once the disk has it."),
        k("audit.timeout", time("10ms", "1m"), r#""2s""#, "An output that takes longer has not accepted."),
        k("audit.on_failure", Choice(&["deny", "continue"]), r#""deny""#, "When no output accepts: refuse requests, or let them through without a record."),
        k("audit.email", Choice(&["hash", "mask", "plain"]), r#""hash""#, "How emails appear."),
        k("audit.key", Secret, r#""""#, "Keys the hashes of emails and the chain. Needed. Make one with: openssl rand -base64 32"),
        k("audit.key_file", Path, r#""""#, "The same in a file."),
        k("audit.previous_key_files", List, "[]", "Earlier keys, to search and verify what was written under them."),
        k("audit.chain", Flag, "true", "Chain the records, so that a changed or missing one shows."),
        k("audit.rotate.size", size("64KiB", "1024GiB"), r#""100MiB""#, "A file that would grow past this is put aside."),
        k("audit.rotate.age", time("0s", "366d"), r#""0s""#, "A file whose first record is older than this is put aside too, such as 1d. 0s: never."),
        k("audit.rotate.compress", Flag, "false", "Compress the files that were put aside, with gzip."),
        k("audit.rotate.keep", count(0, 100_000), "0", "How many of those stay. 0: all."),
        k("audit.collapse", count(0, 1_000_000), "100", "Equal refusals a second beyond which they share a record. 0: never."),

        k("telemetry.log_format", Choice(&["auto", "text", "json"]), r#""auto""#, "auto: text on a terminal, JSON elsewhere."),
        k("telemetry.log", Text, r#""info""#, "Levels, for all modules or for some, such as info or warn,mfa_gateway=debug. The variable RUST_LOG is stronger."),
        k("telemetry.otlp_endpoint", Url, r#""""#, "Where traces go by OTLP over HTTP, and audit records beside audit.output, such as http://collector:4318. Empty: nowhere."),

        k("shutdown.delay", time("0s", "10m"), r#""0s""#, "Goes on serving for this long, not ready, before it stops taking connections."),
        k("shutdown.timeout", time("0s", "1d"), r#""25s""#, "Then requests in flight have this long to end."),
    ];
}

pub use table::{KEYS, SECTIONS};

//! How a rig is to be.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt};

use mfa_gateway::sandbox::{
    certs::{Authority, LOOPBACK},
    vendor::{Vendor, VendorOptions},
    world::seed,
};
use tempfile::TempDir;

use super::{AuditFile, Client, Program, Rig};

/// The options of a rig; each `set` is a line of its TOML.
pub(crate) struct Builder {
    keys: Vec<(String, String)>,
    tables: String,
    environment: Vec<(String, String)>,
    vendor: VendorOptions,
    listeners: usize,
    tls: bool,
    authority: Option<Authority>,
    forwarded: Vec<String>,
    folder: TempDir,
}

impl Builder {
    /// The product's defaults, but: ports of the system's choice, the stand-in as vendor (its
    /// own limits off), audit records in a file, logs in JSON.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vendor = VendorOptions {
            rate_limits: false,
            ..VendorOptions::default()
        };
        let builder = Self {
            keys: Vec::new(),
            tables: String::new(),
            environment: Vec::new(),
            vendor,
            listeners: 1,
            tls: false,
            authority: None,
            forwarded: Vec::new(),
            folder,
        };
        let key = builder.file("api-key", &format!("{}\n", seed::SECRET));
        let ca = builder.folder.path().join("vendor-ca.pem");
        let audit = builder.folder.path().join("audit.log");
        builder
            .set("listen.address", "'127.0.0.1:0'")
            .set("admin.address", "'127.0.0.1:0'")
            .set("frontegg.client_id", &format!("'{}'", seed::CLIENT_ID))
            .set("frontegg.api_key_file", &format!("'{key}'"))
            .set("frontegg.ca_file", &format!("'{}'", ca.display()))
            .set("audit.output", &format!("'{}'", audit.display()))
            .set("audit.key", "'an audit key for tests, 32 bytes long'")
            .set("telemetry.log_format", "'json'")
    }

    /// Sets a key to a value, as written in TOML; `{vendor}` in it is the vendor's origin.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.keys.retain(|(known, _)| known != key);
        self.keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Appends tables, such as `[[callers]]`.
    pub(crate) fn tables(mut self, toml: &str) -> Self {
        self.tables += toml;
        self
    }

    /// Lets every operation through.
    pub(crate) fn all_routes(self) -> Self {
        self.set(
            "routes.allow",
            "['authentication', 'self-service', 'enrolment', 'management']",
        )
        .set("routes.deny", "[]")
    }

    /// Sets a quota of a limit: so many attempts an hour.
    pub(crate) fn quota(self, limit: &str, attempts: u32) -> Self {
        self.set(
            &format!("limits.{limit}.quotas"),
            &format!("[{{ attempts = {attempts}, per = '1h' }}]"),
        )
    }

    /// Lets further request headers through, by `headers.forward`.
    pub(crate) fn forward(mut self, names: &[&str]) -> Self {
        self.forwarded = names.iter().map(|&name| name.to_owned()).collect();
        self.set("headers.forward", &format!("{names:?}"))
    }

    /// Listens on these addresses instead of one TCP port.
    pub(crate) fn listen(mut self, addresses: &[&str]) -> Self {
        self.listeners = addresses.len();
        self.set("listen.address", &format!("{addresses:?}"))
    }

    /// Has the `[[listen]]` of this TOML, with so many addresses in all.
    pub(crate) fn listeners(mut self, addresses: usize, toml: &str) -> Self {
        self.keys.retain(|(key, _)| !key.starts_with("listen."));
        self.listeners = addresses;
        self.tables(toml)
    }

    /// Listens with TLS.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Tells the vendor the user's address, as the stand-in believes it.
    pub(crate) fn tell_addresses(mut self) -> Self {
        let names = [
            "x-frontegg-forwarded-for",
            "x-frontegg-headers-verifier",
            "frontegg-vendor-id",
        ];
        self.forwarded.extend(names.map(str::to_owned));
        self.set(
            "frontegg.client_ip.shared_secret",
            &format!("'{}'", seed::CLIENT_IP_SECRET),
        )
    }

    /// Listens with TLS, by files that are set otherwise and that this authority signed.
    pub(crate) fn tls_of(mut self, authority: Authority) -> Self {
        self.authority = Some(authority);
        self.tls()
    }

    /// A variable of the gateway's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes how the vendor is.
    pub(crate) fn vendor(mut self, change: impl FnOnce(&mut VendorOptions)) -> Self {
        change(&mut self.vendor);
        self
    }

    /// The rig's folder.
    pub(crate) fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Writes a file into the rig's folder and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts both, and waits until the gateway listens. The vendor may be told to misbehave
    /// by `prepare`, before the gateway knows of it.
    pub(crate) async fn start_before(self, prepare: impl FnOnce(&Vendor)) -> Rig {
        let mut builder = self;
        let vendor = Vendor::start(std::mem::take(&mut builder.vendor)).await;
        let vendor = vendor.unwrap();
        prepare(&vendor);
        builder.file("vendor-ca.pem", vendor.authority().pem());
        let identity = format!("'{}'", vendor.origin());
        let auth = format!("'{}'", vendor.auth_url());
        if !builder
            .keys
            .iter()
            .any(|(key, _)| key == "frontegg.identity_url")
        {
            builder = builder.set("frontegg.identity_url", &identity);
        }
        if !builder
            .keys
            .iter()
            .any(|(key, _)| key == "frontegg.auth_url")
        {
            builder = builder.set("frontegg.auth_url", &auth);
        }
        builder.name_vendor(&vendor.origin());
        let given = builder.authority.take();
        let is_given = given.is_some();
        let authority = given.unwrap_or_else(|| Authority::new("rig").unwrap());
        if builder.tls && !is_given {
            builder = builder.with_certificate(&authority);
        }
        let gateway = builder.run();
        let admin = gateway.logged("admin listening", 1).await;
        let listening = gateway.logged("listening", builder.listeners).await;
        let addresses: Vec<_> = listening
            .iter()
            .map(|line| line["address"].as_str().unwrap().to_owned())
            .collect();
        let client = match addresses[0].strip_prefix("unix:") {
            Some(path) => Client::Unix(path.into()),
            None if builder.tls => Client::Tls(address(&addresses[0]), authority.der().clone()),
            None => Client::Tcp(address(&addresses[0])),
        };
        let audit = builder.folder.path().join("audit.log");
        let output = format!("'{}'", audit.display());
        Rig {
            gateway,
            vendor,
            audited: builder.keys.contains(&("audit.output".to_owned(), output)),
            audit: AuditFile::new(audit),
            client,
            addresses,
            admin: address(admin[0]["address"].as_str().unwrap()),
            forwarded: builder.forwarded,
            passes_tokens: builder
                .keys
                .iter()
                .any(|(key, value)| key == "subject.user_token.credential" && value == "'user'"),
            folder: builder.folder,
        }
    }

    /// Starts both, and waits until the gateway listens.
    pub(crate) async fn start(self) -> Rig {
        self.start_before(|_vendor| ()).await
    }

    fn name_vendor(&mut self, origin: &str) {
        for (_key, value) in &mut self.keys {
            *value = value.replace("{vendor}", origin);
        }
    }

    fn with_certificate(self, authority: &Authority) -> Self {
        let identity = authority.issue(LOOPBACK).unwrap();
        let certificate = self.file("certificate.pem", &identity.certificate_pem);
        let key = self.file("certificate-key.pem", &identity.key_pem);
        self.set("listen.tls.certificate_file", &format!("'{certificate}'"))
            .set("listen.tls.private_key_file", &format!("'{key}'"))
    }

    fn run(&self) -> Program {
        let lines = self
            .keys
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        let toml = lines.collect::<String>() + &self.tables;
        let configuration = self.file("gateway.toml", &toml);
        Program::start(["run", "-c", &configuration], &self.environment)
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

//! What it costs to know who calls and for whom: the gateway's processor time for a request with
//! client certificates and with users' tokens, against one without either.
//!
//! All gateways run at once, each with the stand-in vendor behind it, and take turns: only the
//! ratios mean something. Processor time, not throughput, is compared, so that neither the load
//! nor the vendor, which share the machine, are measured.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may fail, and says so by panicking"
)]

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use mfa_gateway::sandbox::{
    certs::{Authority, LOOPBACK},
    vendor::{Vendor, VendorOptions},
    world::seed::{ADA, CLIENT_ID, SECRET},
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{net::TcpStream, runtime, task::JoinSet};
use tokio_rustls::TlsConnector;

const DEVICES: &str = "/identity/resources/users/v1/mfa/devices";
const CALLER: &str = "spiffe://example.org/bench";
/// Connections of each gateway.
const CONNECTIONS: usize = 8;
/// How long a turn is, and how many each has.
const TURN: Duration = Duration::from_secs(2);
const TURNS: usize = 5;
/// Tokens that come again and again; the gateway remembers more than these.
const FEW: usize = 500;
/// So many that each is forgotten before it comes again.
const MANY: usize = 9_000;

/// One of the gateways that are compared.
struct Contender {
    name: &'static str,
    gateway: Child,
    senders: Vec<SendRequest<Empty<Bytes>>>,
    /// Shown one after the other; none where the headers say for whom a request is.
    tokens: Arc<Vec<String>>,
    requests: u64,
    spent: Duration,
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.gateway.kill().unwrap_or_default();
        self.gateway.wait().map(drop).unwrap_or_default();
    }
}

fn main() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(compare());
}

async fn compare() {
    let folder = tempfile::tempdir().unwrap();
    let options = VendorOptions {
        rate_limits: false,
        ..VendorOptions::default()
    };
    let vendor = Vendor::start(options).await.unwrap();
    fs::write(folder.path().join("ca.pem"), vendor.authority().pem()).unwrap();
    let mut contenders = contenders(&vendor, folder.path()).await;
    for turn in 0..=TURNS {
        for contender in &mut contenders {
            let (requests, spent) = take_turn(contender).await;
            // the first warms up
            if turn > 0 {
                contender.requests += requests;
                contender.spent += spent;
            }
            vendor.forget();
        }
    }
    report(&contenders);
}

async fn contenders(vendor: &Vendor, folder: &Path) -> Vec<Contender> {
    let authority = Authority::new("bench").unwrap();
    let many = Arc::new(tokens(vendor));
    let few = Arc::new(many[..FEW].to_vec());
    let none = Arc::default();
    let by_token = format!(
        "[subject]\nfrom = 'user-token'\n[subject.user_token]\nissuer = '{}'\naudience = '{CLIENT_ID}'\n",
        vendor.origin(),
    );
    let mut contenders = Vec::new();
    for (name, more, tokens, has_tls) in [
        ("neither", "", &none, false),
        ("client certificates", "", &none, true),
        ("users' tokens", &*by_token, &few, false),
        ("both", &by_token, &few, true),
        ("users' new tokens", &by_token, &many, false),
    ] {
        let place = folder.join(name.replace([' ', '\''], "-"));
        fs::create_dir(&place).unwrap();
        let address = free_address();
        let tls = if has_tls {
            identify(&place, &authority)
        } else {
            String::new()
        };
        let toml = configuration(vendor, folder, &place, address) + &tls + more;
        let trusted = has_tls.then_some(&authority);
        let (gateway, senders) = start_and_connect(&place, &toml, address, trusted).await;
        contenders.push(Contender {
            name,
            gateway,
            senders,
            tokens: Arc::clone(tokens),
            requests: 0,
            spent: Duration::ZERO,
        });
    }
    contenders
}

/// Of one user's sessions.
fn tokens(vendor: &Vendor) -> Vec<String> {
    let user = vendor.user(ADA.id).unwrap();
    let mut claims = vendor.claims(&user, ADA.tenant);
    let mint = |session: usize| {
        claims.sid = session.to_string();
        vendor.mint(&claims).unwrap()
    };
    (0..MANY).map(mint).collect()
}

fn report(contenders: &[Contender]) {
    let each =
        |contender: &Contender| contender.spent.as_secs_f64() * 1e6 / contender.requests as f64;
    let plain = each(&contenders[0]);
    for contender in contenders {
        let each = each(contender);
        println!(
            "{:20} {each:6.1} µs of processor time a request; {:.2} of the requests of {}",
            contender.name,
            plain / each,
            contenders[0].name,
        );
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn configuration(vendor: &Vendor, ca: &Path, place: &Path, address: SocketAddr) -> String {
    let (ca, place) = (ca.join("ca.pem"), place.join("audit.log"));
    let (origin, auth) = (vendor.origin(), vendor.auth_url());
    format!(
        "[admin]\naddress = ''\n\
         [frontegg]\nidentity_url = '{origin}'\nauth_url = '{auth}'\nca_file = '{}'\n\
         client_id = '{CLIENT_ID}'\napi_key = '{SECRET}'\n\
         [audit]\noutput = '{}'\nkey = 'an audit key for benchmarks, 32 bytes'\n\
         [listen]\naddress = '{address}'\n",
        ca.display(),
        place.display(),
    )
}

/// Has callers known by certificate.
fn identify(place: &Path, authority: &Authority) -> String {
    let identity = authority.issue(LOOPBACK).unwrap();
    let write = |name: &str, text: &str| {
        let path = place.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    format!(
        "[listen.tls]\ncertificate_file = '{}'\nprivate_key_file = '{}'\nclient_ca_file = '{}'\n\
         [[callers]]\nname = 'bench'\nspiffe_id = '{CALLER}'\n",
        write("tls.crt", &identity.certificate_pem),
        write("tls.key", &identity.key_pem),
        write("clients.pem", authority.pem()),
    )
}

async fn start_and_connect(
    place: &Path,
    toml: &str,
    address: SocketAddr,
    authority: Option<&Authority>,
) -> (Child, Vec<SendRequest<Empty<Bytes>>>) {
    let file = place.join("gateway.toml");
    fs::write(&file, toml).unwrap();
    let binary = env::var("MFA_GATEWAY_BIN");
    let binary = binary.unwrap_or_else(|_unset| env!("CARGO_BIN_EXE_mfa-gateway").to_owned());
    let gateway = Command::new(binary)
        .args(["run".as_ref(), "-c".as_ref(), file.as_os_str()])
        .stdin(Stdio::null())
        .stderr(fs::File::create(place.join("log")).unwrap())
        .spawn()
        .unwrap();
    let tls = authority.map(|authority| TlsConnector::from(Arc::new(client(authority))));
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = connect(address).await;
        senders.push(match &tls {
            Some(tls) => {
                let name = ServerName::from(address.ip());
                open(tls.connect(name, stream).await.unwrap()).await
            }
            None => open(stream).await,
        });
    }
    (gateway, senders)
}

fn client(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let identity = authority.issue_client(&[CALLER], &[], None).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![identity.certificate], identity.key)
        .unwrap()
}

/// Tries until it listens.
async fn connect(address: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "it doesn't listen: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open<S>(stream: S) -> SendRequest<Empty<Bytes>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// How many requests were answered, and what time the gateway spent on them.
async fn take_turn(contender: &mut Contender) -> (u64, Duration) {
    let before = processor_time(&contender.gateway);
    let end = Instant::now() + TURN;
    let mut clients = JoinSet::new();
    for (number, sender) in contender.senders.drain(..).enumerate() {
        let tokens = Arc::clone(&contender.tokens);
        let first = number * tokens.len() / CONNECTIONS;
        clients.spawn(ask_until(end, sender, tokens, first));
    }
    let mut requests = 0;
    while let Some(client) = clients.join_next().await {
        let (sender, answered) = client.unwrap();
        contender.senders.push(sender);
        requests += answered;
    }
    (requests, processor_time(&contender.gateway) - before)
}

async fn ask_until(
    end: Instant,
    mut sender: SendRequest<Empty<Bytes>>,
    tokens: Arc<Vec<String>>,
    first: usize,
) -> (SendRequest<Empty<Bytes>>, u64) {
    let mut answered = 0;
    for number in first.. {
        let mut request = Request::get(DEVICES).header("host", "localhost");
        request = if tokens.is_empty() {
            request
                .header("frontegg-user-id", ADA.id)
                .header("frontegg-tenant-id", ADA.tenant)
        } else {
            let token = &tokens[number % tokens.len()];
            request.header("authorization", format!("Bearer {token}"))
        };
        let request = request.body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        sender.ready().await.unwrap();
        answered += 1;
        if Instant::now() >= end {
            break;
        }
    }
    (sender, answered)
}

/// What it has spent so far, in user and system mode.
fn processor_time(process: &Child) -> Duration {
    /// `CLK_TCK` of every Linux there is.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_command, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: u32 = ticks.map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

//! A budget of heap allocations a request. Counted, never timed, so it holds on every machine.
//!
//! The whole gateway serves on the test's thread, where allocations are counted; the vendor and
//! the caller have threads of their own. What is counted is one request on a connection that has
//! seen some: sockets, HTTP, every check, limits, both audit records, and TLS to the vendor.
//!
//! Where a budget is exceeded, look for what allocates, and raise the budget if it is worth it.
//! Where many fewer are made, lower it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail, and says so by panicking"
)]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
};

use mfa_gateway::{
    app::{App, Signals, event_loop},
    config::{Sources, load},
    route::Operation,
    sandbox::{
        vendor::{Vendor, VendorOptions},
        world::seed::{ADA, CLIENT_ID, SECRET},
    },
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A wrong recovery code: a body, an email, limits. It was 27 when this was written.
const RECOVERY: u64 = 29;
/// No body, and a user whom the caller names. It was 20.
const DEVICES: u64 = 22;

/// Requests that are counted, and as many before them that are not.
const REQUESTS: u64 = 500;

#[test]
fn a_recovery_stays_within_its_budget() {
    let body = format!(
        r#"{{"email":"{}","recoveryCode":"a wrong one"}}"#,
        ADA.email
    );
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        Operation::Recover.facts().path,
        body.len()
    );
    assert_within(RECOVERY, request);
}

#[test]
fn a_look_at_the_users_devices_stays_within_its_budget() {
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\nfrontegg-tenant-id: {}\r\n\
         frontegg-user-id: {}\r\n\r\n",
        Operation::UserDevices.facts().path,
        ADA.tenant,
        ADA.id
    );
    assert_within(DEVICES, request);
}

#[track_caller]
fn assert_within(budget: u64, request: String) {
    let spent = allocations(request);
    assert!(
        spent <= budget,
        "{spent} allocations a request; the budget is {budget}"
    );
}

/// How many allocations such a request costs, on the average.
fn allocations(request: String) -> u64 {
    let vendor = Elsewhere::vendor();
    let folder = tempfile::tempdir().unwrap();
    let runtime = event_loop().unwrap();
    let app = runtime.block_on(app(&vendor.value, &folder));
    let address = app.addresses()[0].parse().unwrap();
    let signals = runtime.block_on(async { Signals::listen() }).unwrap();
    let quit = signals.quit();
    let serving = runtime.spawn(app.run(signals));

    let caller = Caller::start(address, request);
    runtime.block_on(caller.send(REQUESTS));
    let answered = caller.send(REQUESTS);
    let counted = allocation_counter::measure(|| runtime.block_on(answered));

    quit.send_replace(true);
    runtime.block_on(async { serving.await.unwrap().close().await });
    // what happens beside requests, and when tables grow, is less than one a request
    counted.count_total / REQUESTS
}

/// The gateway, with every quota out of reach.
async fn app(vendor: &VendorAddress, folder: &TempDir) -> App {
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("ca.pem"), &vendor.ca).unwrap();
    let toml = format!(
        r#"
listen.address = "127.0.0.1:0"
admin.address = ""
frontegg.identity_url = "{origin}"
frontegg.auth_url = "{auth_url}"
frontegg.ca_file = "{ca}"
frontegg.client_id = "{CLIENT_ID}"
frontegg.api_key = "{SECRET}"
limits.email.quotas = [{{ attempts = 100_000, per = "15m" }}, {{ attempts = 100_000, per = "1d" }}]
limits.upstream.recover = {{ attempts = 100_000, per = "1m" }}
audit.output = "{audit}"
audit.key = "an audit key for tests, 32 bytes long"
"#,
        origin = vendor.origin,
        auth_url = vendor.auth_url,
        ca = path("ca.pem"),
        audit = path("audit.log"),
    );
    let file = folder.path().join("gateway.toml");
    fs::write(&file, toml).unwrap();
    let sources = Sources {
        files: vec![file],
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    App::build(sources, loaded, None).await.unwrap()
}

/// What a gateway must know of the vendor.
struct VendorAddress {
    origin: String,
    auth_url: String,
    ca: String,
}

/// Something that lives on a thread of its own, for as long as this is kept.
struct Elsewhere<T> {
    value: T,
    _end: oneshot::Sender<()>,
}

impl Elsewhere<VendorAddress> {
    fn vendor() -> Self {
        let (tell, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            event_loop().unwrap().block_on(async move {
                let options = VendorOptions {
                    rate_limits: false,
                    ..VendorOptions::default()
                };
                let vendor = Vendor::start(options).await.unwrap();
                let address = VendorAddress {
                    origin: vendor.origin(),
                    auth_url: vendor.auth_url(),
                    ca: vendor.authority().pem().to_owned(),
                };
                tell.send(address).unwrap();
                ended.await.unwrap_or_default();
            });
        });
        Self {
            value: told.recv().unwrap(),
            _end: end,
        }
    }
}

/// A caller on a thread and a connection of its own.
struct Caller(mpsc::Sender<(u64, oneshot::Sender<()>)>);

impl Caller {
    fn start(address: SocketAddr, request: String) -> Self {
        let (orders, ordered) = mpsc::channel::<(u64, oneshot::Sender<()>)>();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            for (times, done) in ordered {
                for _ in 0..times {
                    stream.write_all(request.as_bytes()).unwrap();
                    read_answer(&mut stream);
                }
                done.send(()).unwrap();
            }
        });
        Self(orders)
    }

    /// Sends the request so many times, each after the answer to the last.
    fn send(&self, times: u64) -> impl Future<Output = ()> + use<> {
        let (done, all_done) = oneshot::channel();
        self.0.send((times, done)).unwrap();
        async { all_done.await.expect("each is answered") }
    }
}

/// Reads one answer of the vendor's, which the gateway has passed on.
fn read_answer(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..count]);
        let text = str::from_utf8(&answer).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(!head.contains("problem+json"), "{text}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("answers tell their length");
        if body.len() == length.parse::<usize>().unwrap() {
            return;
        }
    }
}

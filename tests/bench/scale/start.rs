//! From the start of the process to its first answer, and what it holds in memory then.
//!
//! The first answer needs a credential, for which the vendor is asked, and a TLS connection to
//! each of the vendor's hosts. What these exchanges take by themselves is measured with a client
//! in the gateway's place, and shown beside the whole.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use mfa_gateway::sandbox::world::seed::{CLIENT_ID, SECRET};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde_json::json;
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;

use crate::{
    Options,
    configuration::{Setup, recoveries},
    memory::Memory,
    report::Report,
    support::{
        figures::{greatest, least, median},
        load::{ask, connect, speak},
        process::{Gateway, first_core, launch},
        world::World,
    },
};

pub(crate) async fn measure(world: &World, options: &Options, report: &mut Report) {
    let (mut starts, mut exchanges, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}: start", options.rounds);
        exchanges.push(milliseconds(exchange(world).await));
        let (gateway, taken) = start(world).await;
        starts.push(milliseconds(taken));
        memories.push(Memory::at_rest(&gateway).await);
        gateway.end().await;
    }
    memories.sort_unstable_by_key(|memory| memory.all());
    let middle = memories[memories.len() / 2];
    report.add("resident memory, idle", middle.to_string(), "≤ 12 MiB");
    report.add("from start to first answer", shown(starts), "< 50 ms");
    report.add(
        "the vendor's part of it: a credential and an answer, with their handshakes, asked directly",
        shown(exchanges),
        "",
    );
}

/// Starts a gateway, and gives it with the time that it took until it had answered.
async fn start(world: &World) -> (Gateway, Duration) {
    let address = free_address();
    let setup = Setup {
        address,
        ..Setup::usual("start", world)
    };
    let configuration = setup.configuration(world);
    let (core, target) = (first_core(), recoveries(address, |number| number));
    let began = Instant::now();
    let (child, _address) = launch(core, "start", &configuration, &[]);
    let gateway = Gateway { child, address };
    let socket = loop {
        match TcpStream::connect(address).await {
            Ok(socket) => break socket,
            Err(_refused) => sleep(Duration::from_millis(1)).await,
        }
    };
    let mut sender = speak(socket).await;
    ask(&mut sender, (target.make)(0), target.status).await;
    (gateway, began.elapsed())
}

/// Free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// What the gateway asks of the vendor before it can answer for the first time.
async fn exchange(world: &World) -> Duration {
    let tls = tls(world);
    let body = json!({ "clientId": CLIENT_ID, "secret": SECRET }).to_string();
    let credential = Request::post("/auth/vendor/")
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .unwrap();
    let port = world.identity_url.rsplit(':').next().unwrap();
    let vendor = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let recovery = recoveries(vendor, |number| number);
    let began = Instant::now();
    let (mut sender, _) = connect(world.stand_in.address(), Some(&tls)).await;
    ask(&mut sender, credential, StatusCode::OK).await;
    let (mut sender, _) = connect(vendor, Some(&tls)).await;
    ask(&mut sender, (recovery.make)(0), recovery.status).await;
    began.elapsed()
}

fn tls(world: &World) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(world.stand_in.authority().der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn shown(times: Vec<f64>) -> String {
    let (least, greatest) = (least(&times), greatest(&times));
    format!("{:.1} ms ({least:.1}–{greatest:.1})", median(times))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

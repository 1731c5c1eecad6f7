//! What each step of a request takes by itself, without sockets: to see which one a change has
//! made slower. `costs` says what that means for a request as a whole.
//!
//! ```sh
//! cargo bench --bench steps
//! ```

#![expect(clippy::unwrap_used, reason = "a measurement that goes wrong ends")]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use divan::{Bencher, black_box, counter::ItemsCount};
use governor::clock::DefaultClock;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery,
};
use mfa_gateway::{
    audit::AuditLog,
    body::{self, Rules},
    config::{Loaded, Sources, load},
    event::{Event, LimitNote, Outcome, Peer, UpstreamNote},
    limit::{Attempt, ClientAddress, HashKey, Limiter},
    model::{CallerName, CanonicalEmail, Region, RequestId, Subaddress, TenantId, UserId},
    route::{Operation, RouteTable},
    upstream::{Blueprint, Credential, Outgoing},
};

const EMAIL: &str = "Ada.Lovelace+mfa@Acme.Example";

fn main() {
    divan::main();
}

/// The defaults, and what there is no default for.
fn configuration(more: &[String]) -> Loaded {
    let given = [
        "frontegg.client_id=client",
        "frontegg.api_key=key",
        "audit.key=an audit key for measurements",
    ];
    let sources = Sources {
        set: given
            .map(str::to_owned)
            .iter()
            .chain(more)
            .cloned()
            .collect(),
        ..Sources::default()
    };
    load(&sources).unwrap()
}

/// What an application's request carries.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::HOST, "localhost"),
        (header::CONTENT_TYPE, "application/json"),
        (header::ACCEPT, "application/json, text/plain, */*"),
        (header::USER_AGENT, "shop/1.2 (linux; x86_64)"),
        (
            header::COOKIE,
            "session=none-of-their-business; fe_device=1f0c9a",
        ),
        (HeaderName::from_static("x-forwarded-for"), "203.0.113.7"),
        (
            HeaderName::from_static("traceparent"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

#[divan::bench(args = [Operation::Recover.facts().path, "/identity/resources/users/v1/mfa/sms/device-1/disable/verify"])]
fn a_route_is_found(bencher: Bencher<'_, '_>, path: &str) {
    let table = RouteTable::new(Operation::ALL);
    let uri: Uri = path.parse().unwrap();
    bencher.bench(|| {
        table
            .find(black_box(&Method::POST), black_box(&uri), "")
            .is_ok()
    });
}

#[divan::bench]
fn a_recoverys_body_is_checked(bencher: Bencher<'_, '_>) {
    let (rules, headers) = (Rules::default(), headers());
    let body = format!(r#"{{"email":"{EMAIL}","recoveryCode":"5f3c-9a71-44de"}}"#);
    let body = Bytes::from(body);
    bencher
        .with_inputs(|| body.clone())
        .bench_values(|body| body::check(Operation::Recover.facts(), &rules, &headers, body));
}

#[divan::bench]
fn an_email_is_brought_into_its_one_form() -> CanonicalEmail {
    CanonicalEmail::parse(black_box(EMAIL), Subaddress::Keep).unwrap()
}

/// In memory; each attempt by another of 100,000 emails and 50,000 addresses.
#[divan::bench]
fn a_recovery_is_charged_to_all_limits(bencher: Bencher<'_, '_>) {
    let settings = configuration(&[]).settings;
    let keys = HashKey::random().unwrap();
    let limiter = Limiter::new(&settings.limits, keys, DefaultClock::default());
    let limiter = Arc::new(limiter.unwrap());
    let emails: Vec<_> = (0..100_000)
        .map(|n| CanonicalEmail::parse(&format!("user-{n}@acme.example"), Subaddress::Keep))
        .collect::<Result<_, _>>()
        .unwrap();
    let clients = (0..50_000).map(|n| IpAddr::from(Ipv4Addr::from_bits(0x0A00_0000 | n)));
    let clients: Vec<_> = clients.collect();
    let mut attempts = emails.iter().zip(&clients).cycle();
    bencher.bench_local(|| {
        let (email, client) = attempts.next().unwrap();
        let attempt = Attempt {
            operation: Operation::Recover,
            caller: None,
            email: Some(email),
            client: ClientAddress::Sent(*client),
            device: None,
            user: None,
            login_token: None,
            phone: None,
        };
        at_once(limiter.admit(&attempt)).is_ok()
    });
}

#[divan::bench]
fn what_leaves_is_built(bencher: Bencher<'_, '_>) {
    let settings = configuration(&[]).settings;
    let blueprint = Blueprint::new(&settings.frontegg, &settings.headers, None);
    let (headers, body) = (headers(), Bytes::from_static(b"{}"));
    let target = PathAndQuery::from_static("/identity/resources/users/v1/mfa");
    let credential = HeaderValue::from_static("Bearer of-the-environment");
    let (tenant, user) = (TenantId::parse("tenant-1"), UserId::parse("user-1"));
    let (tenant, user) = (tenant.unwrap(), user.unwrap());
    let request_id = RequestId::new();
    bencher.bench(|| {
        let outgoing = Outgoing {
            operation: Operation::UserDevices,
            path_and_query: black_box(&target),
            tenant: Some(&tenant),
            user: Some(&user),
            client: None,
            request_id,
            caller_headers: black_box(&headers),
            trace: None,
            body: &body,
        };
        blueprint.build(outgoing, Credential::User(&credential))
    });
}

/// Records that gather before they are written in one go.
const GATHERED: usize = 64;

/// From the request's event to the file that has it, by how many gather.
#[divan::bench(args = [true, false])]
fn records_are_written(bencher: Bencher<'_, '_>, chain: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let more = [
        format!("audit.output={}", file.display()),
        format!("audit.chain={chain}"),
    ];
    let settings = configuration(&more).settings;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let log = runtime.block_on(AuditLog::open(&settings.audit));
    let log = log.unwrap();
    let audit = runtime.block_on(async { log.worker() });
    let event = completed();
    bencher.counter(ItemsCount::new(GATHERED)).bench_local(|| {
        runtime.block_on(async {
            let accepted: Vec<_> = (0..GATHERED)
                .map(|_| audit.record(black_box(&event)))
                .collect();
            for accepted in accepted {
                accepted.await.unwrap();
            }
        });
    });
}

/// A recovery that the vendor refused.
fn completed() -> Event {
    Event {
        start: SystemTime::now(),
        request_id: RequestId::new(),
        caller_request_id: Some(HeaderValue::from_static("app-7f3a")),
        peer: Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000))),
        client: Some(IpAddr::from([203, 0, 113, 7])),
        operation: Some(Operation::Recover),
        region: Region::Eu,
        caller: Some(CallerName::new("support-console")),
        tenant: None,
        user: None,
        email: Some("hmac-sha256:8c1f1046219ddd216a023f792356ddf1".into()),
        login: None,
        device: None,
        limit: Some(LimitNote {
            name: "email_client",
            remaining: 2,
            would_refuse: false,
        }),
        upstream: Some(UpstreamNote {
            host: "api.frontegg.com".into(),
            status: Some(StatusCode::BAD_REQUEST),
            trace_id: Some(HeaderValue::from_static("4bf92f3577b34da6a3ce929d0e0e4736")),
            duration: Duration::from_millis(31),
        }),
        outcome: Outcome::Denied,
        reason: None,
        status: Some(StatusCode::BAD_REQUEST),
        duration: Duration::from_millis(32),
    }
}

/// What has nothing to wait for.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("in memory nothing waits"),
    }
}

//! From where the user comes: who is believed, and what for.

use std::{io, net::SocketAddr};

use http::Version;
use mfa_gateway::{route::Operation, sandbox::vendor::Received};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Builder, Call, Client, Connection, Record, Reply, Rig, recover, within};

const XFF: &str = "x-forwarded-for";

fn behind_proxies() -> Builder {
    Rig::builder()
        .set("listen.trusted_proxies", "['127.0.0.0/8', '10.0.0.0/8']")
        .set("limits.mode", "'observe'")
        .tell_addresses()
}

fn guess() -> Call {
    recover("someone@acme.example", "wrong")
}

/// The address that a record shows as the request's source.
fn source(record: &Record) -> &str {
    record.0["src_endpoint"]["ip"].as_str().unwrap_or_default()
}

/// The user's address and what makes it believed, as the vendor was told.
fn told(received: &Received) -> [Option<&str>; 3] {
    [
        "x-frontegg-forwarded-for",
        "x-frontegg-headers-verifier",
        "frontegg-vendor-id",
    ]
    .map(|name| received.header(name))
}

#[track_caller]
fn assert_from(rig: &Rig, reply: &Reply, address: &str) {
    assert_eq!(reply.code(), None, "{reply:?}");
    for record in rig.records(reply) {
        assert_eq!(source(&record), address);
    }
    let [received] = &rig.received(reply)[..] else {
        panic!("the vendor did not get it once");
    };
    let [client, verifier, vendor_id] = told(received);
    assert_eq!(client, Some(address));
    assert!(verifier.is_some() && vendor_id.is_some());
}

#[track_caller]
fn assert_unknown(rig: &Rig, reply: &Reply) {
    assert_eq!(reply.code(), None, "{reply:?}");
    for record in rig.records(reply) {
        assert_eq!(source(&record), "127.0.0.1", "the calling app's");
    }
    for received in rig.received(reply) {
        assert_eq!(told(&received), [None; 3]);
    }
}

#[tokio::test]
async fn without_trusted_proxies_nobody_says_from_where_the_user_comes() {
    let rig = Rig::builder().tell_addresses().start().await;
    for call in [
        guess(),
        guess().header(XFF, "203.0.113.9"),
        guess().header("forwarded", "for=203.0.113.9"),
        guess().header("x-real-ip", "203.0.113.9"),
        guess().header("x-frontegg-forwarded-for", "203.0.113.9"),
    ] {
        assert_unknown(&rig, &rig.call(call).await);
    }
}

#[tokio::test]
async fn the_first_hop_that_is_no_trusted_proxy_is_the_user() {
    let rig = behind_proxies().start().await;
    for (name, value, user) in [
        (XFF, "203.0.113.9", "203.0.113.9"),
        (XFF, "198.51.100.7, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (XFF, "<script>, 203.0.113.9:4711", "203.0.113.9"),
        (
            "forwarded",
            "for=198.51.100.7, for=\"[2001:db8::1]:80\";proto=https",
            "2001:db8::1",
        ),
        (
            "forwarded",
            "for=\"open, for=203.0.113.9;by=10.0.0.2",
            "203.0.113.9",
        ),
    ] {
        for call in [guess(), guess().http2()] {
            let reply = rig.call(call.header(name, value)).await;
            assert_from(&rig, &reply, user);
        }
    }
    let lines = guess().header(XFF, "198.51.100.7").also(XFF, "203.0.113.9");
    assert_from(
        &rig,
        &rig.call(lines.also(XFF, "10.0.0.2")).await,
        "203.0.113.9",
    );
}

#[tokio::test]
async fn garbage_and_hidden_names_are_nobodys_address() {
    let rig = behind_proxies().start().await;
    for (name, value) in [
        (XFF, "203.0.113.9, unknown"),
        (XFF, "203.0.113.9, garbage, 10.0.0.2"),
        (XFF, "10.0.0.2"),
        ("forwarded", "for=203.0.113.9, for=_hidden"),
        ("forwarded", "for=203.0.113.9, for=unknown"),
        ("forwarded", "for=203.0.113.9, proto=https"),
    ] {
        assert_unknown(&rig, &rig.call(guess().header(name, value)).await);
    }
}

#[tokio::test]
async fn two_headers_that_differ_are_refused() {
    let rig = behind_proxies().start().await;
    let both = |older, newer| guess().header(XFF, older).header("forwarded", newer);
    for newer in ["for=198.51.100.7", "for=unknown", "for=_x", "x"] {
        let reply = rig.call(both("203.0.113.9", newer)).await;
        reply.assert_refused(400, "header-not-allowed");
        assert!(rig.received(&reply).is_empty());
        assert_eq!(rig.records(&reply).len(), 1);
    }
    let agreed = rig.call(both("203.0.113.9", "for=203.0.113.9")).await;
    assert_from(&rig, &agreed, "203.0.113.9");
}

#[tokio::test]
async fn a_user_who_makes_addresses_up_stays_within_their_own_limit() {
    let rig = behind_proxies()
        .set("limits.mode", "'enforce'")
        .quota("client", 3)
        .start()
        .await;
    let from = |invented: usize, user: &str, email: &str| {
        recover(email, "wrong").header(XFF, &format!("192.0.2.{invented}, {user}"))
    };
    for attempt in 0..3 {
        let email = format!("user-{attempt}@acme.example");
        let reply = rig.call(from(attempt, "203.0.113.9", &email)).await;
        assert_eq!(reply.code(), None, "{reply:?}");
    }
    let fourth = rig
        .call(from(4, "203.0.113.9", "another@acme.example"))
        .await;
    fourth.assert_refused(429, "rate-limited");
    let other = rig
        .call(from(5, "203.0.113.10", "another@acme.example"))
        .await;
    assert_eq!(other.code(), None, "{other:?}");
}

#[tokio::test]
async fn the_vendors_own_limit_stops_the_address_that_it_counted() {
    let rig = behind_proxies()
        .set("limits.mode", "'enforce'")
        .set("limits.email.quotas", "[]")
        .set("limits.email_client.quotas", "[]")
        .vendor(|options| options.rate_limits = true)
        .start()
        .await;
    let from = |user: &str| guess().header(XFF, user);
    for _attempt in 0..10 {
        let reply = rig.call(from("203.0.113.9")).await;
        assert_ne!(reply.status, 429, "{reply:?}");
    }
    let theirs = rig.call(from("203.0.113.9")).await;
    theirs.assert_passed(429);
    let ours = rig.call(from("203.0.113.9")).await;
    ours.assert_refused(429, "rate-limited");
    assert!(rig.received(&ours).is_empty());
    // neither another user nor one of whom nothing is known
    assert_from(&rig, &rig.call(from("203.0.113.10")).await, "203.0.113.10");
    assert_unknown(&rig, &rig.call(guess()).await);
}

#[tokio::test]
async fn who_reaches_the_unix_socket_may_be_trusted_to_say_it() {
    let builder = behind_proxies().set("listen.trusted_proxies", "['unix']");
    let socket = format!("unix:{}/gateway.sock", builder.folder());
    let rig = builder.listen(&[&socket, "127.0.0.1:0"]).start().await;
    let call = guess().header(XFF, "203.0.113.9");
    assert_from(&rig, &rig.call(call.clone()).await, "203.0.113.9");
    let tcp = Client::Tcp(rig.addresses[1].parse().unwrap());
    let reply = tcp.send(call).await.unwrap();
    assert_unknown(&rig, &reply);
}

/// A PROXY protocol header that passes a connection from `origin` on.
fn passed_on(origin: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match origin {
        SocketAddr::V4(origin) => {
            header.extend([0x11, 0, 12]);
            header.extend(origin.ip().octets());
            header.extend([10, 0, 0, 1]);
        }
        SocketAddr::V6(origin) => {
            header.extend([0x21, 0, 36]);
            header.extend(origin.ip().octets());
            header.extend([0; 16]);
        }
    }
    header.extend(origin.port().to_be_bytes());
    header.extend([0, 80]);
    header
}

fn local() -> Vec<u8> {
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()
}

/// Sends a call behind these first bytes.
async fn behind(rig: &Rig, first: &[u8], call: Call) -> io::Result<Reply> {
    let Client::Tcp(address) = rig.client else {
        panic!("the rig has no plain port");
    };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(first).await?;
    let mut connection = Connection::open(stream, call.version, address.to_string()).await?;
    let reply = connection.send(call.clone()).await?;
    rig.check(&call, &reply);
    Ok(reply)
}

/// Whether a connection is closed without an answer after these bytes.
async fn is_closed(rig: &Rig, bytes: &[u8]) -> bool {
    let Client::Tcp(address) = rig.client else {
        panic!("the rig has no plain port");
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = within("the connection's end", stream.read_to_end(&mut answer)).await;
    // what was sent and never read makes it a reset
    read.is_err() || answer.is_empty()
}

#[tokio::test]
async fn a_trusted_proxy_passes_the_user_on_by_its_own_protocol() {
    let rig = behind_proxies()
        .set("listen.proxy_protocol", "true")
        .start()
        .await;
    for (origin, user) in [
        ("203.0.113.9:1", "203.0.113.9"),
        ("[2001:db8::1]:1", "2001:db8::1"),
    ] {
        let first = passed_on(origin.parse().unwrap());
        for version in [Version::HTTP_11, Version::HTTP_2] {
            // a header that the user sent along is theirs, and not believed
            let call = guess().header(XFF, "192.0.2.1").version(version);
            let reply = behind(&rig, &first, call).await.unwrap();
            assert_from(&rig, &reply, user);
        }
    }
    // the next hop is a trusted proxy as well, so its header is believed
    let first = passed_on("10.0.0.2:1".parse().unwrap());
    let call = guess().header(XFF, "192.0.2.1, 203.0.113.9");
    let reply = behind(&rig, &first, call).await.unwrap();
    assert_from(&rig, &reply, "203.0.113.9");
    let check = behind(&rig, &local(), guess()).await.unwrap();
    assert_unknown(&rig, &check);
}

#[tokio::test]
async fn without_its_header_a_connection_is_closed() {
    let rig = behind_proxies()
        .set("listen.proxy_protocol", "true")
        .set("listen.header_timeout", "'300ms'")
        .start()
        .await;
    let plain = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(is_closed(&rig, plain).await);
    assert!(is_closed(&rig, b"PROXY TCP4 203.0.113.9 10.0.0.1 1 2\r\n").await);
    let whole = passed_on("203.0.113.9:1".parse().unwrap());
    // one that does not come to its end is not waited for
    assert!(is_closed(&rig, &whole[..20]).await);
    assert!(is_closed(&rig, &[]).await);
    let reply = behind(&rig, &whole, guess()).await.unwrap();
    assert_from(&rig, &reply, "203.0.113.9");
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_connects_where_its_protocol_is_spoken() {
    let rig = behind_proxies()
        .set("listen.trusted_proxies", "['10.0.0.0/8']")
        .set("listen.proxy_protocol", "true")
        .start()
        .await;
    let spoof = passed_on("203.0.113.9:1".parse().unwrap());
    for first in [spoof, local()] {
        assert!(behind(&rig, &first, guess()).await.is_err());
    }
    assert_eq!(rig.vendor.count(Operation::Recover), 0);
}

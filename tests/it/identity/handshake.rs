//! What is negotiated before the first request.

use std::time::{Duration, SystemTime};

use http::Version;
use mfa_gateway::sandbox::certs::Authority;
use rustls::{
    HandshakeKind, NamedGroup, ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{Greeting, LOGIN, assert_called_by, guess, three_callers};
use crate::support::{Connection, eventually};

#[tokio::test]
async fn both_versions_of_tls_carry_both_of_http() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let login = authority.issue_client(&[LOGIN], &[], None).unwrap();
    for (tls, protocol) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let greeting = Greeting::in_version(&rig, Some(&login), &[tls]);
        for (http, alpn) in [
            (Version::HTTP_11, &b"http/1.1"[..]),
            (Version::HTTP_2, b"h2"),
        ] {
            let stream = greeting.connect(&rig, http).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(protocol));
            assert_eq!(session.alpn_protocol(), Some(alpn));
            let reply = greeting.call(&rig, guess().version(http)).await.unwrap();
            assert_called_by(&rig, &reply, "login");
        }
    }
}

#[tokio::test]
async fn keys_are_exchanged_so_that_no_quantum_computer_reads_them_later() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let greeting = Greeting::in_version(&rig, None, &[&TLS13]);
    let stream = greeting.connect(&rig, Version::HTTP_11).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_resumed_session_still_knows_the_caller() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let login = authority.issue_client(&[LOGIN], &[], None).unwrap();
    for tls in [&TLS12, &TLS13] {
        let greeting = Greeting::in_version(&rig, Some(&login), &[tls]);
        greeting.call(&rig, guess()).await.unwrap();
        let stream = greeting.connect(&rig, Version::HTTP_11).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed), "{tls:?}");
        let opened = Connection::open(stream, Version::HTTP_11, "localhost".into()).await;
        let reply = opened.unwrap().send(guess()).await.unwrap();
        assert_called_by(&rig, &reply, "login");
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_beyond_the_certificates_end() {
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority).start().await;
    let end = SystemTime::now() + Duration::from_secs(4);
    let login = authority.issue_client(&[LOGIN], &[], Some(end)).unwrap();
    let greeting = Greeting::in_version(&rig, Some(&login), &[&TLS13]);
    let reply = greeting.call(&rig, guess()).await.unwrap();
    assert_called_by(&rig, &reply, "login");
    let past = end + Duration::from_secs(1);
    eventually("the certificate's end", || {
        (SystemTime::now() > past).then_some(())
    })
    .await;
    assert!(greeting.call(&rig, guess()).await.is_err());
}

#[tokio::test]
async fn a_proxys_header_comes_before_tls() {
    const HEADER: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\0\x01\x01\xbb";
    let authority = Authority::new("clients").unwrap();
    let rig = three_callers(&authority)
        .set("listen.proxy_protocol", "true")
        .set("listen.trusted_proxies", "['127.0.0.1']")
        .start()
        .await;
    let login = authority.issue_client(&[LOGIN], &[], None).unwrap();
    let greeting = Greeting::new(&rig, Some(&login));
    let stream = greeting.connect_behind(&rig, Version::HTTP_2, HEADER).await;
    let opened = Connection::open(stream.unwrap(), Version::HTTP_2, "localhost".into()).await;
    let reply = opened.unwrap().send(guess().http2()).await.unwrap();
    assert_called_by(&rig, &reply, "login");
    for record in rig.records(&reply) {
        assert_eq!(record.0["src_endpoint"]["ip"], "203.0.113.9");
    }
    assert!(greeting.connect(&rig, Version::HTTP_2).await.is_err());
}

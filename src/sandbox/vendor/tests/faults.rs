//! Each misbehaviour, as a client sees it.

use std::{io, time::Duration};

use http::{StatusCode, Version};
use rustls::{CertificateError, Error};
use serde_json::json;

use super::client::{Call, Connection, operation, post, start, vendor_token};
use crate::{
    route::Operation,
    sandbox::vendor::{BadCertificate, Endpoint, Fault, GZIPPED, ODD_HEADERS},
};

fn strategies(token: &str) -> Call {
    operation(Operation::StrategiesGet, "", &json!({})).bearer(token)
}

#[tokio::test]
async fn each_bad_certificate_is_refused_for_what_is_wrong_with_it() {
    let vendor = start().await;
    for bad in [
        BadCertificate::Expired,
        BadCertificate::Foreign,
        BadCertificate::WrongHost,
    ] {
        vendor.misbehave(Fault::Certificate(bad).once());
        let error = post("/auth/vendor/", &json!({})).try_send(&vendor).await;
        let error = error.unwrap_err().into_inner().unwrap();
        let Error::InvalidCertificate(error) = *error.downcast::<Error>().unwrap() else {
            panic!("{bad:?}: not refused for its certificate");
        };
        let as_expected = match bad {
            BadCertificate::Expired => matches!(error, CertificateError::ExpiredContext { .. }),
            BadCertificate::Foreign => error == CertificateError::UnknownIssuer,
            BadCertificate::WrongHost => {
                matches!(error, CertificateError::NotValidForNameContext { .. })
            }
        };
        assert!(as_expected, "{bad:?}: {error:?}");
    }
    vendor_token(&vendor).await;
}

#[tokio::test]
async fn a_request_is_received_before_the_connection_breaks() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        for fault in [Fault::Reset, Fault::Close] {
            vendor.forget();
            vendor.misbehave(fault.once());
            let mut connection = Connection::open(&vendor, protocol).await.unwrap();
            assert!(connection.send(strategies(&token)).await.is_err());
            assert_eq!(vendor.count(Operation::StrategiesGet), 1);
            vendor.until(|vendor| vendor.open_connections() == 0).await;
        }
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    vendor.misbehave(Fault::Reset.once());
    let error = strategies(&token).try_send(&vendor).await.unwrap_err();
    let error = error.into_inner().unwrap();
    let cause = std::error::Error::source(error.as_ref()).unwrap();
    let cause = cause.downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connections_are_refused_as_often_as_asked() {
    let vendor = start().await;
    vendor.misbehave(Fault::RefuseConnections.times(2));
    for _ in 0..2 {
        let reply = post("/auth/vendor/", &json!({})).try_send(&vendor).await;
        assert!(reply.is_err());
    }
    vendor_token(&vendor).await;
    assert_eq!(vendor.count(Endpoint::TokenExchange), 1);
}

#[tokio::test]
async fn the_token_endpoint_fails_alone() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let down = Fault::Status(StatusCode::SERVICE_UNAVAILABLE);
    vendor.misbehave(down.at(Endpoint::TokenExchange));
    let reply = post("/auth/vendor/", &json!({})).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::OK);
    vendor.behave();
    vendor_token(&vendor).await;
    assert_eq!(vendor.tokens_issued(), 2);
}

#[tokio::test]
async fn one_401_is_one() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    vendor.misbehave(Fault::Status(StatusCode::UNAUTHORIZED).once());
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply.error(), "Unauthorized");
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_answer_comes_and_a_hanging_one_does_not() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let delay = Duration::from_millis(50);
    vendor.misbehave(Fault::Slow(delay).once());
    let began = std::time::Instant::now();
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(began.elapsed() >= delay);

    vendor.misbehave(Fault::Hang.once());
    let hanging = strategies(&token).try_send(&vendor);
    let seen = vendor.until(|vendor| vendor.count(Operation::StrategiesGet) == 2);
    tokio::select! {
        reply = hanging => panic!("answered: {reply:?}"),
        () = seen => {}
    }
}

#[tokio::test]
async fn odd_answers_are_as_odd_as_asked() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let two_mebibytes = 2 << 20;
    for fault in [
        Fault::Large(two_mebibytes),
        Fault::Redirect,
        Fault::Gzip,
        Fault::OddHeaders,
    ] {
        vendor.misbehave(fault.once());
    }
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.body.len(), two_mebibytes);
    assert!(reply.json().is_string());
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.headers["location"], "https://elsewhere.example/");
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.headers["content-encoding"], "gzip");
    assert_eq!(reply.body, GZIPPED);
    let reply = strategies(&token).send(&vendor).await;
    assert!(reply.json()["strategies"].is_array());
    for (name, value) in ODD_HEADERS {
        assert_eq!(reply.headers[*name], value);
    }
}

#[tokio::test]
async fn it_switches_protocols_unasked() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    vendor.misbehave(Fault::SwitchingProtocols.times(2));
    let reply = strategies(&token).send(&vendor).await;
    assert_eq!(reply.status, StatusCode::SWITCHING_PROTOCOLS);
    let mut connection = Connection::open(&vendor, b"h2").await.unwrap();
    assert!(connection.send(strategies(&token)).await.is_err());
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    vendor.until(|vendor| vendor.open_connections() == 0).await;
    let mut idle = Connection::open(&vendor, b"http/1.1").await.unwrap();
    let mut busy = Connection::open(&vendor, b"http/1.1").await.unwrap();
    idle.send(strategies(&token)).await.unwrap();
    vendor.misbehave(Fault::Hang.once());
    tokio::select! {
        reply = busy.send(strategies(&token)) => panic!("broken off: {reply:?}"),
        () = async {
            vendor.until(|vendor| vendor.count(Operation::StrategiesGet) == 2).await;
            vendor.close_idle_connections();
            vendor.until(|vendor| vendor.open_connections() == 1).await;
        } => {}
    }
    assert!(idle.send(strategies(&token)).await.is_err());
}

#[tokio::test]
async fn what_was_received_is_kept_as_it_came() {
    let vendor = start().await;
    let token = vendor_token(&vendor).await;
    let mut connection = Connection::open(&vendor, b"h2").await.unwrap();
    for odd in ["1", "2"] {
        let call = post("/nowhere?a=1", &json!({"odd": odd}));
        let call = call.header("x-odd", odd).bearer(&token);
        let reply = connection.send(call).await.unwrap();
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.version, Version::HTTP_2);
    }
    let received = vendor.received();
    let [exchange, first, second] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(exchange.endpoint, Endpoint::TokenExchange);
    assert_eq!(exchange.version, Version::HTTP_11);
    assert_eq!(first.target, "/nowhere?a=1");
    assert_eq!(first.endpoint, Endpoint::Unknown);
    assert_eq!(first.header("x-odd"), Some("1"));
    assert_eq!(first.json(), json!({"odd": "1"}));
    assert_eq!(first.connection, second.connection);
    assert_ne!(first.connection, exchange.connection);
    assert!(first.at <= second.at);
}

#[tokio::test]
async fn a_stand_in_that_was_shut_down_is_gone() {
    let vendor = start().await;
    let address = vendor.address();
    let mut connection = Connection::open(&vendor, b"http/1.1").await.unwrap();
    vendor.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let call = post("/auth/vendor/", &json!({}));
    assert!(connection.send(call).await.is_err());
}

//! A connector against servers that do right, and servers that don't.

use std::sync::{Arc, Mutex};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, Error as TlsError};
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tower::ServiceExt;

use super::{
    testing::{Ca, Server, read_request},
    *,
};
use crate::config::{Egress, Frontegg};

const SOON: std::time::Duration = std::time::Duration::from_millis(200);

async fn silent(_number: usize, stream: impl Send) {
    sleep(std::time::Duration::from_secs(60)).await;
    drop(stream);
}

async fn connect(settings: &Frontegg) -> Result<Stream, ConnectError> {
    let connector = Connector::to_identity(settings).unwrap();
    let connected = connector.oneshot(Uri::default()).await;
    connected.map(TokioIo::into_inner)
}

#[tokio::test]
async fn a_probe_tells_each_step() {
    let ca = Ca::new();
    let server = Server::tls(ca.server("localhost"), silent).await;
    let mut settings = ca.settings(server.address);
    let port = server.address.port();
    settings.identity = format!("localhost:{port}").parse().unwrap();

    let probe = Connector::to_identity(&settings).unwrap().probe().await;

    assert!(probe.result.is_ok(), "{:?}", probe.result);
    let [
        Reached::Resolved { hop, addresses },
        Reached::Connected(address),
        Reached::Secured { version, http2 },
    ] = &*probe.reached
    else {
        panic!("{:?}", probe.reached);
    };
    assert_eq!(&**hop, format!("localhost:{port}"));
    assert!(addresses.contains(&server.address));
    assert_eq!(*address, server.address);
    assert_eq!(*version, Some(rustls::ProtocolVersion::TLSv1_3));
    assert!(!http2);
}

#[tokio::test]
async fn http2_is_chosen_only_where_it_is_configured() {
    let ca = Ca::new();
    let mut config = ca.server("127.0.0.1");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server = Server::tls(config, silent).await;
    let mut settings = ca.settings(server.address);
    assert!(!connect(&settings).await.unwrap().is_http2());
    settings.http2 = true;
    assert!(connect(&settings).await.unwrap().is_http2());
    let authentication = Connector::to_authentication(&settings).unwrap();
    let stream = authentication.oneshot(Uri::default()).await.unwrap();
    assert!(!stream.inner().is_http2());
}

#[tokio::test]
async fn an_unknown_name_is_a_resolve_error() {
    let ca = Ca::new();
    let mut settings = ca.settings(([127, 0, 0, 1], 1).into());
    settings.identity = "no-such-host.invalid".parse().unwrap();
    let error = connect(&settings).await.unwrap_err();
    assert_eq!(error.step(), Step::Resolve);
    assert!(error.to_string().contains("no-such-host.invalid:443"));
}

#[tokio::test]
async fn a_closed_port_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(&Ca::new().settings(address)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_host_that_is_silent_runs_out_of_time() {
    let server = Server::tcp(silent).await;
    let mut settings = Ca::new().settings(server.address);
    settings.connect_timeout = SOON;
    let error = connect(&settings).await.unwrap_err();
    assert!(matches!(
        error,
        ConnectError::Timeout {
            step: Step::Tls,
            ..
        }
    ));
}

#[tokio::test]
async fn a_host_that_speaks_no_tls_is_a_tls_error() {
    let server = Server::tcp(|_number, mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let error = connect(&Ca::new().settings(server.address))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_must_name_the_host_and_be_current_and_known() {
    let ca = Ca::new();
    let cases = [
        (ca.server("127.0.0.2"), "wrong host"),
        (ca.expired_server("127.0.0.1"), "expired"),
        (Ca::named("another CA").server("127.0.0.1"), "unknown"),
    ];
    for (config, case) in cases {
        let server = Server::tls(config, silent).await;
        let error = connect(&ca.settings(server.address)).await.unwrap_err();
        let Some(TlsError::InvalidCertificate(reason)) = error.tls_reason() else {
            panic!("{case}: {error}");
        };
        let right = match case {
            "wrong host" => matches!(reason, CertificateError::NotValidForNameContext { .. }),
            "expired" => matches!(reason, CertificateError::ExpiredContext { .. }),
            _ => matches!(reason, CertificateError::UnknownIssuer),
        };
        assert!(right, "{case}: {reason:?}");
    }
}

/// A proxy that writes down what it is asked, and either tunnels or answers with `refusal`.
async fn proxy(asked: Arc<Mutex<String>>, refusal: Option<&'static str>) -> Server {
    Server::tcp(move |_number, mut stream| {
        let asked = Arc::clone(&asked);
        async move {
            let request = read_request(&mut stream).await.unwrap();
            let target = request.split(' ').nth(1).unwrap().to_owned();
            *asked.lock().unwrap() = request;
            if let Some(refusal) = refusal {
                stream.write_all(refusal.as_bytes()).await.unwrap();
                return;
            }
            let mut onward = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            copy_bidirectional(&mut stream, &mut onward).await.ok();
        }
    })
    .await
}

fn through(proxy: &Server, mut settings: Frontegg) -> Frontegg {
    let uri = format!("http://user:pass@{}", proxy.address);
    settings.proxy = Egress::Proxy(uri.parse().unwrap());
    settings
}

#[tokio::test]
async fn an_egress_proxy_opens_a_tunnel_with_the_vendors_own_certificate_at_its_end() {
    let ca = Ca::new();
    let server = Server::tls(ca.server("127.0.0.1"), silent).await;
    let asked = Arc::default();
    let proxy = proxy(Arc::clone(&asked), None).await;
    let settings = through(&proxy, ca.settings(server.address));

    let probe = Connector::to_identity(&settings).unwrap().probe().await;

    assert!(probe.result.is_ok(), "{:?}", probe.result);
    assert!(probe.reached.contains(&Reached::Connected(proxy.address)));
    assert!(probe.reached.contains(&Reached::Tunnelled));
    let asked = asked.lock().unwrap();
    assert!(asked.starts_with(&format!("CONNECT {} HTTP/1.1", server.address)));
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_proxy_error() {
    let ca = Ca::new();
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let proxy = proxy(Arc::default(), Some(refusal)).await;
    let settings = through(&proxy, ca.settings(([127, 0, 0, 1], 1).into()));
    let error = connect(&settings).await.unwrap_err();
    assert!(matches!(error, ConnectError::Proxy { .. }), "{error}");
    assert!(error.to_string().contains("proxy authorization required"));
    assert!(error.to_string().contains(&proxy.address.to_string()));
}

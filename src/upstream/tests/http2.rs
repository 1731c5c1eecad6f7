//! The same over HTTP/2.

use std::convert::Infallible;

use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::*;

/// A vendor that speaks HTTP/2, and never answers `/slow`.
async fn http2() -> (Server, Rig) {
    http2_until(|| ()).await
}

/// The same, which tells when a connection has ended.
async fn http2_until(ended: impl Fn() + Clone + Send + Sync + 'static) -> (Server, Rig) {
    let ca = Ca::new();
    let mut config = ca.server("127.0.0.1");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::tls(config, move |_number, stream| {
        let ended = ended.clone();
        async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                if request.uri().path() == "/slow" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
            });
            let connection = http2::Builder::new(TokioExecutor::new());
            let connection = connection.serve_connection(TokioIo::new(stream), service);
            // the client ends it as it likes
            connection.await.ok();
            ended();
        }
    })
    .await;
    let mut settings = ca.settings(server.address);
    settings.http2 = true;
    (server, Rig::new(&settings))
}

#[tokio::test]
async fn requests_share_a_connection() {
    let (server, rig) = http2().await;
    rig.answer().await;
    let rig = Arc::new(rig);
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let rig = Arc::clone(&rig);
        requests.spawn(async move { rig.answer().await.status() });
    }
    assert_eq!(requests.join_all().await, [StatusCode::OK; 50]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_any_more_is_closed() {
    let ended = Arc::new(Notify::new());
    let ending = Arc::clone(&ended);
    let (_server, rig) = http2_until(move || ending.notify_one()).await;
    rig.answer().await;
    rest_for_a_minute().await;
    ended.notified().await;
}

#[tokio::test]
async fn a_connection_on_which_a_request_timed_out_takes_no_more() {
    let (server, rig) = http2().await;
    rig.answer().await;
    let slow = rig.request("/slow");
    let error = rig.upstream.send(slow, Deadline::after(SHORT)).await;
    assert!(matches!(error, Err(UpstreamError::Timeout)), "{error:?}");
    rig.answer().await;
    rig.answer().await;
    assert_eq!(server.connections(), 2);
}

//! The same over HTTP/2.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use h2::{
    Reason, RecvStream,
    server::{Connection, SendResponse, handshake},
};
use http::{Request, Response};
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
    talking(move |_number, stream| {
        let ended = ended.clone();
        async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
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
    .await
}

/// A server that both ends have chosen HTTP/2 with, for which `script` runs on each connection.
async fn talking<S, F>(script: S) -> (Server, Rig)
where
    S: Fn(usize, TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let ca = Ca::new();
    let mut config = ca.server("127.0.0.1");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::tls(config, script).await;
    let mut settings = ca.settings(server.address);
    settings.http2 = true;
    (server, Rig::new(&settings))
}

/// Sends what there is to send. No request is awaited meanwhile.
async fn send_all(connection: &mut Connection<TlsStream<TcpStream>, Bytes>) {
    tokio::time::timeout(SHORT, connection.accept()).await.ok();
}

/// A vendor that answers each request as `answer` does, which has not read its body.
async fn answering_by(
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) + Copy + Send + Sync + 'static,
) -> (Server, Rig) {
    talking(move |_number, stream| async move {
        let mut connection = handshake(stream).await.unwrap();
        // the client ends it as it likes
        while let Some(Ok((request, sender))) = connection.accept().await {
            answer(request, sender);
        }
    })
    .await
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

#[tokio::test]
async fn an_answer_that_comes_in_pieces_is_whole() {
    let (_server, rig) = answering_by(|_request, mut sender| {
        let mut body = sender.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"{\"a\":"), false)
            .unwrap();
        body.send_data(Bytes::from_static(b"1}"), true).unwrap();
    })
    .await;
    let (_status, _headers, body) = rig.answer().await.into_parts();
    assert_eq!(&*body, b"{\"a\":1}");
}

#[tokio::test]
async fn a_vendor_may_answer_without_reading_the_request() {
    // it has room for 65,535 bytes of it, and resets the stream with NO_ERROR after its answer
    let (server, rig) = answering_by(|_request, mut sender| {
        let mut body = sender.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"{}"), true).unwrap();
    })
    .await;
    let long = Bytes::from(vec![b' '; 100_000]);
    for _ in 0..2 {
        let request = rig.request_with("/identity/x", &long);
        let reply = rig.upstream.send(request, Deadline::after(PLENTY)).await;
        assert_eq!(&*reply.unwrap().into_parts().2, b"{}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_is_reset_before_its_end_is_none_and_not_asked_for_again() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::REFUSED_STREAM] {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let (_server, rig) = talking(move |_number, stream| {
            let requests = Arc::clone(&counted);
            async move {
                let mut connection = handshake(stream).await.unwrap();
                while let Some(Ok((_request, mut sender))) = connection.accept().await {
                    requests.fetch_add(1, Ordering::Relaxed);
                    let mut body = sender.send_response(Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"{"), false).unwrap();
                    send_all(&mut connection).await;
                    body.send_reset(reason);
                }
            }
        })
        .await;
        let error = rig.send(PLENTY).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
        assert!(error.may_have_left());
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_answer_that_switches_protocols_is_none() {
    let (_server, rig) = answering_by(|_request, mut sender| {
        for status in [StatusCode::EARLY_HINTS, StatusCode::SWITCHING_PROTOCOLS] {
            let mut interim = Response::new(());
            *interim.status_mut() = status;
            sender.send_informational(interim).unwrap();
        }
        // and never answers
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
    })
    .await;
    let error = rig.send(PLENTY).await;
    assert!(
        matches!(error, Err(UpstreamError::SwitchedProtocols)),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_connection_has_no_room_for_goes_over_another() {
    let (server, rig) = talking(|_number, stream| async move {
        let mut one_at_a_time = h2::server::Builder::new();
        let handshake = one_at_a_time.max_concurrent_streams(1).handshake(stream);
        let mut connection = handshake.await.unwrap();
        let mut unanswered = Vec::<SendResponse<Bytes>>::new();
        while let Some(Ok((request, mut sender))) = connection.accept().await {
            if request.uri().path() == "/slow" {
                unanswered.push(sender);
            } else {
                sender.send_response(Response::new(()), true).unwrap();
            }
        }
    })
    .await;
    let rig = Arc::new(rig);
    for _ in 0..2 {
        rig.answer().await;
    }
    assert_eq!(server.connections(), 1);

    let slow = Arc::clone(&rig);
    let slow = tokio::spawn(async move {
        let request = slow.request("/slow");
        slow.upstream.send(request, Deadline::after(PLENTY)).await
    });
    settle().await;
    for _ in 0..2 {
        rig.answer().await;
    }
    assert_eq!(server.connections(), 2);
    slow.abort();
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused() {
    let (_server, rig) = answering_by(|request, mut sender| {
        let long = usize::from(request.uri().path() == "/long");
        let mut body = sender.send_response(Response::new(()), false).unwrap();
        let bytes = Bytes::from(vec![b' '; MAX_ANSWER + long]);
        body.send_data(bytes, true).unwrap();
    })
    .await;
    assert_eq!(rig.answer().await.length(), MAX_ANSWER);
    let long = rig.request("/long");
    let error = rig.upstream.send(long, Deadline::after(PLENTY)).await;
    assert!(
        matches!(error, Err(UpstreamError::AnswerTooLarge)),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_http2_is_no_answer() {
    let (_server, rig) = talking(|_number, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let error = rig.send(PLENTY).await;
    assert!(
        matches!(error, Err(UpstreamError::BadAnswer(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_the_vendor_closes_takes_no_more() {
    let (server, rig) = talking(|_number, stream| async move {
        let mut connection = handshake(stream).await.unwrap();
        while let Some(Ok((_request, mut sender))) = connection.accept().await {
            sender.send_response(Response::new(()), true).unwrap();
            connection.graceful_shutdown();
        }
    })
    .await;
    for count in 1..=3 {
        rig.answer().await;
        settle().await;
        assert_eq!(server.connections(), count);
    }
}

#[tokio::test]
async fn a_vendor_that_answers_no_ping_is_not_asked_again() {
    let (server, rig) = talking(|number, stream| async move {
        let mut connection = handshake(stream).await.unwrap();
        while let Some(Ok((_request, mut sender))) = connection.accept().await {
            sender.send_response(Response::new(()), true).unwrap();
            if number == 0 {
                send_all(&mut connection).await;
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    rig.answer().await;
    tokio::time::sleep(2 * SHORT).await;
    pause();
    advance(Duration::from_secs(16)).await;
    settle().await;
    advance(Duration::from_secs(11)).await;
    settle().await;
    resume();
    rig.answer().await;
    assert_eq!(server.connections(), 2);
}

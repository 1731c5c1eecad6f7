//! Sending against real TLS servers, each of which does something a vendor might.

mod http1;
mod http2;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, uri::PathAndQuery};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::yield_now,
    time::{advance, pause, resume},
};
use tokio_rustls::server::TlsStream;

use super::*;
use crate::{
    config::{Frontegg, Headers},
    credential::bearer_for_tests,
    model::RequestId,
    net::testing::{Ca, Server, answer_all, ok, read_request},
    route::Operation,
};

/// One worker, and the requests that the tests send.
struct Rig {
    upstream: Upstream,
    blueprint: Blueprint,
}

impl Rig {
    fn new(settings: &Frontegg) -> Self {
        let headers = Headers {
            forward: Vec::new(),
            cookies: Vec::new(),
        };
        Self {
            upstream: Upstream::new(Connector::to_identity(settings).unwrap()),
            blueprint: Blueprint::new(settings, &headers, None),
        }
    }

    fn request(&self, path: &'static str) -> UpstreamRequest {
        self.request_with(path, &Bytes::from_static(b"{}"))
    }

    fn request_with(&self, path: &'static str, body: &Bytes) -> UpstreamRequest {
        let mut caller_headers = HeaderMap::new();
        caller_headers.insert("content-type", HeaderValue::from_static("application/json"));
        let outgoing = Outgoing {
            client: None,
            operation: Operation::Recover,
            path_and_query: &PathAndQuery::from_static(path),
            tenant: None,
            user: None,
            request_id: RequestId::new(),
            caller_headers: &caller_headers,
            trace: None,
            body,
        };
        self.blueprint.build(
            outgoing,
            Credential::Environment(&bearer_for_tests("Bearer ours")),
        )
    }

    async fn send(&self, budget: Duration) -> Result<Reply, UpstreamError> {
        let request = self.request("/identity/x");
        self.upstream.send(request, Deadline::after(budget)).await
    }

    async fn answer(&self) -> Reply {
        self.send(PLENTY).await.unwrap()
    }
}

const PLENTY: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(200);

/// A server for which `script` runs on each connection, and a worker that sends to it.
async fn scripted<S, F>(script: S) -> (Server, Rig)
where
    S: Fn(usize, TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let ca = Ca::new();
    let server = Server::tls(ca.server("127.0.0.1"), script).await;
    let rig = Rig::new(&ca.settings(server.address));
    (server, rig)
}

async fn answering(answer: String) -> (Server, Rig) {
    scripted(move |_number, stream| {
        let answer = answer.clone();
        async move { answer_all(stream, &answer, |_request| ()).await }
    })
    .await
}

/// Lets the connections' tasks see what has arrived.
async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

/// Lets a minute pass in which nothing is sent.
async fn rest_for_a_minute() {
    settle().await;
    pause();
    for _ in 0..12 {
        advance(Duration::from_secs(5)).await;
        settle().await;
    }
    resume();
}

#[tokio::test]
async fn a_request_leaves_as_it_was_built_and_the_answer_comes_back_whole() {
    let seen = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&seen);
    let (server, rig) = scripted(move |_number, stream| {
        let heard = Arc::clone(&heard);
        let answer = "HTTP/1.1 201 Created\r\ncontent-length: 3\r\nserver: x\r\n\
                      frontegg-trace-id: t-1\r\n\r\nabc";
        async move { answer_all(stream, answer, |request| *heard.lock().unwrap() = request).await }
    })
    .await;

    let reply = rig.answer().await;

    assert_eq!(reply.trace_id().unwrap(), "t-1");
    let (status, headers, body) = reply.into_parts();
    assert_eq!(
        (status, headers.len(), &*body),
        (StatusCode::CREATED, 1, &b"abc"[..])
    );
    let seen = seen.lock().unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /identity/x HTTP/1.1\r\n"));
    let mut names: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split(':').next())
        .collect();
    names.sort_unstable();
    let expected = [
        "authorization",
        "content-length",
        "content-type",
        "host",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert!(head.contains(&format!("host: {}", server.address)));
    assert!(head.contains("authorization: Bearer ours"));
    assert_eq!(body, "{}");
}

#[tokio::test]
async fn a_refusal_or_redirect_of_the_vendors_is_an_answer_like_any_other() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: https://evil.test/\r\ncontent-length: 0\r\n\r\n";
    let (server, rig) = answering(answer.to_owned()).await;
    let reply = rig.answer().await;
    assert_eq!(reply.status(), StatusCode::FOUND);
    assert!(reply.headers().is_empty());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (server, rig) = answering(ok("{}")).await;
    for _ in 0..5 {
        rig.answer().await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_is_idle_for_fifty_seconds_at_most() {
    let (server, rig) = answering(ok("{}")).await;
    for (idle, connections) in [(49, 1), (51, 2)] {
        rig.answer().await;
        settle().await;
        pause();
        advance(Duration::from_secs(idle)).await;
        resume();
        rig.answer().await;
        assert_eq!(server.connections(), connections, "{idle} s");
    }
}

#[tokio::test]
async fn what_nobody_uses_any_more_is_closed() {
    let ended = Arc::new(Notify::new());
    let ending = Arc::clone(&ended);
    let (_server, rig) = scripted(move |_number, mut stream| {
        let ended = Arc::clone(&ending);
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(ok("{}").as_bytes()).await.unwrap();
            // told by TLS too, not only by TCP
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            ended.notify_one();
        }
    })
    .await;
    rig.answer().await;
    rest_for_a_minute().await;
    ended.notified().await;
}

#[tokio::test]
async fn a_connection_that_could_be_too_old_next_time_does_no_more() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asking, going) = (Arc::clone(&asked), Arc::clone(&go));
    let (server, rig) = scripted(move |_number, mut stream| {
        let (asked, go) = (Arc::clone(&asking), Arc::clone(&going));
        async move {
            while read_request(&mut stream).await.is_some() {
                asked.notify_one();
                go.notified().await;
                stream.write_all(ok("{}").as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    // ages at the answers: 540 s, 560 s, then a new connection's
    for (grows, connections) in [(540, 1), (20, 1), (0, 2)] {
        let answer = rig.answer();
        let age = async {
            asked.notified().await;
            pause();
            advance(Duration::from_secs(grows)).await;
            resume();
            go.notify_one();
        };
        tokio::join!(answer, age);
        assert_eq!(server.connections(), connections, "after {grows} s more");
        settle().await;
    }
}

#[tokio::test]
async fn a_pooled_connection_that_the_vendor_has_closed_is_replaced() {
    let closed = Arc::new(Notify::new());
    let closing = Arc::clone(&closed);
    let (server, rig) = scripted(move |_number, mut stream| {
        let closed = Arc::clone(&closing);
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(ok("{}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            closed.notify_one();
        }
    })
    .await;
    for connections in 1..=3 {
        rig.answer().await;
        closed.notified().await;
        settle().await;
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn what_may_have_left_is_never_sent_again() {
    let seen = Arc::new(Mutex::new(0));
    let heard = Arc::clone(&seen);
    let (server, rig) = scripted(move |_number, mut stream| {
        let seen = Arc::clone(&heard);
        async move {
            for answered in [true, false] {
                read_request(&mut stream).await.unwrap();
                *seen.lock().unwrap() += 1;
                if answered {
                    stream.write_all(ok("{}").as_bytes()).await.unwrap();
                }
            }
        }
    })
    .await;
    rig.answer().await;
    let error = rig.send(PLENTY).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert!(error.may_have_left());
    assert_eq!((server.connections(), *seen.lock().unwrap()), (1, 2));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken() {
    let (_server, rig) = scripted(|_number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let start = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(start).await.unwrap();
    })
    .await;
    let error = rig.send(PLENTY).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_over_which_a_request_timed_out_is_closed() {
    let ended = Arc::new(Notify::new());
    let ending = Arc::clone(&ended);
    let (server, rig) = scripted(move |number, mut stream| {
        let ended = Arc::clone(&ending);
        async move {
            if number > 0 {
                return answer_all(stream, &ok("{}"), |_request| ()).await;
            }
            read_request(&mut stream).await.unwrap();
            assert!(read_request(&mut stream).await.is_none());
            ended.notify_one();
        }
    })
    .await;
    let error = rig.send(SHORT).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Timeout), "{error:?}");
    assert!(error.may_have_left());
    ended.notified().await;
    rig.answer().await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_abandoned_request_closes_its_connection() {
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asking, ending) = (Arc::clone(&asked), Arc::clone(&ended));
    let (_server, rig) = scripted(move |_number, mut stream| {
        let (asked, ended) = (Arc::clone(&asking), Arc::clone(&ending));
        async move {
            read_request(&mut stream).await.unwrap();
            // half an answer: the body is what is being waited for
            let start = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
            stream.write_all(start).await.unwrap();
            asked.notify_one();
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
            ended.notify_one();
        }
    })
    .await;
    tokio::select! {
        answer = rig.send(PLENTY) => panic!("{answer:?}"),
        () = async { asked.notified().await; settle().await } => {}
    }
    ended.notified().await;
}

#[tokio::test]
async fn where_there_is_no_connection_no_byte_has_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let rig = Rig::new(&Ca::new().settings(address));
    let error = rig.send(SHORT).await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::NotSent(NotSent::Timeout)),
        "{error:?}"
    );
    assert!(!error.may_have_left());

    drop(listener);
    let error = rig.send(PLENTY).await.unwrap_err();
    let UpstreamError::NotSent(NotSent::Connect(connect)) = &error else {
        panic!("{error:?}");
    };
    assert!(connect.to_string().contains("refused") && !error.may_have_left());
}

#[tokio::test]
async fn an_answer_is_taken_up_to_a_mebibyte() {
    let chunked = |length: usize| {
        let body = "x".repeat(length);
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    for answer in [ok(&"x".repeat(MAX_ANSWER)), chunked(MAX_ANSWER)] {
        let (_server, rig) = answering(answer).await;
        assert_eq!(rig.answer().await.into_parts().2.len(), MAX_ANSWER);
    }
    for answer in [ok(&"x".repeat(MAX_ANSWER + 1)), chunked(MAX_ANSWER + 1)] {
        let (server, rig) = answering(answer).await;
        for connections in 1..=2 {
            let error = rig.send(PLENTY).await.unwrap_err();
            assert!(matches!(error, UpstreamError::AnswerTooLarge), "{error:?}");
            assert_eq!(server.connections(), connections);
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_one() {
    let (_server, rig) = answering("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned()).await;
    let error = rig.send(PLENTY).await.unwrap_err();
    assert!(matches!(error, UpstreamError::BadAnswer(_)), "{error:?}");

    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let (server, rig) = answering(answer.to_owned()).await;
    for connections in 1..=2 {
        let error = rig.send(PLENTY).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::SwitchedProtocols),
            "{error:?}"
        );
        assert_eq!(server.connections(), connections);
    }
}

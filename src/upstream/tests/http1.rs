//! What only HTTP/1.1 can do: answers of every framing, too early, too late and too much.

use super::*;

/// A server that answers every request with the same bytes, and then closes properly.
async fn closing(answer: &'static str) -> (Server, Rig) {
    scripted(move |_number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let answer = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{}",
        ok("final")
    );
    let (server, rig) = answering(answer).await;
    for _ in 0..2 {
        assert_eq!(rig.answer().await.into_parts().2, "final");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let (server, rig) = closing("HTTP/1.1 200 OK\r\netag: e\r\n\r\nup to the end").await;
    for connections in 1..=2 {
        assert_eq!(rig.answer().await.into_parts().2, "up to the end");
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn an_end_that_tls_does_not_tell_of_may_have_cut_the_answer() {
    let (_server, rig) = scripted(|_number, mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\n\r\nas far as";
        stream.write_all(answer).await.unwrap();
        stream.flush().await.unwrap();
        // TCP ends, TLS doesn't
        stream.get_mut().0.shutdown().await.unwrap();
    })
    .await;
    let error = rig.send(PLENTY).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
}

#[tokio::test]
async fn what_comes_beyond_an_answer_is_nobodys() {
    let answer = format!("{}{}", ok("mine"), ok("not mine"));
    let (server, rig) = answering(answer).await;
    for connections in 1..=3 {
        assert_eq!(rig.answer().await.into_parts().2, "mine");
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn what_comes_after_an_answer_is_nobodys_either() {
    let sent = Arc::new(Notify::new());
    let sending = Arc::clone(&sent);
    let (server, rig) = scripted(move |_number, mut stream| {
        let sent = Arc::clone(&sending);
        async move {
            read_request(&mut stream).await.unwrap();
            stream.write_all(ok("mine").as_bytes()).await.unwrap();
            settle().await;
            stream.write_all(ok("not mine").as_bytes()).await.unwrap();
            sent.notify_one();
            // the connection is there, and nobody uses it
            assert!(read_request(&mut stream).await.is_none());
        }
    })
    .await;
    for connections in 1..=3 {
        assert_eq!(rig.answer().await.into_parts().2, "mine");
        sent.notified().await;
        settle().await;
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_connection_that_the_vendor_will_close_takes_no_more() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let (server, rig) = answering(answer.to_owned()).await;
    for connections in 1..=2 {
        rig.answer().await;
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_is_one() {
    let (server, rig) = scripted(|_number, mut stream| async move {
        stream.read_u8().await.unwrap();
        let answer = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let body = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    for connections in 1..=2 {
        let request = rig.request_with("/identity/x", &body);
        let reply = rig.upstream.send(request, Deadline::after(PLENTY)).await;
        assert_eq!(reply.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_fresh_connection_that_is_closed_at_once_has_sent_nothing() {
    let (_server, rig) = scripted(|_number, mut stream| async move {
        stream.shutdown().await.unwrap();
    })
    .await;
    // its end may come before or after the request has begun
    let error = rig.send(PLENTY).await.unwrap_err();
    assert!(
        matches!(
            error,
            UpstreamError::Broken(_) | UpstreamError::NotSent(NotSent::Dropped(_))
        ),
        "{error:?}"
    );
}

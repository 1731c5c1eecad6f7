//! Connections over a pipe in memory, with the clock at a stand.

use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{client::conn, service::service_fn};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};

use super::{
    super::{drain::Drain, timeouts::ConnectionTimeouts},
    *,
};

const TIMEOUTS: ConnectionTimeouts = ConnectionTimeouts {
    header: Duration::from_secs(10),
    idle: Duration::from_secs(75),
};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n";

/// A connection whose every request is answered with its path.
fn connect(drain: &Drain) -> (DuplexStream, JoinHandle<Result<(), ConnectionError>>) {
    let (client, server) = duplex(4 * 1024);
    let watchdog = Watchdog::new(drain.signal(), TIMEOUTS);
    let activity = Arc::clone(watchdog.activity());
    let answers = service_fn(move |request: Request<Incoming>| {
        let answer = Finish::new(|_begun| async move {
            let path = Bytes::copy_from_slice(request.uri().path().as_bytes());
            Response::new(Full::new(path))
        });
        Answering::new(answer, activity.request())
    });
    let serving = tokio::spawn(serve(server, USUAL_HEADERS, answers, watchdog));
    (client, serving)
}

/// Reads one answer, whose body is `/` and a letter, and gives the letter.
async fn answer(client: &mut DuplexStream) -> char {
    let mut text = String::new();
    while !text.contains("\r\n\r\n/") || text.ends_with('/') {
        text.push(char::from(client.read_u8().await.unwrap()));
    }
    text.pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rested_answers_as_before() {
    let drain = Drain::new();
    let (mut client, serving) = connect(&drain);
    for _ in 0..3 {
        client.write_all(REQUEST).await.unwrap();
        assert_eq!(answer(&mut client).await, 'a');
        sleep(Duration::from_secs(30)).await;
    }
    drop(client);
    assert!(serving.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_beginning_of_a_head_outlives_a_rest() {
    let drain = Drain::new();
    let (mut client, _serving) = connect(&drain);
    let next = b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n";
    for cut in 1..next.len() {
        let (begun, rest) = next.split_at(cut);
        client.write_all(&[REQUEST, begun].concat()).await.unwrap();
        assert_eq!(answer(&mut client).await, 'a');
        sleep(Duration::from_secs(5)).await;
        client.write_all(rest).await.unwrap();
        assert_eq!(answer(&mut client).await, 'b', "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_only_begun_is_not_waited_for_after_a_rest_either() {
    let drain = Drain::new();
    let (mut client, serving) = connect(&drain);
    client
        .write_all(&[REQUEST, b"GET /b"].concat())
        .await
        .unwrap();
    assert_eq!(answer(&mut client).await, 'a');
    let began = tokio::time::Instant::now();
    assert!(matches!(
        serving.await.unwrap(),
        Err(ConnectionError::Silent)
    ));
    assert!((10..14).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_resting_connection_ends_after_the_idle_time_out_or_when_told() {
    let drain = Drain::new();
    let (mut client, serving) = connect(&drain);
    client.write_all(REQUEST).await.unwrap();
    answer(&mut client).await;
    sleep(Duration::from_secs(70)).await;
    assert!(!serving.is_finished());
    sleep(Duration::from_secs(6)).await;
    assert!(serving.await.unwrap().is_ok());

    let (mut client, serving) = connect(&drain);
    client.write_all(REQUEST).await.unwrap();
    answer(&mut client).await;
    sleep(Duration::from_secs(10)).await;
    drain.complete().await;
    assert!(serving.await.unwrap().is_ok());
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_slowly_comes_whole() {
    let drain = Drain::new();
    for head in ["", "connection: close\r\n"] {
        let (mut client, serving) = connect(&drain);
        let long = "l".repeat(30_000);
        let request = format!("GET /{long} HTTP/1.1\r\nhost: x\r\n{head}\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(20)).await;
        let mut answer = vec![0; long.len()];
        client.read_exact(&mut answer).await.unwrap();
        sleep(Duration::from_secs(20)).await;
        let (mut rest, mut some) = (Vec::new(), [0; 256]);
        while rest
            .iter()
            .chain(&answer)
            .filter(|byte| **byte == b'l')
            .count()
            < long.len()
        {
            let count = client.read(&mut some).await.unwrap();
            assert_ne!(count, 0, "the answer was cut");
            rest.extend_from_slice(&some[..count]);
        }
        if !head.is_empty() {
            assert_eq!(client.read(&mut some).await.unwrap(), 0);
            assert!(serving.await.unwrap().is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_spoken_http_1_speaks_it_after_a_rest_too() {
    let drain = Drain::new();
    let (mut client, serving) = connect(&drain);
    client.write_all(REQUEST).await.unwrap();
    answer(&mut client).await;
    sleep(Duration::from_secs(5)).await;
    client.write_all(PREFACE).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(
        text, "",
        "that is no request, and hyper has no answer to it"
    );
    assert!(matches!(
        serving.await.unwrap(),
        Err(ConnectionError::Served(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn first_bytes_that_come_one_by_one_are_understood_in_both_versions() {
    let drain = Drain::new();
    let (mut client, _serving) = connect(&drain);
    for byte in [b"PRI ".as_slice(), REQUEST].concat() {
        client.write_all(&[byte]).await.unwrap();
    }
    let mut text = [0; 12];
    client.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"HTTP/1.1 400");

    let (client, serving) = connect(&drain);
    // a pipe of one byte
    let (near, mut far) = duplex(1);
    let mut client = client;
    tokio::spawn(async move {
        drop(tokio::io::copy_bidirectional(&mut far, &mut client).await);
    });
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/c")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "/c");
    drain.complete().await;
    assert!(serving.await.unwrap().is_ok());
    drop((sender, connection));
}

#[tokio::test(start_paused = true)]
async fn an_http_2_connection_is_idle_whatever_frames_come_and_ends_properly() {
    let drain = Drain::new();
    let (client, serving) = connect(&drain);
    let (mut sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async || {
        let request = Request::get("http://x/d")
            .body(Empty::<Bytes>::new())
            .unwrap();
        sender.send_request(request).await.unwrap().status()
    };
    // longer than a head may take, with the answers to our pings meanwhile
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ask().await, StatusCode::OK);
    sleep(Duration::from_secs(70)).await;
    assert_eq!(ask().await, StatusCode::OK);
    assert!(!serving.is_finished());
    sleep(Duration::from_secs(80)).await;
    connection.await.unwrap().unwrap();
    // told to go, the client may be gone before we are
    drop(serving.await.unwrap());
}

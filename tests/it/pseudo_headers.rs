//! HTTP/2 requests that mean one thing here and another to who reads them on as HTTP/1.1: what
//! makes up the request line comes in fields, and fields may hold any bytes. Frames by hand, since
//! no client would send them.

use mfa_gateway::sandbox::{vendor::Endpoint, world::seed::ADA};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Client, Rig, within};

const DEVICES: &str = "/identity/resources/users/v1/mfa/devices";
const DISABLE: &str = "/identity/resources/users/v1/mfa/authenticator/device-1/disable/verify";

/// Types of frames (RFC 9113, section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;

/// Flags of frames.
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// What a request is made of, in its order.
type Fields<'a> = Vec<(&'a str, &'a str)>;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes to the vendor, once and as what it was here.
    Passes,
    /// Nothing of it does.
    Refused,
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(payload);
    frame
}

/// Fields as they are, neither indexed nor compressed (RFC 7541, section 6.2.2).
fn block(fields: &Fields<'_>) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "{text} needs a longer prefix");
        [&[length], text.as_bytes()].concat()
    };
    let fields = fields.iter();
    fields
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}

/// Sends a request over a connection of its own, with this body, and sees what becomes of it.
async fn meet(
    rig: &Rig,
    fields: &Fields<'_>,
    body: Option<&str>,
    trailers: Option<&Fields<'_>>,
) -> Fate {
    let Client::Tcp(address) = &rig.client else {
        panic!("only plain TCP takes any bytes");
    };
    let end = |is_last| if is_last { END_STREAM } else { 0 };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let flags = END_HEADERS | end(body.is_none() && trailers.is_none());
    bytes.extend(frame(HEADERS, flags, 1, &block(fields)));
    if let Some(body) = body {
        bytes.extend(frame(DATA, end(trailers.is_none()), 1, body.as_bytes()));
    }
    if let Some(trailers) = trailers {
        bytes.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block(trailers),
        ));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let asked = || {
        let received = rig.vendor.received().into_iter();
        received.filter(|received| received.endpoint != Endpoint::TokenExchange)
    };
    let before = asked().count();
    within("an answer", answered(&mut stream)).await;
    match asked().skip(before).collect::<Vec<_>>().as_slice() {
        [] => Fate::Refused,
        [one] => {
            assert!(
                [DEVICES, DISABLE].contains(&&*one.target),
                "{fields:?}: {one:?}"
            );
            assert_eq!(one.header("frontegg-user-id"), Some(ADA.id));
            Fate::Passes
        }
        several => panic!("{fields:?}: {several:?}"),
    }
}

/// Reads until the request is answered, or its stream or connection ended.
async fn answered(stream: &mut TcpStream) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        if matches!((head[3], head[8]), (HEADERS | RST_STREAM, 1) | (GOAWAY, _)) {
            return;
        }
    }
}

/// A request for the user's devices.
fn good() -> Fields<'static> {
    vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", DEVICES),
        ("frontegg-user-id", ADA.id),
        ("frontegg-tenant-id", ADA.tenant),
    ]
}

/// The same, with another value in one field.
fn with(name: &'static str, value: &'static str) -> Fields<'static> {
    let mut fields = good();
    for field in fields.iter_mut().filter(|field| field.0 == name) {
        field.1 = value;
    }
    fields
}

/// The same, with a field more at the end.
fn and(name: &'static str, value: &'static str) -> Fields<'static> {
    let mut fields = good();
    fields.push((name, value));
    fields
}

#[tokio::test]
async fn each_pseudo_header_is_there_once_before_all_others() {
    let rig = Rig::start().await;
    for pseudo in [":method", ":scheme", ":path"] {
        let mut without = good();
        without.retain(|(name, _)| *name != pseudo);
        assert_eq!(meet(&rig, &without, None, None).await, Fate::Refused);
    }
    for (index, (name, value)) in good().into_iter().enumerate().take(4) {
        let mut twice = good();
        twice.insert(index, (name, value));
        assert_eq!(
            meet(&rig, &twice, None, None).await,
            Fate::Refused,
            "{name}"
        );
        let mut late = good();
        let field = late.remove(index);
        late.push(field);
        assert_eq!(meet(&rig, &late, None, None).await, Fate::Refused, "{name}");
    }
    for (name, value) in [(":status", "200"), (":user", "root"), (":", "x")] {
        let mut unknown = good();
        unknown.insert(0, (name, value));
        assert_eq!(
            meet(&rig, &unknown, None, None).await,
            Fate::Refused,
            "{name}"
        );
    }
}

#[tokio::test]
async fn no_pseudo_header_holds_more_of_a_request_than_its_part() {
    let rig = Rig::start().await;
    for fields in [
        with(":method", "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\nGET"),
        with(":method", "GET "),
        with(":method", "get"),
        with(":method", ""),
        with(":method", "CONNECT"),
        with(":path", ""),
        with(":path", "*"),
        with(":path", "identity/resources/users/v1/mfa/devices"),
        with(
            ":path",
            "http://evil.example/identity/resources/users/v1/mfa/devices",
        ),
        with(
            ":path",
            "/identity/resources/users/v1/mfa/devices HTTP/1.1\r\nx: y",
        ),
        with(":path", "/identity/resources/users/v1/mfa/devices\r\nx: y"),
        with(":path", "/identity/resources/users/v1/mfa/devices\0"),
        with(":path", "/identity/resources/users/v1/mfa/devices "),
        with(":path", "/identity/resources/users/v1/mfa/devices?a=b"),
        with(":scheme", "http://evil.example/?"),
        with(":scheme", "http\r\nx: y"),
        with(":authority", "evil.example"),
        with(":authority", "ann@localhost"),
        with(":authority", "localhost\r\nx: y"),
        with(":authority", "localhost, evil.example"),
        with(":authority", "localhost/nowhere"),
        with(":authority", ""),
        and("host", "evil.example"),
        and("host", "localhost:1"),
        and("host", ""),
    ] {
        let fate = meet(&rig, &fields, None, None).await;
        assert_eq!(fate, Fate::Refused, "{fields:?}");
    }
    for fields in [
        and("host", "localhost"),
        and("te", "trailers"),
        // a fragment is nobody's: it is cut off when the target is read, and doesn't go on
        with(":path", "/identity/resources/users/v1/mfa/devices#a"),
    ] {
        let fate = meet(&rig, &fields, None, None).await;
        assert_eq!(fate, Fate::Passes, "{fields:?}");
    }
}

#[tokio::test]
async fn a_field_is_one_field_and_says_nothing_of_the_connection() {
    let rig = Rig::start().await;
    for fields in [
        and("Frontegg-Application-Id", "x"),
        and("x\r\nfrontegg-application-id", "x"),
        and("x: y", "z"),
        and("x y", "z"),
        and("", "z"),
        and("accept", "a\r\nx: y"),
        and("accept", "a\nx: y"),
        and("accept", "a\0b"),
        and("accept", "a\x7fb"),
        and("connection", "close"),
        and("keep-alive", "1"),
        and("proxy-connection", "close"),
        and("transfer-encoding", "chunked"),
        and("upgrade", "h2c"),
        and("te", "gzip"),
        and("frontegg-user-id", "another"),
        and("content-length", "5"),
    ] {
        let fate = meet(&rig, &fields, None, None).await;
        assert_eq!(fate, Fate::Refused, "{fields:?}");
    }
}

#[tokio::test]
async fn a_body_is_as_long_as_is_said_and_nothing_after_it_counts() {
    const BODY: &str = r#"{"token":"1"}"#;
    let rig = Rig::start().await;
    let disable = |length: &'static str| {
        let mut fields = with(":method", "POST");
        fields[3].1 = DISABLE;
        fields.extend([
            ("content-type", "application/json"),
            ("content-length", length),
        ]);
        fields
    };
    for length in ["0", "12", "14", "13, 13", "+13", "0xd", "", "13\r\nx: y"] {
        let fate = meet(&rig, &disable(length), Some(BODY), None).await;
        assert_eq!(fate, Fate::Refused, "{length}");
    }
    let mut two = disable("13");
    two.push(("content-length", "0"));
    assert_eq!(meet(&rig, &two, Some(BODY), None).await, Fate::Refused);
    // nothing that comes after a body is read
    let trailers = vec![(":path", DEVICES), ("frontegg-user-id", "another")];
    let fate = meet(&rig, &disable("13"), Some(BODY), Some(&trailers)).await;
    assert_eq!(fate, Fate::Passes);
}

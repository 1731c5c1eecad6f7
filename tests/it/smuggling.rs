//! Requests that two readers could cut differently. Each has one reading here or is refused,
//! and where its end is in doubt, so is all that follows: the connection closes.

use crate::support::{Call, Raw, Rig};

const DISABLE: &str = "/identity/resources/users/v1/mfa/authenticator/device-1/disable/verify";
const DEVICES: &str = "/identity/resources/users/v1/mfa/devices";

/// A whole body, and the same in one chunk.
const BODY: &str = r#"{"token":"1"}"#;
const CHUNKED: &str = "d\r\n{\"token\":\"1\"}\r\n0\r\n\r\n";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered by the vendor, and the connection stays.
    Passes,
    /// It is answered by the vendor, and the connection closes.
    PassesLast,
    /// It is refused with this status, and the connection stays.
    Refused(u16),
    /// It is refused with this status, if with any word, and the connection closes.
    RefusedLast(u16),
}

use Fate::{Passes, PassesLast, Refused, RefusedLast};

/// Sends bytes (`HOST` in them stands for the gateway), sees what comes back, and whether another
/// request over the same connection is answered.
async fn meet(rig: &Rig, bytes: &str, fate: Fate) {
    let host = &rig.addresses[0];
    let mut connection = Raw::open(&rig.client).await;
    connection.send(bytes.replace("HOST", host)).await;
    let reply = connection.reply().await;
    let status = reply.as_ref().map(|reply| reply.status.as_u16());
    let code = reply.as_ref().and_then(|reply| reply.code());
    match fate {
        Passes | PassesLast => assert!(reply.is_some() && code.is_none(), "{bytes}: {reply:?}"),
        Refused(expected) => assert_eq!(status, Some(expected), "{bytes}"),
        RefusedLast(expected) => assert_eq!(status.unwrap_or(expected), expected, "{bytes}"),
    }
    if let Some(reply) = reply.filter(|reply| reply.headers.contains_key("x-request-id")) {
        rig.check(&Call::new(http::Method::POST, "/"), &reply);
    }
    connection
        .send(request("frontegg-user-id: another\r\n", "").replace("HOST", host))
        .await;
    let stays = connection.reply().await.is_some();
    assert_eq!(
        stays,
        matches!(fate, Passes | Refused(_)),
        "whether it stays: {bytes}"
    );
    let received = rig.vendor.received();
    let smuggled = |name| {
        received
            .iter()
            .find(|received| received.header(name) == Some("smuggled"))
    };
    assert!(
        smuggled("frontegg-user-id").is_none(),
        "{bytes} let through a hidden request"
    );
}

/// A request for the user's devices, with further headers.
fn request(headers: &str, rest: &str) -> String {
    format!("GET {DEVICES} HTTP/1.1\r\nhost: HOST\r\n{headers}\r\n{rest}")
}

/// A request that takes a body, with further headers.
fn disable(headers: &str, rest: &str) -> String {
    format!(
        "POST {DISABLE} HTTP/1.1\r\nhost: HOST\r\nfrontegg-user-id: ann\r\ncontent-type: application/json\r\n{headers}\r\n{rest}"
    )
}

/// A request that the body of another one may hide.
fn hidden() -> String {
    request("frontegg-user-id: smuggled\r\n", "")
}

#[tokio::test]
async fn with_two_lengths_the_chunks_count_and_nothing_follows() {
    let rig = Rig::start().await;
    let rest = format!("{CHUNKED}{}", hidden());
    let length = rest.len();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("transfer-encoding: CHUNKED\r\nContent-Length: {length}\r\n"),
        "content-length: 3\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ncontent-length: nonsense\r\n".to_owned(),
    ] {
        meet(&rig, &disable(&headers, &rest), PassesLast).await;
    }
    // read by its length, the second request would be this one's body
    let none = format!("0\r\n\r\n{}", hidden());
    let headers = format!(
        "content-length: {}\r\ntransfer-encoding: chunked\r\n",
        none.len()
    );
    meet(&rig, &disable(&headers, &none), RefusedLast(400)).await;
}

#[tokio::test]
async fn a_coding_that_does_not_end_in_chunked_is_refused() {
    let rig = Rig::start().await;
    let rest = format!("{CHUNKED}{}", hidden());
    for coding in [
        "transfer-encoding: xchunked\r\ncontent-length: 13\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\ncontent-length: 13\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;x=y\r\n",
        "transfer-encoding:\r\ncontent-length: 13\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "transfer-encoding:\x0bchunked\r\n",
        "x: y\r\n transfer-encoding: chunked\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "x: y\rtransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\0\r\n",
    ] {
        meet(&rig, &disable(coding, &rest), RefusedLast(400)).await;
    }
    let old = disable("transfer-encoding: chunked\r\n", &rest).replace("HTTP/1.1", "HTTP/1.0");
    meet(&rig, &old, RefusedLast(400)).await;
}

#[tokio::test]
async fn a_name_with_an_underscore_says_nothing_of_the_body() {
    let rig = Rig::start().await;
    let headers = "content-length: 13\r\ntransfer_encoding: chunked\r\n";
    meet(&rig, &disable(headers, BODY), Passes).await;
    meet(
        &rig,
        &disable(
            "transfer-encoding: chunked\r\ncontent_length: 3\r\n",
            CHUNKED,
        ),
        Passes,
    )
    .await;
}

#[tokio::test]
async fn there_is_one_length_and_it_is_a_number() {
    let rig = Rig::start().await;
    let rest = format!("{BODY}{}", hidden());
    let all = format!("content-length: 13\r\ncontent-length: {}\r\n", rest.len());
    for headers in [
        &*all,
        "content-length: 13\r\ncontent-length: 0\r\n",
        "content-length: 13, 13\r\n",
        "content-length: +13\r\n",
        "content-length: -13\r\n",
        "content-length: 0x0d\r\n",
        "content-length: 13 13\r\n",
        "content-length: 13.0\r\n",
        "content-length: 1_3\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length : 13\r\n",
        "content-length: 1\r\n 3\r\n",
    ] {
        meet(&rig, &disable(headers, &rest), RefusedLast(400)).await;
    }
    for headers in [
        "content-length: 13\r\ncontent-length: 13\r\n",
        "content-length:\t13 \r\n",
        "content-length: 00013\r\n",
    ] {
        meet(&rig, &disable(headers, BODY), Passes).await;
    }
}

#[tokio::test]
async fn chunks_are_what_they_should_be_or_refused() {
    let rig = Rig::start().await;
    for chunks in [
        "0xd\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "-1\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "+d\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "g\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "d\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "d\r{\"token\":\"1\"}\r\n0\r\n\r\n",
        "d;a\nb\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "d\r\n{\"token\":\"1\"}0\r\n\r\n",
        "d\r\n{\"token\":\"1\"}XX0\r\n\r\n",
        "c\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "1000000000000000d\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "ffffffffffffffffffffd\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
    ] {
        let rest = format!("{chunks}{}", hidden());
        let bytes = disable("transfer-encoding: chunked\r\n", &rest);
        meet(&rig, &bytes, RefusedLast(400)).await;
    }
    for chunks in [
        CHUNKED,
        "D;name=value\r\n{\"token\":\"1\"}\r\n000\r\n\r\n",
        "0000d\r\n{\"token\":\"1\"}\r\n0\r\n\r\n",
        "1\r\n{\r\nc\r\n\"token\":\"1\"}\r\n0\r\n\r\n",
    ] {
        meet(
            &rig,
            &disable("transfer-encoding: chunked\r\n", chunks),
            Passes,
        )
        .await;
    }
}

#[tokio::test]
async fn what_comes_after_the_last_chunk_names_nobody() {
    let rig = Rig::start().await;
    let trailers = "d\r\n{\"token\":\"1\"}\r\n0\r\nfrontegg-user-id: smuggled\r\nauthorization: smuggled\r\n\r\n";
    let bytes = disable(
        "transfer-encoding: chunked\r\ntrailer: frontegg-user-id\r\n",
        trailers,
    );
    meet(&rig, &bytes, Passes).await;
}

#[tokio::test]
async fn a_head_is_well_formed_or_refused() {
    let rig = Rig::start().await;
    for bytes in [
        format!("GET {DEVICES}\r\n\r\n"),
        format!("GET {DEVICES} HTTP/0.9\r\nhost: HOST\r\n\r\n"),
        format!("GET {DEVICES} HTTP/1.2\r\nhost: HOST\r\n\r\n"),
        format!("GET {DEVICES} HTTP/3.0\r\nhost: HOST\r\n\r\n"),
        format!("GET  {DEVICES} HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        format!("GET {DEVICES} x HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        format!("GET\t{DEVICES} HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        format!("GET {DEVICES} HTTP/1.1\r\n host: HOST\r\n\r\n"),
        format!("G\x01T {DEVICES} HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        format!("GET {DEVICES}\x7f HTTP/1.1\r\nhost: HOST\r\n\r\n"),
        request("no colon\r\n", ""),
        request(": no name\r\n", ""),
        request("two words: x\r\n", ""),
        request("x: a\0b\r\n", ""),
        request("x: a\x08b\r\n", ""),
        request("x: folded\r\n\tfrontegg-user-id: smuggled\r\n", ""),
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
    ] {
        meet(&rig, &bytes, RefusedLast(400)).await;
    }
}

#[tokio::test]
async fn a_line_may_end_in_a_newline_alone_and_is_a_line_all_the_same() {
    let rig = Rig::start().await;
    // RFC 9112, section 2.2. So the header after it is seen, and counts as one.
    meet(&rig, &request("frontegg-user-id: ann\n", ""), Passes).await;
    let two = request("frontegg-user-id: ann\nfrontegg-user-id: bob\r\n", "");
    meet(&rig, &two, Refused(400)).await;
    let doubtful = disable("x: y\ncontent-length: 3\r\ncontent-length: 13\r\n", BODY);
    meet(&rig, &doubtful, RefusedLast(400)).await;
}

#[tokio::test]
async fn a_target_names_no_other_host() {
    let rig = Rig::start().await;
    let get = |target: &str, host: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nfrontegg-user-id: ann\r\n\r\n")
    };
    let own = format!("http://HOST{DEVICES}");
    let foreign = format!("http://evil.example{DEVICES}");
    meet(&rig, &get(&own, "HOST"), Passes).await;
    meet(&rig, &get(&foreign, "evil.example"), Refused(421)).await;
    meet(&rig, &get(&foreign, "HOST"), Refused(400)).await;
    meet(&rig, &get(&own, "evil.example"), Refused(400)).await;
    meet(
        &rig,
        &get(&own.replace("HOST", "ann@HOST"), "HOST"),
        Refused(400),
    )
    .await;
    meet(
        &rig,
        &get(&own.replace("http", "ftp"), "HOST"),
        Refused(404),
    )
    .await;
    meet(&rig, &get(DEVICES, "HOST\r\nhost: HOST"), Refused(400)).await;
    meet(&rig, &get(DEVICES, ""), Refused(400)).await;
    let none = format!("GET {DEVICES} HTTP/1.1\r\nfrontegg-user-id: ann\r\n\r\n");
    meet(&rig, &none, Refused(400)).await;
}

#[tokio::test]
async fn neither_a_tunnel_nor_an_echo_is_to_be_had() {
    let rig = Rig::start().await;
    let connect = "CONNECT HOST HTTP/1.1\r\nhost: HOST\r\n\r\n";
    let mut connection = Raw::open(&rig.client).await;
    connection
        .send(connect.replace("HOST", &rig.addresses[0]))
        .await;
    let reply = connection.reply().await.unwrap();
    assert!(reply.status.is_client_error(), "{reply:?}");
    let foreign = "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n";
    let mut connection = Raw::open(&rig.client).await;
    connection.send(foreign).await;
    assert_eq!(connection.reply().await.unwrap().status, 421);
    let trace = format!("TRACE {DEVICES} HTTP/1.1\r\nhost: HOST\r\nx-secret: s3cr3t\r\n\r\n");
    meet(&rig, &trace, Refused(405)).await;
    let upgrade = request(
        "frontegg-user-id: ann\r\nupgrade: h2c\r\nconnection: upgrade\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "",
    );
    meet(&rig, &upgrade, Refused(400)).await;
}

#[tokio::test]
async fn a_connection_of_http_1_0_closes_unless_it_is_asked_to_stay() {
    let rig = Rig::start().await;
    let old = |headers: &str| disable(headers, BODY).replace("HTTP/1.1", "HTTP/1.0");
    meet(&rig, &old("content-length: 13\r\n"), PassesLast).await;
    let stay = old("content-length: 13\r\nconnection: keep-alive\r\n");
    meet(&rig, &stay, Passes).await;
    let close = disable("content-length: 13\r\nconnection: close\r\n", BODY);
    meet(&rig, &close, PassesLast).await;
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_their_order() {
    let rig = Rig::start().await;
    let host = &rig.addresses[0];
    let mut connection = Raw::open(&rig.client).await;
    let devices = request("frontegg-user-id: ann\r\n", "");
    let nowhere = devices.replace(DEVICES, "/nowhere");
    let both = format!(
        "{devices}{nowhere}{}",
        disable("content-length: 13\r\n", BODY)
    );
    connection.send(both.replace("HOST", host)).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(connection.reply().await.unwrap().code());
    }
    assert_eq!(codes, [None, Some("route-not-found".to_owned()), None]);
}

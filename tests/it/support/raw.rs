//! A connection over which any bytes can be sent.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Client, Reply, within};

/// An open TCP connection to the gateway.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn open(client: &Client) -> Self {
        let Client::Tcp(address) = client else {
            panic!("only plain TCP takes any bytes");
        };
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// Sends bytes; the other end may have hung up before it had them all.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .await
            .unwrap_or_default();
    }

    /// The next answer; `None` where the connection ended instead.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half an answer: {:?}", self.text());
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut reply = parse(&head);
        let length = reply
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await, "half a body: {:?}", self.text());
        }
        reply.body = self.read.drain(..length).collect();
        Some(reply)
    }

    /// Reads until the other end hangs up, and gives what came.
    pub(crate) async fn end(mut self) -> Vec<u8> {
        while self.more().await {}
        self.read
    }

    async fn more(&mut self) -> bool {
        let read = within("bytes", self.stream.read_buf(&mut self.read)).await;
        // a reset is an end too
        read.is_ok_and(|count| count > 0)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

fn parse(head: &str) -> Reply {
    let mut lines = head.trim_end().lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    Reply {
        status: StatusCode::from_bytes(status.as_bytes()).unwrap(),
        headers,
        body: Bytes::new(),
    }
}

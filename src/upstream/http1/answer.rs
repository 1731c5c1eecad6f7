//! One whole answer, read from what has come so far. Without a socket, so that any bytes can be
//! tried on it.

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;

use super::{
    chunks::Chunks,
    head::{self, Fault, Framing, Head},
};
use crate::upstream::{MAX_ANSWER, Reply, UpstreamError};

/// Reads one answer.
#[derive(Default)]
pub(super) struct Reader {
    /// `None`: it has not come yet.
    head: Option<Head>,
    chunks: Chunks,
}

/// An answer, and whether its connection takes another request.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) persists: bool,
}

impl Reader {
    /// Takes what has come off `received`; `None`: there is more to come. What comes after the
    /// answer stays there.
    pub(super) fn take(
        &mut self,
        received: &mut BytesMut,
    ) -> Result<Option<Answer>, UpstreamError> {
        let Some(head) = self.head(received)? else {
            return Ok(None);
        };
        let body = match head.framing {
            Framing::Length(length) => match received.get(..length) {
                Some(body) => {
                    // a copy, so that the buffer serves the next answer too
                    let body = Bytes::copy_from_slice(body);
                    received.advance(length);
                    body
                }
                None => return self.wait_with(head),
            },
            Framing::Chunked if self.chunks.take(received)? => self.chunks.body(),
            Framing::UntilClose if received.len() > MAX_ANSWER => {
                return Err(UpstreamError::AnswerTooLarge);
            }
            Framing::Chunked | Framing::UntilClose => return self.wait_with(head),
        };
        Ok(Some(Answer {
            reply: Reply::new(head.status, head.passed, body),
            persists: head.persists,
        }))
    }

    /// Nothing more will come: the answer, where that is its end.
    pub(super) fn end(self, received: &mut BytesMut) -> Result<Answer, UpstreamError> {
        let until_close = |head: &Head| head.framing == Framing::UntilClose;
        let Some(head) = self.head.filter(until_close) else {
            return Err(Fault::Cut.into());
        };
        Ok(Answer {
            reply: Reply::new(head.status, head.passed, received.split().freeze()),
            persists: false,
        })
    }

    /// The head of the final answer; interim ones are passed over (RFC 9110, section 15.2).
    fn head(&mut self, received: &mut BytesMut) -> Result<Option<Head>, UpstreamError> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        while !received.is_empty()
            && let Some((head, length)) = head::read(received)?
        {
            received.advance(length);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(UpstreamError::SwitchedProtocols);
            }
            if !head.status.is_informational() {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what its caller returns")]
    fn wait_with(&mut self, head: Head) -> Result<Option<Answer>, UpstreamError> {
        self.head = Some(head);
        Ok(None)
    }
}

/// For fuzzing: any bytes are an answer or none, and the same one however they are cut.
#[cfg(any(test, fuzzing))]
pub(in crate::upstream) fn is_one_however_it_comes(data: &[u8]) {
    let at_once = read(data.chunks(data.len().max(1)));
    let in_bytes = read(data.chunks(1));
    match (at_once, in_bytes) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "it is read in two ways"),
        // which of two faults is found first depends on what has come
        (Err(_), Err(_)) => {}
        (one, other) => assert_eq!(one.is_ok(), other.is_ok(), "it is an answer, and is none"),
    }
}

/// Status and body of an answer that comes in these parts, and what is left beyond it.
#[cfg(any(test, fuzzing))]
fn read<'a>(
    parts: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<(StatusCode, Bytes, Vec<u8>)>, UpstreamError> {
    let (mut reader, mut received) = (Reader::default(), BytesMut::new());
    let mut found = None;
    for part in parts {
        received.extend_from_slice(part);
        if found.is_none() {
            found = reader.take(&mut received)?;
        }
    }
    Ok(found.map(|answer| {
        let (status, _headers, body) = answer.reply.into_parts();
        (status, body, received.to_vec())
    }))
}

//! A body in chunks (RFC 9112, section 7.1), taken apart as it comes.

use bytes::{Buf, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Status, parse_chunk_size, parse_headers};

use super::head::{Fault, MAX_FIELDS, MAX_HEAD};
use crate::upstream::{MAX_ANSWER, UpstreamError};

/// Takes one body apart.
#[derive(Default)]
pub(super) struct Chunks {
    next: Next,
    body: BytesMut,
}

/// What comes next.
#[derive(Default)]
enum Next {
    #[default]
    Size,
    /// So many bytes, and then the end of the chunk.
    Data(usize),
    Trailers,
}

impl Chunks {
    /// Takes what has come off `received`; true once the last of it is there.
    pub(super) fn take(&mut self, received: &mut BytesMut) -> Result<bool, UpstreamError> {
        loop {
            let taken = match self.next {
                Next::Size => self.size(received)?,
                Next::Data(left) => self.data(left, received)?,
                Next::Trailers => return end_of_trailers(received),
            };
            if !taken {
                return Ok(false);
            }
        }
    }

    /// The body, once it is whole.
    pub(super) fn body(&mut self) -> Bytes {
        self.body.split().freeze()
    }

    fn size(&mut self, received: &mut BytesMut) -> Result<bool, UpstreamError> {
        let parsed = parse_chunk_size(received).map_err(|_invalid| Fault::Chunk)?;
        let Status::Complete((length, size)) = parsed else {
            return within_bounds(received);
        };
        // SECURITY: the parser takes a line without a digit for a zero, and lets an extension
        // hold a line's end that others would see
        let line = received.get(..length.saturating_sub(2)).unwrap_or_default();
        if !line.first().is_some_and(u8::is_ascii_hexdigit) || line.contains(&b'\n') {
            return Err(Fault::Chunk.into());
        }
        if length > MAX_HEAD {
            return Err(Fault::Long.into());
        }
        received.advance(length);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if self.body.len().saturating_add(size) > MAX_ANSWER {
            return Err(UpstreamError::AnswerTooLarge);
        }
        self.next = match size {
            0 => Next::Trailers,
            size => Next::Data(size),
        };
        Ok(true)
    }

    fn data(&mut self, left: usize, received: &mut BytesMut) -> Result<bool, UpstreamError> {
        let part = received.split_to(left.min(received.len()));
        self.body.extend_from_slice(&part);
        let left = left.saturating_sub(part.len());
        self.next = Next::Data(left);
        match received.get(..2) {
            Some(b"\r\n") if left == 0 => {
                received.advance(2);
                self.next = Next::Size;
                Ok(true)
            }
            Some(_) if left == 0 => Err(Fault::Chunk.into()),
            Some(_) | None => Ok(false),
        }
    }
}

/// Trailers say nothing that goes on, but they end the body.
fn end_of_trailers(received: &mut BytesMut) -> Result<bool, UpstreamError> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let parsed = parse_headers(received, &mut fields).map_err(Fault::from)?;
    let Status::Complete((length, _fields)) = parsed else {
        return within_bounds(received);
    };
    if length > MAX_HEAD {
        return Err(Fault::Long.into());
    }
    received.advance(length);
    Ok(true)
}

/// False: there is more to come; and not so much that it must be refused.
fn within_bounds(received: &BytesMut) -> Result<bool, UpstreamError> {
    if received.len() >= MAX_HEAD {
        return Err(Fault::Long.into());
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn whole(text: &str) -> Result<Option<(Bytes, usize)>, UpstreamError> {
        let (mut chunks, mut received) = (Chunks::default(), BytesMut::from(text));
        let whole = chunks.take(&mut received)?;
        Ok(whole.then(|| (chunks.body(), received.len())))
    }

    #[test]
    fn chunks_are_joined_and_trailers_passed_over() {
        let text = "3;x=y\r\nabc\r\n00A\r\n0123456789\r\n0\r\ndigest: x\r\n\r\nrest";
        let (body, left) = whole(text).unwrap().unwrap();
        assert_eq!((&*body, left), (&b"abc0123456789"[..], 4));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for text in [
            "x\r\n",
            "-1\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n\n",
            "fffffffffffffffff\r\n",
            "0\r\nno trailer\r\n\r\n",
            "\r\n\r\n",
            ";x\r\n\r\n",
            "3\r\nabc\r\n\r\n\r\n",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
        ] {
            let error = whole(text).unwrap_err();
            assert!(matches!(error, UpstreamError::BadAnswer(_)), "{text:?}");
        }
        let long = "x".repeat(MAX_HEAD);
        for text in [
            format!("3;{long}"),
            format!("3;{long}\r\nabc\r\n"),
            format!("0\r\nx: {long}\r\n\r\n"),
        ] {
            assert!(matches!(whole(&text), Err(UpstreamError::BadAnswer(_))));
        }
    }

    #[test]
    fn a_chunk_that_would_be_too_much_is_not_waited_for() {
        let error = whole(&format!("{:x}\r\n", MAX_ANSWER + 1)).unwrap_err();
        assert!(matches!(error, UpstreamError::AnswerTooLarge));
        let error = whole(&format!("1\r\na\r\n{MAX_ANSWER:x}\r\n")).unwrap_err();
        assert!(matches!(error, UpstreamError::AnswerTooLarge));
    }

    proptest! {
        #[test]
        fn however_it_comes_it_is_the_same_body(
            parts in vec(vec(any::<u8>(), 1..50), 0..8),
            cuts in vec(1_usize..40, 1..200),
        ) {
            let mut sent = Vec::new();
            for part in &parts {
                sent.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                sent.extend_from_slice(part);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\nnext");
            let (mut chunks, mut received) = (Chunks::default(), BytesMut::new());
            let (mut rest, mut cuts, mut ended) = (&sent[..], cuts.iter().cycle(), false);
            while !ended {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                prop_assert!(!now.is_empty());
                received.extend_from_slice(now);
                ended = chunks.take(&mut received).unwrap();
                rest = later;
            }
            received.extend_from_slice(rest);
            prop_assert_eq!(chunks.body(), parts.concat());
            prop_assert_eq!(&received[..], b"next");
        }
    }
}

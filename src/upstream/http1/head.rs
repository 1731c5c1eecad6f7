//! The head of an answer in HTTP/1.1, and what it says of the body (RFC 9112).
//!
//! An answer has one reading or is none. Where it ends is the end of what belongs to this request,
//! and what comes after it would belong to another user's: so a length that can be understood in
//! two ways is refused, and a connection on which anything is unusual takes no further request.

use std::mem::MaybeUninit;

use http::{
    HeaderName, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::{Header, ParserConfig, Status};

use crate::upstream::{MAX_ANSWER, UpstreamError, reply::Passed};

/// Fields of a head that are taken.
pub(super) const MAX_FIELDS: usize = 100;
/// Bytes of a head, or of what stands between and after chunks.
pub(super) const MAX_HEAD: usize = 32 * 1024;

/// Why what came is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a chunk's size is not one, or its end is not where it says")]
    Chunk,
    #[error("it ends before it is whole")]
    Cut,
    #[error("its length can be read in two ways")]
    Length,
    #[error("its head or its trailers are longer than 32 KiB")]
    Long,
    #[error("it is no HTTP/1.1: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("its transfer coding is another than chunked")]
    TransferCoding,
}

impl From<Fault> for UpstreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Cut => Self::Broken(fault.into()),
            Fault::Chunk
            | Fault::Length
            | Fault::Long
            | Fault::Malformed(_)
            | Fault::TransferCoding => Self::BadAnswer(fault.into()),
        }
    }
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// After so many bytes; at most [`MAX_ANSWER`].
    Length(usize),
    UntilClose,
}

/// What stands before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) passed: Passed,
    pub(super) framing: Framing,
    /// Whether the vendor says that the connection takes another request.
    pub(super) persists: bool,
}

/// Reads a head, and says how many bytes it is; `None`: it is not whole yet.
pub(super) fn read(received: &[u8]) -> Result<Option<(Head, usize)>, UpstreamError> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, received, &mut fields)
        .map_err(Fault::from)?;
    let Status::Complete(length) = parsed else {
        if received.len() >= MAX_HEAD {
            return Err(Fault::Long.into());
        }
        return Ok(None);
    };
    if length > MAX_HEAD {
        return Err(Fault::Long.into());
    }
    let code = response.code.unwrap_or_default();
    let status = StatusCode::from_u16(code);
    let status = status.map_err(|_below_100| Fault::Malformed(httparse::Error::Status))?;
    let mut reading = Reading::default();
    for field in response.headers.iter() {
        reading.field(field)?;
    }
    let is_http11 = response.version == Some(1);
    if reading.chunked && !is_http11 {
        return Err(Fault::TransferCoding.into());
    }
    let head = Head {
        framing: reading.framing(status)?,
        // HTTP/1.0 would have to say so, and then it is still not worth it
        persists: is_http11 && !reading.closes && !reading.has_a_body_too_many(status),
        passed: reading.passed,
        status,
    };
    Ok(Some((head, length)))
}

/// A head as far as it was read.
#[derive(Default)]
struct Reading {
    passed: Passed,
    length: Option<u64>,
    chunked: bool,
    closes: bool,
}

impl Reading {
    fn field(&mut self, field: &Header<'_>) -> Result<(), UpstreamError> {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_invalid| Fault::Malformed(httparse::Error::HeaderName))?;
        match name {
            CONNECTION => {
                let mut options = field.value.split(|byte| *byte == b',');
                self.closes |= options.any(|option| is(option, b"close"));
            }
            CONTENT_LENGTH => {
                let length = number(field.value).ok_or(Fault::Length)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(Fault::Length.into());
                }
                self.length = Some(length);
            }
            TRANSFER_ENCODING => {
                if self.chunked || !is(field.value, b"chunked") {
                    return Err(Fault::TransferCoding.into());
                }
                self.chunked = true;
            }
            name => {
                let offered = self.passed.offer(name, field.value);
                offered.map_err(|_invalid| Fault::Malformed(httparse::Error::HeaderValue))?;
            }
        }
        Ok(())
    }

    /// Whether it speaks of a body where there can be none. One may follow all the same.
    fn has_a_body_too_many(&self, status: StatusCode) -> bool {
        status == StatusCode::NO_CONTENT && (self.chunked || self.length > Some(0))
    }

    fn framing(&self, status: StatusCode) -> Result<Framing, UpstreamError> {
        const NOTHING: Framing = Framing::Length(0);
        match (status, self.chunked, self.length) {
            // RFC 9112, section 6.3: whatever it says, there is none
            (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _, _) => Ok(NOTHING),
            (status, _, _) if status.is_informational() => Ok(NOTHING),
            // SECURITY: the vendor and a proxy before it may each believe another of the two
            (_, true, Some(_)) => Err(Fault::Length.into()),
            (_, true, None) => Ok(Framing::Chunked),
            (_, false, None) => Ok(Framing::UntilClose),
            (_, false, Some(length)) => match usize::try_from(length) {
                Ok(length) if length <= MAX_ANSWER => Ok(Framing::Length(length)),
                Ok(_) | Err(_) => Err(UpstreamError::AnswerTooLarge),
            },
        }
    }
}

fn is(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(word)
}

/// Digits, and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(value).ok().filter(|_text| digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read(text: &str) -> Result<Option<(Head, usize)>, UpstreamError> {
        super::read(text.as_bytes())
    }

    fn framing(fields: &str) -> Framing {
        let (head, _length) = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
            .unwrap()
            .unwrap();
        head.framing
    }

    #[test]
    fn the_head_says_where_the_body_ends() {
        assert_eq!(framing("content-length: 3\r\n"), Framing::Length(3));
        assert_eq!(
            framing("Content-Length: 3\r\ncontent-length: 3\r\n"),
            Framing::Length(3)
        );
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
        assert_eq!(framing("server: x\r\n"), Framing::UntilClose);
        for status in ["100 Continue", "204 No Content", "304 Not Modified"] {
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\n");
            let (head, _length) = read(&text).unwrap().unwrap();
            assert_eq!(head.framing, Framing::Length(0), "{status}");
        }
    }

    #[test]
    fn a_length_that_can_be_read_in_two_ways_is_refused() {
        for fields in [
            "content-length: 3\r\ncontent-length: 4\r\n",
            "content-length: 3, 3\r\n",
            "content-length: +3\r\n",
            "content-length: 3x\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: identity\r\n",
            "content-length : 3\r\n",
            "transfer-encoding: chunked, chunked\r\n",
            "x: folded\r\n over lines\r\n",
        ] {
            let error = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap_err();
            assert!(matches!(error, UpstreamError::BadAnswer(_)), "{fields:?}");
        }
    }

    #[test]
    fn a_body_that_is_announced_as_too_long_is_not_waited_for() {
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            MAX_ANSWER + 1
        );
        let error = read(&text).unwrap_err();
        assert!(matches!(error, UpstreamError::AnswerTooLarge));
    }

    #[test]
    fn only_http_1_1_that_does_not_close_persists() {
        let persists = |text: &str| read(text).unwrap().unwrap().0.persists;
        assert!(persists("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(persists(
            "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n"
        ));
        assert!(!persists(
            "HTTP/1.1 200 OK\r\nconnection: te, Close\r\n\r\n"
        ));
        assert!(!persists(
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\n"
        ));
    }

    #[test]
    fn what_could_be_followed_by_a_body_that_nobody_expects_does_not_persist() {
        let persists = |text: &str| read(text).unwrap().unwrap().0.persists;
        assert!(persists(
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"
        ));
        assert!(!persists(
            "HTTP/1.1 204 No Content\r\ncontent-length: 1\r\n\r\n"
        ));
        let error = read("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        assert!(matches!(error, UpstreamError::BadAnswer(_)));
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        assert!(matches!(read(&long), Err(UpstreamError::BadAnswer(_))));
        let whole = format!("{long}\r\n\r\n");
        assert!(matches!(read(&whole), Err(UpstreamError::BadAnswer(_))));
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_FIELDS + 1)
        );
        assert!(matches!(read(&many), Err(UpstreamError::BadAnswer(_))));
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_however_much_of_it_came_first(
            fields in vec("(date|etag|server|x-rate-limit-a): [!-~]{1,20}", 0..8),
            rest in "[ -~]{0,20}",
        ) {
            let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let start = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            for end in 0..start.len() {
                prop_assert!(super::read(&start.as_bytes()[..end]).unwrap().is_none(), "{}", end);
            }
            let (_head, length) = read(&format!("{start}{rest}")).unwrap().unwrap();
            prop_assert_eq!(length, start.len());
        }
    }
}

//! The PROXY protocol, version 2: a connection's first bytes say from where a proxy passes it on.
//!
//! (The specification is HAProxy's, `doc/proxy-protocol.txt`.) Read strictly: what is not exactly
//! such a header ends the connection, so that no byte of it is ever taken for TLS or HTTP. Whether
//! who sent it is believed is decided before.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const FIXED: usize = 16;
/// Addresses and extensions. The largest that are seen hold a client certificate's names.
const LONGEST: u16 = 4_096;

/// Why the first bytes are no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderFault {
    #[error("the command is neither LOCAL nor PROXY")]
    Command,
    #[error("the family is none of a stream's")]
    Family,
    #[error("it broke off: {0}")]
    Io(#[from] io::Error),
    #[error("the length is not that of the addresses and what may follow them")]
    Length,
    #[error("it does not start with the signature of version 2")]
    Signature,
}

/// Reads a header, and not a byte more. `None`: the proxy speaks for itself, or does not say
/// for whom.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<IpAddr>, HeaderFault> {
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let head = Head::parse(&fixed)?;
    let mut rest = vec![0; head.length];
    stream.read_exact(&mut rest).await?;
    head.origin(&rest)
}

/// What the fixed part says.
#[derive(Debug)]
struct Head {
    family: Family,
    /// Of what follows.
    length: usize,
}

#[derive(Debug)]
enum Family {
    Ipv4,
    Ipv6,
    Other,
}

impl Head {
    fn parse(fixed: &[u8; FIXED]) -> Result<Self, HeaderFault> {
        let [signature @ .., command, family, high, low] = fixed;
        if *signature != SIGNATURE {
            return Err(HeaderFault::Signature);
        }
        let family = match (command, family) {
            (0x20, _) => Family::Other, // LOCAL: a health check of its own
            (0x21, 0x11) => Family::Ipv4,
            (0x21, 0x21) => Family::Ipv6,
            (0x21, 0x00 | 0x31) => Family::Other,
            (0x21, _) => return Err(HeaderFault::Family),
            (_, _) => return Err(HeaderFault::Command),
        };
        let length = u16::from_be_bytes([*high, *low]);
        if length > LONGEST {
            return Err(HeaderFault::Length);
        }
        Ok(Self {
            family,
            length: usize::from(length),
        })
    }

    /// The source address: the first of the two in `rest`; their ports and extensions follow.
    fn origin(&self, rest: &[u8]) -> Result<Option<IpAddr>, HeaderFault> {
        let (address, block) = match self.family {
            Family::Ipv4 => (
                rest.first_chunk::<4>()
                    .map(|bytes| Ipv4Addr::from(*bytes).into()),
                12,
            ),
            Family::Ipv6 => (
                rest.first_chunk::<16>()
                    .map(|bytes| Ipv6Addr::from(*bytes).into()),
                36,
            ),
            Family::Other => return Ok(None),
        };
        if rest.len() < block {
            return Err(HeaderFault::Length);
        }
        Ok(address)
    }
}

/// For fuzzing: any bytes are a header or a fault, and a header says so much and no more.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_bytes(data: &[u8]) {
    let Some((fixed, rest)) = data.split_first_chunk() else {
        return;
    };
    if let Ok(head) = Head::parse(fixed) {
        assert!(head.length <= usize::from(LONGEST));
        if let Some(rest) = rest.get(..head.length)
            && let Ok(Some(address)) = head.origin(rest)
        {
            assert_eq!(address.is_ipv4(), matches!(head.family, Family::Ipv4));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    async fn parse(bytes: &[u8]) -> (Result<Option<IpAddr>, HeaderFault>, usize) {
        let mut left = bytes;
        let origin = read(&mut left).await;
        (origin, left.len())
    }

    #[tokio::test]
    async fn the_source_is_told_and_what_follows_is_left() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 1, 187];
        let mut bytes = header(0x21, 0x11, &v4);
        bytes.extend_from_slice(b"GET /");
        let (origin, left) = parse(&bytes).await;
        assert_eq!((origin.unwrap(), left), (Some([203, 0, 113, 9].into()), 5));

        let address = "2001:db8::1".parse::<Ipv6Addr>().unwrap();
        let v6 = [&address.octets()[..], &[0; 20], b"\x04\0\x01x"].concat();
        let (origin, left) = parse(&header(0x21, 0x21, &v6)).await;
        assert_eq!((origin.unwrap(), left), (Some(address.into()), 0));
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself_or_not_say_for_whom() {
        let unix = [0; 216];
        for bytes in [
            header(0x20, 0x00, &[]),
            header(0x20, 0x11, &[0; 12]),
            header(0x21, 0x00, b"ext"),
            header(0x21, 0x31, &unix),
        ] {
            assert_eq!(parse(&bytes).await.0.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn anything_else_is_a_fault() {
        let good = header(0x21, 0x11, &[0; 12]);
        for cut in 0..good.len() {
            assert!(
                matches!(parse(&good[..cut]).await.0, Err(HeaderFault::Io(_))),
                "{cut}"
            );
        }
        for (bytes, expected) in [
            (b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n".to_vec(), "signature"),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "signature"),
            (header(0x22, 0x11, &[0; 12]), "command"),
            (header(0x11, 0x11, &[0; 12]), "command"),
            (header(0x21, 0x12, &[0; 12]), "family"),
            (header(0x21, 0x41, &[0; 12]), "family"),
            (header(0x21, 0x11, &[0; 11]), "length"),
            (header(0x21, 0x21, &[0; 35]), "length"),
            (header(0x21, 0x00, &[0; 5000]), "length"),
        ] {
            let fault = parse(&bytes).await.0.unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_signature_are_read_or_refused(
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            any_bytes(&[&SIGNATURE[..], &rest].concat());
        }
    }
}

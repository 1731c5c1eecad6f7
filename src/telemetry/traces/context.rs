//! Which trace a request belongs to: the header `traceparent` (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::single;

/// Says which trace a request belongs to.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The bits of the flags that mean something: sampled, and that the trace's id is random.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// A span that others can be below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) flags: u8,
}

impl Context {
    /// The caller's span, where it named one and one only.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(single(headers, &TRACEPARENT).ok()??.as_bytes())
    }

    /// `version-trace-span-flags`, in lower-case hexadecimal. A version that is not known yet may
    /// say more after that.
    fn parse(text: &[u8]) -> Option<Self> {
        let (&head, more) = text.split_first_chunk::<55>()?;
        let [version] = bytes(head.get(..2)?)?;
        let dashes = [2, 35, 52].map(|place| head.get(place) == Some(&b'-'));
        let closed = more.is_empty() || (version > 0 && more.starts_with(b"-"));
        if version == 0xff || dashes != [true; 3] || !closed {
            return None;
        }
        let [flags] = bytes(head.get(53..)?)?;
        let context = Self {
            trace: bytes(head.get(3..35)?)?,
            span: bytes(head.get(36..52)?)?,
            flags: flags & KNOWN_FLAGS,
        };
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// A new trace.
    pub(super) const fn root(trace: [u8; 16], span: [u8; 8]) -> Self {
        Self {
            trace,
            span,
            flags: SAMPLED,
        }
    }

    /// Whether whoever began the trace wants its spans.
    pub(super) const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// As the next one's parent.
    pub(super) fn to_header(self) -> HeaderValue {
        let mut text = [b'-'; 55];
        let parts: [(usize, &[u8]); 4] = [
            (0, &[0]),
            (3, &self.trace),
            (36, &self.span),
            (53, &[self.flags]),
        ];
        for (start, part) in parts {
            let digits = part.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
            for (place, digit) in text.iter_mut().skip(start).zip(digits) {
                *place = match digit {
                    0..=9 => b'0'.saturating_add(digit),
                    _ => b'a'.saturating_add(digit.saturating_sub(10)),
                };
            }
        }
        #[expect(clippy::expect_used, reason = "digits and dashes are fit for a header")]
        HeaderValue::from_bytes(&text).expect("a traceparent")
    }
}

/// Reads lower-case hexadecimal of exactly `N` bytes.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.saturating_sub(b'0')),
        b'a'..=b'f' => Some(byte.saturating_sub(b'a').saturating_add(10)),
        _ => None,
    };
    let mut read = [0; N];
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    for (byte, &[high, low]) in read.iter_mut().zip(pairs) {
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_standards_own_example_is_read_and_written() {
        let context = Context::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            context.span,
            [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]
        );
        assert!(context.is_sampled());
        assert_eq!(context.to_header(), GOOD);
    }

    #[test]
    fn what_the_standard_forbids_is_no_parent() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
        ] {
            assert_eq!(Context::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-f8-more";
        let context = Context::parse(later.as_bytes()).unwrap();
        assert!(!context.is_sampled());
        assert!(context.to_header().to_str().unwrap().ends_with("-00"));
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(Context::of(&headers), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_parent_or_none(text in "[0-9a-f-]{50,60}|.{0,60}") {
            if let Some(context) = Context::parse(text.as_bytes()) {
                prop_assert_eq!(Context::parse(context.to_header().as_bytes()), Some(context));
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            trace in any::<[u8; 16]>(),
            span in any::<[u8; 8]>(),
            flags in 0_u8..4,
        ) {
            let context = Context { trace, span, flags };
            let read = Context::parse(context.to_header().as_bytes());
            let named = trace != [0; 16] && span != [0; 8];
            prop_assert_eq!(read, named.then_some(context));
        }
    }
}

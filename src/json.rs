//! Writes JSON by hand into a buffer that already exists: an audit record, a refusal and a body
//! that was checked are known forms around a few foreign texts, and some are written for each
//! request. With `serde_json` a refusal's text was a tenth of its instructions.

/// The longest foreign text that an audit record takes, in bytes of its source.
pub(crate) const LONGEST: usize = 128;

/// Appends what is JSON already.
pub(crate) fn raw(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

/// Appends a number after `before`.
pub(crate) fn number(out: &mut Vec<u8>, before: &str, value: impl itoa::Integer) {
    raw(out, before);
    raw(out, itoa::Buffer::new().format(value));
}

/// Appends a string after `before`, all of it.
pub(crate) fn text(out: &mut Vec<u8>, before: &str, value: &str) {
    string_to(out, before, value, usize::MAX);
}

/// Appends a string after `before`, cut to 128 bytes.
pub(crate) fn string(out: &mut Vec<u8>, before: &str, value: &str) {
    string_to(out, before, value, LONGEST);
}

/// Appends a string after `before`, cut to at most `longest` bytes between two characters.
pub(crate) fn string_to(out: &mut Vec<u8>, before: &str, value: &str, longest: usize) {
    raw(out, before);
    out.push(b'"');
    let bytes = cut(value, longest).as_bytes();
    if any_special(bytes) {
        bytes.iter().for_each(|byte| escaped(out, *byte));
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

/// Appends a text of our own, which has nothing to escape, as a string after `before`.
pub(crate) fn word(out: &mut Vec<u8>, before: &str, value: &'static str) {
    debug_assert!(!value.bytes().any(is_special), "{value} is to be escaped");
    raw(out, before);
    out.push(b'"');
    raw(out, value);
    out.push(b'"');
}

fn cut(value: &str, longest: usize) -> &str {
    if value.len() <= longest {
        return value;
    }
    let whole = |end: &usize| value.is_char_boundary(*end);
    let end = (0..=longest).rev().find(whole);
    value.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Appends a header's value, which may hold any byte, as a string after `before`, cut to 128
/// bytes. What isn't UTF-8 is read as Latin-1, as HTTP once had it.
pub(crate) fn foreign(out: &mut Vec<u8>, before: &str, value: &[u8]) {
    if let Ok(text) = str::from_utf8(value) {
        return string(out, before, text);
    }
    raw(out, before);
    out.push(b'"');
    for byte in value.iter().take(LONGEST) {
        if byte.is_ascii() {
            escaped(out, *byte);
        } else {
            out.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 2]).as_bytes());
        }
    }
    out.push(b'"');
}

/// Whether a byte of these can't stand in a string as it is. All are looked at, many at a time,
/// as nearly always there is none.
fn any_special(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |found, byte| found | is_special(*byte))
}

/// Whether a byte can't stand in a string as it is.
const fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f)
}

/// Appends one byte of a string (RFC 8259, section 7). DEL is escaped too: a terminal that
/// shows the log must not obey it.
fn escaped(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        0..=0x1f | 0x7f => {
            raw(out, "\\u00");
            out.extend_from_slice(&hex(byte));
        }
        _ => out.push(byte),
    }
}

/// Two hexadecimal digits, lower case.
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| match nibble {
        0..=9 => b'0'.saturating_add(nibble),
        _ => b'a'.saturating_add(nibble.saturating_sub(10)),
    };
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(out: &[u8]) -> String {
        serde_json::from_slice(out).unwrap()
    }

    #[test]
    fn numbers_follow_what_stands_before() {
        let mut out = Vec::new();
        number(&mut out, "\"a\":", 7_u64);
        assert_eq!(out, b"\"a\":7");
    }

    #[test]
    fn a_header_that_is_not_utf8_is_read_as_latin_1() {
        let mut out = Vec::new();
        foreign(&mut out, "", b"caf\xe9\"");
        assert_eq!(read(&out), "caf\u{e9}\"");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_up_to_the_bound(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, "", &text);
            let back = read(&out);
            prop_assert!(back.len() <= LONGEST);
            prop_assert!(text.starts_with(&back));
            prop_assert!(text.len() > LONGEST || back == text);
            prop_assert!(out.iter().all(|byte| *byte > 0x1f));
        }

        #[test]
        fn all_of_any_text_comes_back(value in any::<String>()) {
            let mut out = Vec::new();
            text(&mut out, "", &value);
            prop_assert_eq!(read(&out), value);
        }

        #[test]
        fn any_bytes_are_a_string_on_one_line(bytes in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            foreign(&mut out, "", &bytes);
            read(&out);
            prop_assert!(!out.contains(&b'\n'));
        }
    }
}

//! `Forwarded` (RFC 7239), read from its right end.
//!
//! Read from the left, a quotation mark that the user left open would swallow what the proxy
//! added behind it. From the right the proxy's own element comes first, and its marks are whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header::FORWARDED};

/// The hops, nearest first; `None` for one whose address isn't told, or that is no element.
pub(super) fn nodes(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(FORWARDED).into_iter().rev();
    lines
        .flat_map(|line| Backwards(Some(line.as_bytes())))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| node(str::from_utf8(element).ok()?))
}

/// The elements of one line from right to left, cut at the commas that aren't quoted.
struct Backwards<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Backwards<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' if !(quoted && is_escaped(line, at)) => quoted = !quoted,
                b',' if !quoted => {
                    let (rest, element) = line.split_at_checked(at)?;
                    self.0 = Some(rest);
                    return element.split_first().map(|(_comma, element)| element);
                }
                _ => {}
            }
        }
        Some(line)
    }
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(line: &[u8], at: usize) -> bool {
    let before = line.iter().take(at).rev();
    before.take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address that an element's one `for` names (sections 4 and 6).
fn node(element: &str) -> Option<IpAddr> {
    let mut rest = element;
    let mut found = None;
    while !rest.is_empty() {
        if let Some(next) = rest.strip_prefix(';') {
            rest = next.trim_start();
            continue;
        }
        let (name, after) = token(rest)?;
        let (value, after) = value(after.strip_prefix('=')?)?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        rest = after.trim_start();
        if !(rest.is_empty() || rest.starts_with(';')) {
            return None;
        }
    }
    address(&found?)
}

/// A token (RFC 9110 5.6.2) and what comes after it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    let (token, rest) = text.split_at_checked(end)?;
    (!token.is_empty()).then_some((token, rest))
}

/// A token or a quoted string, unquoted, and what comes after it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = inside.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            plain => value.push(plain),
        }
    }
}

/// A node's address: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`; no
/// obfuscated name, and not `unknown`.
fn address(node: &str) -> Option<IpAddr> {
    let (address, port) = match node.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            (IpAddr::from(inside.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let end = node.find(':').unwrap_or(node.len());
            let (address, port) = node.split_at_checked(end)?;
            (IpAddr::from(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(port) => match port.strip_prefix('_') {
            Some(hidden) => token(hidden).is_some_and(|(_name, rest)| rest.is_empty()),
            None => port.len() <= 5 && port.parse::<u16>().is_ok() && !port.starts_with('+'),
        },
    };
    is_port.then(|| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_node_is_read_in_all_its_forms() {
        for (element, expected) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
            ("FOR=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=\"192.0.2.43:_hidden\"", "192.0.2.43"),
            ("proto=http; by=203.0.113.43 ;for=192.0.2.60", "192.0.2.60"),
            ("for=\"\\192.0.2.60\";host=\"a;for=x, \\\"y\"", "192.0.2.60"),
            ("for=\"[::ffff:192.0.2.60]\"", "192.0.2.60"),
            (";;for=192.0.2.60;", "192.0.2.60"),
        ] {
            assert_eq!(node(element), expected.parse().ok(), "{element}");
        }
    }

    #[test]
    fn what_tells_no_address_is_none() {
        for element in [
            "for=unknown",
            "for=_gazonk",
            "for=\"_SEVKISEK\"",
            "proto=https",
            "for=",
            "for=[2001:db8::1]",
            "for=2001:db8::1",
            "for=192.0.2.1:80",
            "for=\"2001:db8::1\"",
            "for=\"[2001:db8::1\"",
            "for=\"[192.0.2.1]\"",
            "for=\"192.0.2.1:99999\"",
            "for=\"192.0.2.1:\"",
            "for=\"192.0.2.1:+80\"",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;For=192.0.2.1",
            "for = 192.0.2.1",
            "for=192.0.2.1 by=x",
            "for=\"192.0.2.1",
            "192.0.2.1",
            "for=\"[fe80::1%25eth0]\"",
        ] {
            assert_eq!(node(element), None, "{element}");
        }
    }

    #[test]
    fn a_line_is_cut_at_its_commas_and_not_at_quoted_ones() {
        let cut = |line: &'static str| -> Vec<_> {
            Backwards(Some(line.as_bytes()))
                .map(|element| str::from_utf8(element).unwrap())
                .collect()
        };
        assert_eq!(cut("a, b,c"), ["c", " b", "a"]);
        assert_eq!(cut("a,host=\"x,y\""), ["host=\"x,y\"", "a"]);
        assert_eq!(cut("a,host=\"x\\\",y\",c"), ["c", "host=\"x\\\",y\"", "a"]);
        assert_eq!(cut("for=\"open, for=1"), [" for=1", "for=\"open"]);
        assert_eq!(cut(""), [""]);
    }
}

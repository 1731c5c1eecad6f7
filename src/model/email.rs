//! When are two emails the same account? When their canonical forms are equal.
//!
//! The canonical form is trimmed, NFKC_Casefold (Unicode's form for identifiers: compatibility
//! forms and case are one, what is invisible is dropped), its domain an IDNA A-label without a
//! final dot. What could be read in two ways is refused, not guessed at: a limit that is counted
//! by email holds only if nobody can write the same address in two ways. It is left to others to
//! know whether such an account exists.

use std::{borrow::Cow, fmt};

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::{CodePointSetData, props::DefaultIgnorableCodePoint};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::mac::MacKey;

/// The longest email in bytes (RFC 5321 allows a path of 256, two of which are its brackets).
const LONGEST: usize = 254;

/// Rounds of folding until nothing changes: no character needs more than two, one more sees it.
const ROUNDS: usize = 4;

/// Whether what follows the first `+` of the local part is part of an account's identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subaddress {
    /// It is not: `a+x@example.com` is `a@example.com`.
    Fold,
    /// It is.
    #[default]
    Keep,
}

impl Subaddress {
    /// As the configuration says.
    #[must_use]
    pub const fn fold_if(fold: bool) -> Self {
        if fold { Self::Fold } else { Self::Keep }
    }
}

/// The text is no email that has one reading. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    /// Not exactly one `@`.
    #[error("an email has exactly one @")]
    At,
    /// A character that makes a list, a display name, a quoted form or a comment of it.
    #[error(
        "an email must be bare: no blank, control character, quote, comma, colon, semicolon, bracket or backslash"
    )]
    Character,
    /// The domain is not one.
    #[error("what follows the @ is no domain name")]
    Domain,
    /// Nothing before the `@`, or nothing after it.
    #[error("an email has something on both sides of the @")]
    Empty,
    /// More than 254 bytes.
    #[error("an email has at most {LONGEST} bytes")]
    Length,
    /// The domain is another one once its letters are folded (`ß` is one domain, `ss` another).
    #[error("the domain can be read in two ways: write it in its ASCII form, xn--…")]
    TwoReadings,
}

/// An email in its one spelling.
///
/// Invariant: at most 254 bytes; exactly one `@` with something on both sides; no blank, control
/// character, `"`, `,`, `:`, `;`, `\` or bracket; parsing it again gives the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalEmail(String);

impl CanonicalEmail {
    /// Parses what a caller wrote.
    ///
    /// # Errors
    /// [`EmailError`] where it is no email, or could be read in two ways.
    pub fn parse(text: &str, subaddress: Subaddress) -> Result<Self, EmailError> {
        let written = text.trim();
        let (mut email, written_domain) = if written.is_ascii() {
            (written.to_ascii_lowercase(), None)
        } else {
            let (_local, domain) = parts(written)?;
            (nfkc_casefold(written), Some(domain))
        };
        // SECURITY: after folding, as that makes `@`, `,` and the like of their fullwidth forms.
        let (local, domain) = parts(&email)?;
        let a_label = domain_to_ascii(domain)?;
        if let Some(written) = written_domain.filter(|domain| !domain.is_ascii())
            && domain_to_ascii(written)? != a_label
        {
            return Err(EmailError::TwoReadings);
        }
        if matches!(a_label, Cow::Borrowed(_))
            && !domain.ends_with('.')
            && subaddress == Subaddress::Keep
        {
            return Ok(Self(email)); // as it was checked
        }

        if let Cow::Owned(a_label) = a_label {
            email = format!("{local}@{a_label}");
        }
        if email.ends_with('.') {
            email.pop();
        }
        if subaddress == Subaddress::Fold {
            drop_subaddress(&mut email);
        }
        parts(&email)?;
        Ok(Self(email))
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@` and what after it.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or((&self.0, ""))
    }
}

/// An email is personal: logs see that there was one, not which.
impl fmt::Debug for CanonicalEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanonicalEmail([redacted])")
    }
}

/// A keyed digest of a canonical email: HMAC-SHA256, cut to 16 bytes. It stands for the email
/// where the email itself has no business; without the key nobody can tell which email it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EmailKey([u8; 16]);

impl EmailKey {
    /// The digest of `email` for one `purpose`: under another purpose it is another digest.
    #[must_use]
    pub fn new(key: &MacKey, purpose: &str, email: &CanonicalEmail) -> Self {
        // no purpose has a zero byte, so no two inputs run together
        let hash = key.hash([purpose.as_bytes(), &[0], email.0.as_bytes()]);
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(hash) {
            *to = from;
        }
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Splits at the `@`, and refuses what no email may hold.
fn parts(email: &str) -> Result<(&str, &str), EmailError> {
    if email.len() > LONGEST {
        return Err(EmailError::Length);
    }
    let refused = if email.is_ascii() {
        email.bytes().any(is_refused_ascii)
    } else {
        email.chars().any(is_refused)
    };
    if refused {
        return Err(EmailError::Character);
    }
    let (local, domain) = email.split_once('@').ok_or(EmailError::At)?;
    if domain.contains('@') {
        return Err(EmailError::At);
    }
    if local.is_empty() || domain.is_empty() {
        return Err(EmailError::Empty);
    }
    Ok((local, domain))
}

/// Whether a character would make more of an email than a bare address: a list, a quoted local
/// part, a display name, a comment, a scheme. The apostrophe is an ordinary letter in a mail
/// address (RFC 5322 `atext`): O'Brien has one.
fn is_refused(character: char) -> bool {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => is_refused_ascii(byte),
        Ok(_) | Err(_) => character.is_control() || character.is_whitespace(),
    }
}

/// The same of an ASCII character, of which nearly all emails are: a test of one bit.
const fn is_refused_ascii(byte: u8) -> bool {
    byte.is_ascii_control()
        || matches!(
            byte,
            b' ' | b'"'
                | b','
                | b':'
                | b';'
                | b'\\'
                | b'('
                | b')'
                | b'<'
                | b'>'
                | b'['
                | b']'
                | b'{'
                | b'}'
        )
}

/// UTS #46, non-transitional. An ASCII domain in lower case comes back as it is.
fn domain_to_ascii(domain: &str) -> Result<Cow<'_, str>, EmailError> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::URL,
            Hyphens::Allow,
            DnsLength::VerifyAllowRootDot,
        )
        .map_err(|_opaque| EmailError::Domain)
}

/// Unicode's `toNFKC_Casefold`: decomposed (so that a combining iota folds too), then folded,
/// without what is invisible, and composed, until nothing changes.
fn nfkc_casefold(text: &str) -> String {
    let invisible = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let mut current = text.to_owned();
    for _round in 0..ROUNDS {
        let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(&current);
        let visible: String = CaseMapper::new()
            .fold_string(&decomposed)
            .chars()
            .filter(|character| !invisible.contains(*character))
            .collect();
        let next = ComposingNormalizerBorrowed::new_nfkc()
            .normalize(&visible)
            .into_owned();
        if next == current {
            break;
        }
        current = next;
    }
    current
}

fn drop_subaddress(email: &mut String) {
    if let (Some(plus), Some(at)) = (email.find('+'), email.find('@'))
        && plus < at
    {
        email.replace_range(plus..at, "");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<CanonicalEmail, EmailError> {
        CanonicalEmail::parse(text, Subaddress::Keep)
    }

    fn canonical(text: &str) -> String {
        match parse(text) {
            Ok(email) => email.0,
            Err(error) => panic!("{text:?}: {error}"),
        }
    }

    #[test]
    fn one_account_has_one_form() {
        for same in [
            "user@example.com",
            "  user@example.com\r\n",
            "\u{a0}User@EXAMPLE.com\u{3000}",
            "user@example.com.",
            "u\u{ad}ser@exam\u{200b}ple.com",
            "\u{feff}user@example.com",
            "us\u{200d}er@example.com",
            "\u{ff55}\u{ff53}\u{ff45}\u{ff52}@example.com",
            "\u{1d42e}ser@example.com",
            "user@\u{24d4}xample.com",
            "user@example\u{ff0e}com",
            "user@example\u{3002}com",
            "u\u{17f}er@example.com",
        ] {
            assert_eq!(canonical(same), "user@example.com", "{same:?}");
        }
        for same in [
            "\u{e9}@b\u{fc}cher.example",
            "E\u{301}@BU\u{308}CHER.example",
            "\u{c9}@xn--bcher-kva.example",
            "\u{c9}@XN--BCHER-KVA.example.",
        ] {
            assert_eq!(canonical(same), "\u{e9}@xn--bcher-kva.example", "{same:?}");
        }
        assert_eq!(canonical("STRASSE@x.de"), canonical("stra\u{df}e@x.de"));
        assert_eq!(
            canonical("\u{3b1}\u{345}@x.gr"),
            canonical("\u{391}\u{399}@x.gr")
        );
        assert_eq!(canonical("\u{212a}im@x.com"), "kim@x.com");
    }

    #[test]
    fn what_is_significant_stays() {
        assert_eq!(canonical("First.Last+tag@x.com"), "first.last+tag@x.com");
        assert_eq!(canonical("o'brien@x.ie"), "o'brien@x.ie");
        assert_eq!(canonical("root@localhost"), "root@localhost");
        assert_ne!(canonical("\u{131}@x.com"), canonical("i@x.com"));
    }

    #[test]
    fn a_subaddress_is_folded_by_option() {
        let fold = |text| CanonicalEmail::parse(text, Subaddress::Fold).map(|email| email.0);
        assert_eq!(fold("a+b+c@x.com").unwrap(), "a@x.com");
        assert_eq!(fold("a\u{ff0b}b@x.com").unwrap(), "a@x.com");
        assert_eq!(fold("a@x.com").unwrap(), "a@x.com");
        assert_eq!(fold("+b@x.com"), Err(EmailError::Empty));
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for (text, error) in [
            ("", EmailError::At),
            ("user", EmailError::At),
            ("a@b@c", EmailError::At),
            ("user\u{ff20}x.com", EmailError::At),
            ("a@b\u{fe6b}c", EmailError::At),
            ("@x.com", EmailError::Empty),
            ("a@", EmailError::Empty),
            ("\u{200b}@x.com", EmailError::Empty),
            ("a@x.com,b@x.com", EmailError::Character),
            ("a@x.com\u{ff0c}b", EmailError::Character),
            ("a@x.com;", EmailError::Character),
            ("mailto:a@x.com", EmailError::Character),
            ("A <a@x.com>", EmailError::Character),
            ("<a@x.com>", EmailError::Character),
            ("\"a\"@x.com", EmailError::Character),
            ("\u{ff02}a\u{ff02}@x.com", EmailError::Character),
            ("a(comment)@x.com", EmailError::Character),
            ("a@[127.0.0.1]", EmailError::Character),
            ("a\\b@x.com", EmailError::Character),
            ("a b@x.com", EmailError::Character),
            ("a\u{2003}b@x.com", EmailError::Character),
            ("a\u{a8}@x.com", EmailError::Character),
            ("a\0@x.com", EmailError::Character),
            ("a\u{85}b@x.com", EmailError::Character),
            ("a@x.com \u{200b}", EmailError::Character),
            ("a@.", EmailError::Domain),
            ("a@x..com", EmailError::Domain),
            ("a@x.com..", EmailError::Domain),
            ("a@.x.com", EmailError::Domain),
            ("a@x%2ecom", EmailError::Domain),
            ("a@x/y", EmailError::Domain),
            ("a@xn--\u{fc}.com", EmailError::Domain),
            ("a@xn--zz.com", EmailError::Domain),
            ("a@fa\u{df}.de", EmailError::TwoReadings),
            ("a@\u{3c2}.gr", EmailError::TwoReadings),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn at_most_254_bytes_as_written_and_as_kept() {
        let longest = format!("{}@example.com", "a".repeat(242));
        assert_eq!(canonical(&longest).len(), 254);
        assert_eq!(parse(&format!("a{longest}")), Err(EmailError::Length));
        // U+FDFA is 3 bytes as written, and 33 once it is spelled out
        let grows = format!("{}@example.com", "\u{fdfa}".repeat(8));
        assert_eq!(parse(&grows), Err(EmailError::Length));
    }

    #[test]
    fn debug_shows_nothing() {
        let email = parse("someone@example.com").unwrap();
        assert!(!format!("{email:?}").contains("someone"));
    }

    #[test]
    fn a_digest_depends_on_key_purpose_and_email() {
        let key = |byte| MacKey::new(&[byte; 32]);
        let (a, b) = (parse("a@x.com").unwrap(), parse("b@x.com").unwrap());
        let digest = EmailKey::new(&key(1), "email", &a);
        assert_eq!(digest, EmailKey::new(&key(1), "email", &a));
        assert_ne!(digest, EmailKey::new(&key(2), "email", &a));
        assert_ne!(digest, EmailKey::new(&key(1), "audit", &a));
        assert_ne!(digest, EmailKey::new(&key(1), "email", &b));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own(
            local in "[a-zA-Z.+']{0,3}\\PC{0,6}",
            domain in "(\\PC{0,3}|[a-zA-Z0-9-]{0,4})[.\u{3002}]?(com|\u{df}|\\PC{1,2})[.]?",
            fold in any::<bool>(),
        ) {
            let subaddress = if fold { Subaddress::Fold } else { Subaddress::Keep };
            if let Ok(email) = CanonicalEmail::parse(&format!("{local}@{domain}"), subaddress) {
                prop_assert_eq!(CanonicalEmail::parse(email.as_str(), subaddress), Ok(email.clone()));
                prop_assert_eq!(parse(email.as_str()), Ok(email));
            }
        }

        #[test]
        fn any_text_has_an_answer(text in any::<String>()) {
            if let Ok(email) = parse(&text) {
                let (local, domain) = email.parts();
                prop_assert!(!local.is_empty() && domain.is_ascii());
            }
        }

        #[test]
        fn case_and_form_make_no_difference(local in "[a-z\u{e0}-\u{fc}]{1,8}", domain in "[a-z]{1,8}") {
            let plain = format!("{local}@{domain}.com");
            let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(&plain).into_owned();
            prop_assert_eq!(parse(&plain), parse(&plain.to_uppercase()));
            prop_assert_eq!(parse(&plain), parse(&decomposed));
        }
    }
}

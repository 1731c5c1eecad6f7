//! When are two emails the same account? When their canonical forms are equal.
//!
//! The canonical form is trimmed, NFKC_Casefold (Unicode's form for identifiers: compatibility
//! forms and case are one, what is invisible is dropped), its domain an IDNA A-label without a
//! final dot. What could be read in two ways is refused, not guessed at: a limit that is counted
//! by email holds only if nobody can write the same address in two ways. It is left to others to
//! know whether such an account exists.

#[cfg(test)]
mod tests;

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

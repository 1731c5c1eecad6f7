//! When are two phone numbers the same phone? When their digits are equal.
//!
//! What can't be read in one way is refused, not folded: readers of phone numbers differ in what
//! they take for a digit (other scripts', full-width ones, letters), for a separator (Unicode's
//! dashes and blanks) and for the end of the number (`;ext=`, `x`, `,`), so whatever we folded,
//! another reader might take for another number, or take another spelling for this one. Nobody's
//! number needs them: ASCII digits, what people group them with, and one `+` in front write all.
//!
//! Left to others: whether there is such a number, and what a country's numbering plan alone can
//! tell, as of the zero in `+44 (0)20`.

use std::fmt;

/// The text is no phone number that has one reading. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a phone number is digits, grouped by blanks and -./() at most, with at most a + in front")]
pub struct PhoneError;

/// A phone number in its one spelling.
///
/// Invariant: ASCII digits, at least one, and the first is no zero.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalPhone(Box<str>);

impl CanonicalPhone {
    /// Parses what a caller wrote.
    ///
    /// # Errors
    /// [`PhoneError`] where it is none, or could be read in two ways.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let written = text.strip_prefix('+').unwrap_or(text);
        let groups = || written.split([' ', '-', '.', '/', '(', ')']);
        if !groups().all(|group| group.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(PhoneError);
        }
        let digits: String = groups().collect();
        // `00` is a `+` in most of the world
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Err(PhoneError);
        }
        Ok(Self(digits.into()))
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number is personal: logs see that there was one, not which.
impl fmt::Debug for CanonicalPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanonicalPhone([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_form_however_it_is_grouped() {
        for spelling in [
            "+15555550102",
            "15555550102",
            "0015555550102",
            "+1 (555) 555-0102",
            "+1-555/555.0102",
        ] {
            let phone = CanonicalPhone::parse(spelling).unwrap();
            assert_eq!(phone.as_str(), "15555550102", "{spelling}");
            assert!(!format!("{phone:?}").contains("555"));
        }
    }

    #[test]
    fn what_readers_may_take_for_several_things_is_refused() {
        for trick in [
            "",
            "+",
            "+00",
            "()",
            "++15555550102",
            "1+5555550102",
            "+15555550102;ext=1",
            "+15555550102x1",
            "+15555550102#1",
            "+15555550102,+15555550103",
            "tel:+15555550102",
            "+1555CALLME",
            "+1555555010\u{ff12}",
            "\u{ff0b}15555550102",
            "+1555555010\u{662}",
            "+1\u{a0}5555550102",
            "+1555555\u{2011}0102",
            "+15555550102\u{200b}",
            "+15555550102\n",
        ] {
            assert_eq!(CanonicalPhone::parse(trick), Err(PhoneError), "{trick:?}");
        }
    }
}

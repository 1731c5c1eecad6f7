//! Patterns with `*`, for operation names and cookies.

use std::fmt;

/// A pattern in which `*` stands for any text, dots included; all else stands for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Every text is a pattern.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether it has a `*`, or else names one thing.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        self.0.contains('*')
    }

    /// Whether it stands for `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut left) = text.strip_prefix(first) else {
            return false;
        };
        let mut pieces = rest.split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return left.ends_with(piece);
            }
            let Some((_skipped, after)) = left.split_once(piece) else {
                return false;
            };
            left = after;
        }
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern.to_owned()).matches(text)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*", "") && matches("*", "user.disable"));
        assert!(matches("user.*disable", "user.sms.disable"));
        assert!(matches("user.*disable", "user.disable"));
        assert!(matches("fe_*", "fe_refresh") && !matches("fe_*", "xfe_"));
        assert!(matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-c-b"));
        assert!(!matches("ab*ba", "aba"));
    }

    #[test]
    fn without_a_star_it_stands_for_itself() {
        assert!(matches("recover", "recover"));
        assert!(!matches("recover", "recover.x") && !matches("recover", "Recover"));
    }
}

//! What the fuzz targets run: functions of any bytes that fail by panicking.
//!
//! `tests/fuzz/` drives them with new input; here they run over the committed corpus, so that
//! every `cargo test` walks what was found before.

use crate::model::{CanonicalEmail, Subaddress};

/// Any text has an answer, and the canonical form of an email is its own.
pub fn email(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for subaddress in [Subaddress::Fold, Subaddress::Keep] {
        if let Ok(email) = CanonicalEmail::parse(text, subaddress) {
            let again = CanonicalEmail::parse(email.as_str(), subaddress);
            assert_eq!(again.as_ref(), Ok(&email), "it is not its own form");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Runs `target` over its committed corpus.
    fn replay(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(name);
        let inputs: Vec<_> = fs::read_dir(corpus).unwrap().collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            target(&fs::read(input.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_email_corpus_holds() {
        replay("email", super::email);
    }
}

//! Where a secret comes from, and what it is now.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

/// Longer than any secret: so much of a file is read, in bytes.
const MOST: u64 = 64 * 1024;

/// A secret as configured: the text itself, or a file that is read again when it changes.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// In a file of its own, which may end in newlines.
    File(PathBuf),
    /// In the configuration.
    Inline(SecretString),
}

impl SecretSource {
    /// Under which key the secret at `path` was given: that, or its file's.
    pub(super) fn key(&self, path: &str) -> String {
        match self {
            Self::File(_path) => format!("{path}_file"),
            Self::Inline(_secret) => path.to_owned(),
        }
    }

    /// What it is now. Reads the file, so it is nothing for a thread that serves requests.
    ///
    /// # Errors
    /// Where the file can't be read, isn't UTF-8, holds nothing or more than 64 KiB.
    pub fn read(&self) -> io::Result<SecretString> {
        match self {
            Self::File(path) => {
                let text = text(path)?;
                let text = text.trim_end_matches(['\n', '\r']);
                if text.is_empty() {
                    return Err(invalid("the file is empty"));
                }
                Ok(SecretString::from(text))
            }
            Self::Inline(secret) => Ok(secret.clone()),
        }
    }

    /// A secret and, while one takes the other's place, a second one: one a line.
    ///
    /// # Errors
    /// As [`Self::read`], and where there are more than two, or one is empty.
    pub fn read_two(&self) -> io::Result<Vec<SecretString>> {
        let text = self.read()?;
        let secrets: Vec<_> = text
            .expose_secret()
            .lines()
            .map(SecretString::from)
            .collect();
        let is_empty = |secret: &SecretString| secret.expose_secret().is_empty();
        let what = match secrets.len() {
            1 | 2 if !secrets.iter().any(is_empty) => return Ok(secrets),
            1 | 2 => "a line is empty",
            _ => "there are more than two lines: the secret, and at most the one that follows it",
        };
        Err(invalid(what))
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= MOST) {
        Ok(text)
    } else {
        Err(invalid("the file has more than 64 KiB"))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newlines_at_a_files_end_are_no_part_of_the_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = SecretSource::File(file.path().to_owned());
        for text in ["secret", "secret\n", "secret\r\n", "secret\n\n"] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(source.read().unwrap().expose_secret(), "secret", "{text:?}");
        }
        std::fs::write(file.path(), "\n\n").unwrap();
        assert!(source.read().is_err());
        let endless = SecretSource::File("/dev/zero".into());
        assert!(endless.read().is_err());
    }

    #[test]
    fn at_most_two_secrets_stand_in_one_place() {
        let read = |text: &str| {
            let secrets = SecretSource::Inline(SecretString::from(text))
                .read_two()
                .ok()?;
            Some(
                secrets
                    .iter()
                    .map(|secret| secret.expose_secret().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let some = |secrets: &[&str]| {
            Some(
                secrets
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(read("one"), some(&["one"]));
        assert_eq!(read("one\r\ntwo\n"), some(&["one", "two"]));
        for bad in ["one\n\ntwo", "\none", "one\ntwo\nthree", ""] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}

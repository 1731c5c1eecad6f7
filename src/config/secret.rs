//! Where a secret comes from, and what it is now.

use std::{io, path::PathBuf};

use secrecy::SecretString;

/// A secret as configured: the text itself, or a file that is read again when it changes.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// In a file of its own, which may end in a newline.
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
    /// Where the file can't be read, isn't UTF-8 or holds nothing.
    pub fn read(&self) -> io::Result<SecretString> {
        match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the file is empty",
                    ));
                }
                Ok(SecretString::from(text))
            }
            Self::Inline(secret) => Ok(secret.clone()),
        }
    }
}

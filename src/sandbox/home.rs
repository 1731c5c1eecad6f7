//! The sandbox's folder: its authority, its keys, the gateway's configuration and audit log,
//! and the codes that users would see on their devices.
//!
//! A folder that was named is kept, with what is in it, and is taken only where it is new, empty
//! or a sandbox's already; else it is one of its own under the system's, which goes when the
//! sandbox ends. Either way it is its owner's alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    certs::{Authority, CertificateError},
    random,
    setting::Setting,
    vendor::Vendor,
    world::seed,
};

/// The name in the authority's certificate.
const AUTHORITY: &str = "mfa-gateway sandbox CA";

/// The first file that a sandbox makes in its folder, by which it knows it again.
const LOCK: &str = "lock";

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The authority's key is none.
    #[error("{} is no private key; remove it and a new one is made", .0.display())]
    Authority(PathBuf, #[source] CertificateError),
    /// A new authority can't be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A file or the folder itself.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file's or folder's path.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Another sandbox has it.
    #[error("{}: another sandbox is at work there; stop it, or name another folder", .0.display())]
    InUse(PathBuf),
    /// Somebody else's files would be overwritten.
    #[error(
        "{}: there are files in it, and not a sandbox's, which would be overwritten; name a new \
         or empty folder", .0.display()
    )]
    Foreign(PathBuf),
    /// A configuration is text, and so are the paths in it.
    #[error("{}: the path is not UTF-8; name another folder", .0.display())]
    NotText(PathBuf),
}

/// The folder.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    kept: bool,
    /// Locked, so that one sandbox at a time writes here.
    _lock: File,
}

impl Home {
    /// Opens `folder` and makes it where it isn't there yet, or makes one that goes again.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(folder: Option<&Path>) -> Result<Self, HomeError> {
        let mut private = DirBuilder::new();
        private.mode(0o700);
        let (folder, kept) = match folder {
            Some(folder) => {
                private.recursive(true).create(folder).map_err(at(folder))?;
                if is_foreign(folder).map_err(at(folder))? {
                    return Err(HomeError::Foreign(folder.to_owned()));
                }
                (fs::canonicalize(folder).map_err(at(folder))?, true)
            }
            None => {
                let name = format!("mfa-gateway-sandbox-{:.8}", random::token());
                let folder = std::env::temp_dir().join(name);
                private.create(&folder).map_err(at(&folder))?;
                (folder, false)
            }
        };
        let home = Self {
            _lock: lock(&folder)?,
            folder,
            kept,
        };
        let codes = home.codes();
        private.recursive(true).create(&codes).map_err(at(&codes))?;
        if home.folder.to_str().is_none() {
            return Err(HomeError::NotText(home.folder.clone()));
        }
        Ok(home)
    }

    /// The authority of earlier runs, or a new one. Its certificate is in [`Self::ca`].
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn authority(&self) -> Result<Authority, HomeError> {
        let path = self.folder.join("ca-key.pem");
        let authority = match read(&path)? {
            Some(key) => Authority::from_key_pem(AUTHORITY, &key)
                .map_err(|cause| HomeError::Authority(path, cause))?,
            None => {
                let authority = Authority::new(AUTHORITY)?;
                write(&path, &authority.key_pem())?;
                authority
            }
        };
        write(&self.ca(), authority.pem())?;
        Ok(authority)
    }

    /// Writes the gateway's configuration and what it names; says where it is.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn configure(&self, setting: &Setting) -> Result<PathBuf, HomeError> {
        write(&self.folder.join("api-key"), seed::SECRET)?;
        let key = self.folder.join("audit-key");
        if read(&key)?.is_none() {
            write(&key, &random::token())?;
        }
        let path = self.folder.join("gateway.toml");
        write(&path, &setting.configuration(&self.folder))?;
        Ok(path)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The gateway's audit log.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// The codes that users would see: one file an authenticator app, phone or mailbox.
    #[must_use]
    pub fn codes(&self) -> PathBuf {
        self.folder.join("codes")
    }

    /// Shows a code as a file of this name, until the next one. A name that would be no plain
    /// file's is passed over: callers choose the numbers that codes are sent to.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn show_code(&self, name: &str, code: &str) -> Result<(), HomeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-@_.".contains(&byte);
        if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.bytes().all(plain)
        {
            return Ok(());
        }
        write(&self.codes().join(name), code)
    }

    /// Shows the code that each user's authenticator app has now. `vendor` has the clock.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn show_authenticators(&self, vendor: &Vendor) -> Result<(), HomeError> {
        for (name, secret) in seed::PEOPLE.iter().filter_map(|user| user.authenticator) {
            if let Some(code) = vendor.totp(secret) {
                self.show_code(name, &code)?;
            }
        }
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it stays.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.kept
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "the sandbox's folder stays");
        }
    }
}

/// Whether there is something in the folder, and no sandbox put it there.
fn is_foreign(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_some() && !folder.join(LOCK).try_exists()?)
}

/// The system unlocks it when its process ends, however that ends.
fn lock(folder: &Path) -> Result<File, HomeError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HomeError::InUse(folder.to_owned())),
        Err(TryLockError::Error(cause)) => Err(at(&path)(cause)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |cause| HomeError::File {
        path: path.to_owned(),
        cause,
    }
}

/// `None` where it isn't there.
fn read(path: &Path) -> Result<Option<String>, HomeError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Whole or not at all, for whoever reads it meanwhile.
fn write(path: &Path, text: &str) -> Result<(), HomeError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(at(&new))?;
    fs::rename(&new, path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::setting::tests::setting, *};
    use crate::config::{Sources, load};

    #[test]
    fn the_configuration_is_right_whatever_the_folder_is_called() {
        let folder = tempfile::TempDir::new().unwrap();
        let home = Home::open(Some(&folder.path().join(r#"a "b" \c é"#))).unwrap();
        home.authority().unwrap();
        let sources = Sources {
            files: vec![home.configure(&setting()).unwrap()],
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn authority_and_keys_are_kept_with_the_folder() {
        let folder = tempfile::TempDir::new().unwrap();
        let open = || {
            let home = Home::open(Some(folder.path())).unwrap();
            let authority = home.authority().unwrap();
            home.configure(&setting()).unwrap();
            let key = fs::read_to_string(folder.path().join("audit-key")).unwrap();
            (authority.key_pem(), key)
        };
        assert_eq!(open(), open());
        fs::write(folder.path().join("ca-key.pem"), "no key").unwrap();
        let refused = Home::open(Some(folder.path())).unwrap().authority();
        assert!(matches!(refused, Err(HomeError::Authority(_, _))));
    }

    #[test]
    fn one_sandbox_at_a_time_has_the_folder() {
        let folder = tempfile::TempDir::new().unwrap();
        let home = Home::open(Some(folder.path())).unwrap();
        let second = Home::open(Some(folder.path()));
        assert!(matches!(second, Err(HomeError::InUse(_))));
        drop(home);
        Home::open(Some(folder.path())).unwrap();
    }

    #[test]
    fn nothing_of_somebody_elses_is_overwritten() {
        let folder = tempfile::TempDir::new().unwrap();
        let configuration = folder.path().join("gateway.toml");
        fs::write(&configuration, "mine").unwrap();
        let refused = Home::open(Some(folder.path()));
        assert!(matches!(refused, Err(HomeError::Foreign(_))), "{refused:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(configuration).unwrap(), "mine");
    }

    #[test]
    fn a_code_is_never_written_elsewhere() {
        let home = Home::open(None).unwrap();
        for name in ["../api-key", "/tmp/x", "..", "", ".hidden", "a b"] {
            home.show_code(name, "123456").unwrap();
        }
        assert_eq!(fs::read_dir(home.codes()).unwrap().count(), 0);
        home.show_code("+15555550102", "123456").unwrap();
        assert_eq!(fs::read_dir(home.codes()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_of_its_own_is_private_and_goes_with_it() {
        let home = Home::open(None).unwrap();
        home.authority().unwrap();
        home.show_code("app", "123456").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.folder()), 0o700);
        assert_eq!(mode(&home.folder().join("ca-key.pem")), 0o600);
        assert_eq!(mode(&home.codes().join("app")), 0o600);
        let folder = home.folder().to_owned();
        drop(home);
        assert!(!folder.exists());
    }
}

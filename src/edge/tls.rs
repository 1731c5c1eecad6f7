//! TLS on a listener: rustls with 1.2 and 1.3, ALPN for both protocols, post-quantum key
//! exchange where the other end has it, and session tickets.
//!
//! When certificate and key change they can be read again; connections that stand are not touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::config::ListenTls;

/// What a TLS listener shows, as of now.
pub struct Identity {
    files: ListenTls,
    current: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read as PEM.
    #[error("can't read {file}: {cause}")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// Certificate and key don't go together, or aren't fit for use.
    #[error("{} with {}: {cause}", files.certificate_file.display(), files.private_key_file.display())]
    Pair {
        /// Which.
        files: Box<ListenTls>,
        /// What rustls said.
        #[source]
        cause: Box<rustls::Error>,
    },
}

impl Identity {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`IdentityError`], with the file's name.
    pub fn load(files: &ListenTls) -> Result<Self, IdentityError> {
        Ok(Self {
            files: files.clone(),
            current: RwLock::new(read(files)?),
        })
    }

    /// Reads both again. Reads files, so it is nothing for a thread that serves requests.
    ///
    /// # Errors
    /// [`IdentityError`]; the old ones stay in use.
    pub fn renew(&self) -> Result<(), IdentityError> {
        let config = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// What new connections are greeted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

fn read(files: &ListenTls) -> Result<Arc<ServerConfig>, IdentityError> {
    let chain = CertificateDer::pem_slice_iter(&bytes(&files.certificate_file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| unreadable(&files.certificate_file, &cause))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.private_key_file)?)
        .map_err(|cause| unreadable(&files.private_key_file, &cause))?;
    let pair = |cause| IdentityError::Pair {
        files: Box::new(files.clone()),
        cause: Box::new(cause),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(pair)?;
    Ok(Arc::new(config))
}

fn bytes(file: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(file).map_err(|cause: io::Error| unreadable(file, &cause))
}

fn unreadable(file: &Path, cause: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::File {
        file: file.to_owned(),
        cause: cause.to_string(),
    }
}

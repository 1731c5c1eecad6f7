//! TLS on a listener: rustls with 1.2 and 1.3, ALPN for both protocols, post-quantum key
//! exchange where the other end has it, and session tickets.
//!
//! With a CA for clients their certificates are asked for and verified. Nobody has to show one
//! here: who a request comes from is asked of each request, and answered and recorded there. What
//! was verified holds for the connection, also where it resumes an earlier session, for as long as
//! the certificate is good and the CA is believed.
//!
//! When certificate, key or CA change they can be read again; connections that stand are not
//! touched. Tickets given out before are worth nothing then, so that a CA that is gone is gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
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
    /// A file can't be read as PEM, or holds no CA.
    #[error("can't read {file}: {cause}")]
    File {
        /// The file's path.
        file: PathBuf,
        /// What the system or the PEM parser said.
        cause: String,
    },
    /// Certificate and key don't go together, or aren't fit for use.
    #[error("{} with {}: {cause}", files.certificate_file.display(), files.private_key_file.display())]
    Pair {
        /// Both files, and the CA's.
        files: Box<ListenTls>,
        /// What rustls said.
        #[source]
        cause: Box<rustls::Error>,
    },
}

impl Identity {
    /// Reads certificate, key and CA.
    ///
    /// # Errors
    /// [`IdentityError`], with the file's name.
    pub fn load(files: &ListenTls) -> Result<Self, IdentityError> {
        Ok(Self {
            files: files.clone(),
            current: RwLock::new(read(files)?),
        })
    }

    /// Reads them again. Reads files, so it is nothing for a thread that serves requests.
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
    let chain = certificates(&files.certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.private_key_file)?)
        .map_err(|cause| unreadable(&files.private_key_file, &cause))?;
    let pair = |cause| IdentityError::Pair {
        files: Box::new(files.clone()),
        cause: Box::new(cause),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = match &files.client_ca_file {
        Some(file) => clients(file, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(pair)?;
    Ok(Arc::new(config))
}

/// Believes the certificates that a CA in this file signed.
fn clients(
    file: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|cause| unreadable(file, &cause))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|cause| unreadable(file, &cause))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_slice_iter(&bytes(file)?)
        .collect::<Result<_, _>>()
        .map_err(|cause| unreadable(file, &cause))
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

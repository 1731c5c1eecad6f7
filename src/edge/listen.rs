//! Sockets: bound before anything is served, so that a wrong address fails the start.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net as unix,
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::{config::Bind, event::Peer, model::Proof};

/// Connections that wait for us to accept them.
const BACKLOG: i32 = 4_096;

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// A unix socket. Its file goes when this does, and first: once nobody listens, the next
    /// process may put its own there.
    Unix(SocketFile, UnixListener),
}

/// Who may connect to a unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixAccess {
    /// Its file's permission bits.
    pub mode: u32,
    /// Its file's group; `None`: this process's own.
    pub group: Option<u32>,
}

/// An accepted connection: over TCP, or over a unix socket.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {cause}{}", mend(.cause))]
pub struct ListenError {
    /// As configured.
    pub address: String,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// What to do about it, where that isn't plain from what the system said.
fn mend(cause: &io::Error) -> &'static str {
    let kind = cause.kind();
    if kind == io::ErrorKind::AddrInUse {
        "; stop who has it, or choose another address"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; no interface of this machine has this address"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; a port below 1024 needs CAP_NET_BIND_SERVICE, a unix socket a folder to write to"
    } else {
        ""
    }
}

/// Removes a unix socket's file when dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "socket file was gone already");
        }
    }
}

impl Listener {
    /// Binds; `None` where an optional address has no address family on this machine.
    ///
    /// # Errors
    /// With the address as configured.
    pub fn bind(bind: &Bind, access: UnixAccess) -> Result<Option<Self>, ListenError> {
        match bind {
            Bind::Tcp { address, optional } => match tcp(*address) {
                Ok(listener) => Ok(Some(Self::Tcp(listener))),
                Err(error) if *optional && is_without_family(&error) => Ok(None),
                Err(cause) => Err(ListenError {
                    address: address.to_string(),
                    cause,
                }),
            },
            Bind::Unix(path) => unix_socket(path, access)
                .map(Some)
                .map_err(|cause| ListenError {
                    address: format!("unix:{}", path.display()),
                    cause,
                }),
        }
    }

    /// Where it really listens (port 0 was given a number).
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| address.to_string()),
            Self::Unix(file, _) => format!("unix:{}", file.0.display()),
        }
    }

    /// Whether it listens on TCP.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer, Proof)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // an answer is one small write: it must not wait for the next
                stream.set_nodelay(true)?;
                Ok((Socket::Left(stream), Peer::Tcp(peer), Proof::default()))
            }
            Self::Unix(_, listener) => {
                let (stream, _unnamed) = listener.accept().await?;
                // as it was when it connected: a process that changes its user later gains nothing.
                // Whose user can't be told is nobody.
                let proof = Proof {
                    uid: stream.peer_cred().ok().map(|credentials| credentials.uid()),
                    certificate: None,
                };
                Ok((Socket::Right(stream), Peer::Unix, proof))
            }
        }
    }
}

/// Binds a TCP listener. An IPv6 address is IPv6 only, so that `[::]` and `0.0.0.0` can stand side by side.
///
/// # Errors
/// What the system says.
pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the machine has no such address family (IPv6 switched off, most often).
fn is_without_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn unix_socket(path: &Path, access: UnixAccess) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode))?;
    if access.group.is_some() {
        chown(path, None, access.group)?;
    }
    // SECURITY: last, so that nobody connects while the file is still open to more.
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from_std(socket.into())?;
    Ok(Listener::Unix(file, listener))
}

/// Removes a socket that nobody listens on any more: the one of a gateway that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket; remove it or choose another path",
        )),
        Ok(_) if unix::UnixStream::connect(path).is_ok() => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
        Ok(_) => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const OWNER: UnixAccess = UnixAccess {
        mode: 0o600,
        group: None,
    };

    #[tokio::test]
    async fn a_unix_socket_knows_who_connects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        let group = fs::metadata(folder.path()).unwrap().gid();
        let access = UnixAccess {
            mode: 0o640,
            group: Some(group),
        };
        let listener = Listener::bind(&Bind::Unix(path.clone()), access)
            .unwrap()
            .unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o777, found.gid()), (0o640, group));
        let _peer = unix::UnixStream::connect(&path).unwrap();
        let (_socket, peer, proof) = listener.accept().await.unwrap();
        assert_eq!((peer, proof.uid), (Peer::Unix, Some(found.uid())));
    }

    #[tokio::test]
    async fn a_stale_unix_socket_is_replaced_and_the_own_one_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        drop(unix::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file");
        let bind = Bind::Unix(path.clone());
        let listener = Listener::bind(&bind, OWNER).unwrap().unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let second = Listener::bind(&bind, OWNER).unwrap_err();
        assert!(
            second.to_string().contains("another process listens there"),
            "{second}"
        );
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(Listener::bind(&Bind::Unix(path.clone()), OWNER).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[tokio::test]
    async fn an_address_in_use_says_which() {
        let first = tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let refused = Listener::bind(
            &Bind::Tcp {
                address,
                optional: true,
            },
            OWNER,
        )
        .unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains(&address.to_string()) && refused.contains("choose another address"),
            "{refused}"
        );
    }
}

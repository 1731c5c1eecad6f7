//! Standard output and error, pipes, FIFOs, terminals, devices: what is out is out.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;

use super::target::{Broken, Fault, whole_lines, write_counted};

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    file: File,
    /// Nothing was written yet.
    fresh: bool,
    kind: Kind,
    /// A line was cut off: end it before the next.
    dirty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It was redirected to a regular file, which never makes a writer wait.
    File,
    /// It can be opened again by its path.
    Named,
    /// It is as the process was given it.
    Standard,
}

impl Stream {
    pub(super) fn stdout() -> io::Result<Self> {
        Self::standard(io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    pub(super) fn stderr() -> io::Result<Self> {
        Self::standard(io::stderr().as_fd().try_clone_to_owned()?.into())
    }

    /// A stream that the process was given.
    pub(super) fn standard(file: File) -> io::Result<Self> {
        Self::of(file, Kind::Standard)
    }

    /// Opens a FIFO or a device; a FIFO that nobody reads is an error instead of a wait.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let no_wait = OFlags::NONBLOCK.union(OFlags::NOCTTY);
        let flags = no_wait.bits().cast_signed();
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        let file = file.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NXIO) => io::Error::new(
                io::ErrorKind::NotConnected,
                "nobody reads this FIFO: start its reader",
            ),
            _ => error,
        })?;
        // its own thread may wait for it, so writes are whole
        let flags = rustix::fs::fcntl_getfl(&file)?;
        rustix::fs::fcntl_setfl(&file, flags.difference(OFlags::NONBLOCK))?;
        Self::of(file, Kind::Named)
    }

    fn of(file: File, kind: Kind) -> io::Result<Self> {
        let redirected = kind == Kind::Standard && file.metadata()?.is_file();
        Ok(Self {
            fresh: true,
            kind: if redirected { Kind::File } else { kind },
            dirty: false,
            file,
        })
    }

    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(super) const fn is_regular(&self) -> bool {
        matches!(self.kind, Kind::File)
    }

    pub(super) const fn is_named(&self) -> bool {
        matches!(self.kind, Kind::Named)
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Broken> {
        if self.dirty {
            let (out, result) = write_counted(&self.file, b"\n");
            self.dirty = out == 0;
            result.map_err(|error| Broken::nothing(self.fault(error)))?;
        }
        let (out, result) = write_counted(&self.file, lines);
        let whole = whole_lines(lines, out);
        self.dirty = out > whole;
        self.fresh = self.fresh && whole == 0;
        result.map_err(|error| Broken {
            whole,
            fault: self.fault(error),
        })
    }

    fn fault(&self, error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::BrokenPipe && !self.is_named() {
            return Fault::Closed;
        }
        Fault::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    fn fifo() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        (folder, path)
    }

    fn reader(path: &Path) -> File {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .unwrap()
    }

    #[test]
    fn a_fifo_without_a_reader_is_an_error_not_a_wait() {
        let (_folder, path) = fifo();
        assert_eq!(
            Stream::open(&path).unwrap_err().kind(),
            io::ErrorKind::NotConnected
        );
    }

    #[test]
    fn a_fifo_whose_reader_leaves_can_come_back() {
        let (_folder, path) = fifo();
        let first = reader(&path);
        let mut stream = Stream::open(&path).unwrap();
        stream.append(b"one\n").unwrap();
        drop(first);
        let broken = stream.append(b"two\n").unwrap_err();
        assert!(matches!(broken.fault, Fault::Io(_)), "{broken:?}");
    }

    #[test]
    fn a_pipe_without_a_name_does_not() {
        let (reader, writer) = io::pipe().unwrap();
        let mut stream = Stream::of(
            File::from(std::os::fd::OwnedFd::from(writer)),
            Kind::Standard,
        )
        .unwrap();
        drop(reader);
        let broken = stream.append(b"one\n").unwrap_err();
        assert!(matches!(broken.fault, Fault::Closed), "{broken:?}");
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut stream = Stream::of(
            File::from(std::os::fd::OwnedFd::from(writer)),
            Kind::Standard,
        )
        .unwrap();
        // a pipe holds 64 KiB: the last line gets in only in part
        rustix::fs::fcntl_setfl(&stream.file, OFlags::NONBLOCK).unwrap();
        let lines = b"0123456789abcdef012\n".repeat(4000);
        let broken = stream.append(&lines).unwrap_err();
        assert!(broken.whole > 0 && broken.whole < 65_536 && broken.whole.is_multiple_of(20));
        let mut taken = vec![0; 65_536];
        reader.read_exact(&mut taken).unwrap();
        stream.append(b"next\n").unwrap();
        let mut rest = Vec::new();
        BufReader::new(&mut reader)
            .read_until(b'\n', &mut rest)
            .unwrap();
        assert_eq!(rest, b"\n");
    }

    #[test]
    fn a_full_device_takes_nothing() {
        let mut stream = Stream::open(Path::new("/dev/full")).unwrap();
        let broken = stream.append(b"one\n").unwrap_err();
        assert!(
            matches!(broken.fault, Fault::Io(error) if error.kind() == io::ErrorKind::StorageFull)
        );
    }
}

//! Standard output and error, pipes, FIFOs, terminals, devices: what is out is out.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
};

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
            let (out, result) = write_counted(Patient(&self.file), b"\n");
            self.dirty = out == 0;
            result.map_err(|error| Broken::nothing(self.fault(error)))?;
        }
        let (out, result) = write_counted(Patient(&self.file), lines);
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

/// Waits where a write would have to wait. Who started us may have made what we share with them
/// non-blocking, and it isn't ours to change.
struct Patient<'f>(&'f File);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.0, PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, thread};

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
        let (reader, writer) = pipe();
        let mut stream = Stream::standard(writer).unwrap();
        drop(reader);
        let broken = stream.append(b"one\n").unwrap_err();
        assert!(matches!(broken.fault, Fault::Closed), "{broken:?}");
    }

    fn pipe() -> (io::PipeReader, File) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, File::from(std::os::fd::OwnedFd::from(writer)))
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next() {
        let (mut reader, writer) = pipe();
        let mut stream = Stream::standard(writer).unwrap();
        // a pipe holds 64 KiB: the last line gets in only in part, and then its reader leaves
        let reading = thread::spawn(move || reader.read_exact(&mut [0; 4096]).unwrap());
        let lines = b"0123456789abcdef012\n".repeat(8000);
        let broken = stream.append(&lines).unwrap_err();
        assert!(broken.whole > 0 && broken.whole < lines.len() && broken.whole.is_multiple_of(20));
        reading.join().unwrap();
        let (mut reader, writer) = pipe();
        stream.file = writer;
        stream.append(b"next\n").unwrap();
        drop(stream);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "\nnext\n");
    }

    #[test]
    fn a_full_pipe_is_waited_for_though_it_was_given_as_non_blocking() {
        let (mut reader, writer) = pipe();
        rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
        let mut stream = Stream::standard(writer).unwrap();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let lines = b"0123456789abcdef012\n".repeat(40_000);
        stream.append(&lines).unwrap();
        drop(stream);
        assert!(reading.join().unwrap() == lines);
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

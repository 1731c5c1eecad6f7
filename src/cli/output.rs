//! Words for people and for scripts. Nothing here panics on a closed pipe, as `println!` would.

use std::io::{self, Write};

use super::Failure;

/// A message for people, on stderr. There is nobody left to tell where that fails.
pub(super) fn tell(message: &str) {
    let mut stderr = io::stderr().lock();
    drop(writeln!(stderr, "{message}"));
}

/// Writes a result to stdout. That its reader went away (`| head`) is no failure.
pub(super) fn print(
    write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::AtRunTime(format!("stdout: {error}"))),
    }
}

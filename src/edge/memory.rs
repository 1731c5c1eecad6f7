//! Gives the memory of parked connections back to the system.
//!
//! The allocator keeps what was freed for a second (mimalloc's `purge_delay`), and gives it back when
//! something else is freed after that. Where all connections are parked at once nothing is: ten
//! thousand of them kept 130 MB then instead of 30.

use std::{cell::Cell, hint::black_box, time::Duration};

use tokio::{runtime::Handle, time::sleep};

/// Longer than the allocator keeps what was freed.
const WAIT: Duration = Duration::from_secs(3);
/// A block that has pages of its own, so that freeing it looks at those of others too. Nobody writes
/// to it, so it takes no memory.
const BLOCK: usize = 1024 * 1024;

thread_local! {
    /// Whether this thread is about to.
    static DUE: Cell<bool> = const { Cell::new(false) };
}

/// To be called on a serving thread when a connection was parked.
pub(super) fn give_back_soon() {
    if DUE.replace(true) {
        return;
    }
    let give_back = async {
        sleep(WAIT).await;
        DUE.set(false);
        drop(black_box(Vec::<u8>::with_capacity(BLOCK)));
    };
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(give_back)),
        Err(_ending) => DUE.set(false),
    }
}

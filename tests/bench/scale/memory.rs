//! What a gateway holds in memory, by the kernel's account.

use std::{fmt, fs, time::Duration};

use tokio::time::sleep;

use crate::support::process::Gateway;

/// Memory that doesn't change for so long has come to rest,
const REST: Duration = Duration::from_millis(500);
/// and is taken as it is after this many looks.
const MOST_LOOKS: usize = 20;

/// Resident memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What no file backs: the heap, stacks, and pages of the program that were written to.
    pub(crate) anonymous: u64,
    /// The program itself, as far as it was read.
    pub(crate) file: u64,
}

impl Memory {
    /// Once the allocator has given back what it will.
    pub(crate) async fn at_rest(gateway: &Gateway) -> Self {
        let mut last = Self::now(gateway);
        for _look in 0..MOST_LOOKS {
            sleep(REST).await;
            let now = Self::now(gateway);
            if now == last {
                break;
            }
            last = now;
        }
        last
    }

    fn now(gateway: &Gateway) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", gateway.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.expect("the kernel says so").split_whitespace();
            words.map_while(|word| word.parse::<u64>().ok()).sum()
        };
        Self {
            anonymous: of("RssAnon:"),
            file: of("RssFile:") + of("RssShmem:"),
        }
    }

    pub(crate) const fn all(self) -> u64 {
        self.anonymous + self.file
    }

    /// By how many KiB it has grown, for each of `number`.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn grown_since(self, before: Self, number: usize) -> f64 {
        (self.all() as f64 - before.all() as f64) / number as f64
    }
}

impl fmt::Display for Memory {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
        write!(
            f,
            "{:.1} MiB, of which {:.1} mapped from files and {:.1} not",
            mebibytes(self.all()),
            mebibytes(self.file),
            mebibytes(self.anonymous)
        )
    }
}

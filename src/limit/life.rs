//! The lives of a key of the memory store.

use super::gcra::Since;

/// From a key's first attempt until it is at rest or cleared. Nothing is taken back from another
/// life than the one that was charged. The lowest bit says whether anything was taken back yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u32);

impl Life {
    pub(super) const BEFORE_ANY: Self = Self(0);

    pub(super) const fn next(self) -> Self {
        Self((self.0 | 1).wrapping_add(1))
    }

    pub(super) const fn is(self, other: Self) -> bool {
        self.0 | 1 == other.0 | 1
    }

    /// What has happened in it.
    pub(super) const fn since(self) -> Since {
        if self.0 & 1 == 0 {
            Since::OnlyCharges
        } else {
            Since::Anything
        }
    }

    /// Something was taken back.
    pub(super) const fn take_back(&mut self) {
        self.0 |= 1;
    }
}

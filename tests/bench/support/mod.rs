//! What `costs` and `scale` share: the gateway as a process, a vendor before it, a load, and
//! how figures are put.

pub(crate) mod figures;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod world;

//! sandbox
use super::Failure;
use clap::Args;
#[derive(Args, Debug)]
pub(super) struct SandboxArgs {}
pub(super) fn run(_a: &SandboxArgs) -> Result<(), Failure> {
    Ok(())
}

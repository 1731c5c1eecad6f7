//! The command line's way in: `mfa_gateway::cli` does the work.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mfa_gateway::cli::main()
}

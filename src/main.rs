//! The command line's way in: `mfa_gateway::cli` does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    mfa_gateway::cli::main()
}

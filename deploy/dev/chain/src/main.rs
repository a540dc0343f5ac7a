//! The command `devchain`: see `cli` for what it takes, and the library for what it does.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run().into()
}

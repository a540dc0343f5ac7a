//! The command `devchain`. Its command line is in `cli`; the work is done by the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run().into()
}

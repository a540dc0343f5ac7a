//! The command `devchain`. Its command line is in `command_line`; the work is done by the library.

mod command_line;

use std::process::ExitCode;

fn main() -> ExitCode {
    command_line::run()
}

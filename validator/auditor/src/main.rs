//! The auditor's command line.

use auditor::Program;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run_program(|program: Program, _| Ok(program.job()))
}

//! The auditor's command line.

use auditor::Program;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    Program::parse().main()
}

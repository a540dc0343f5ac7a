//! The validator's command line.

use clap::Parser;
use std::process::ExitCode;

/// Muster's validator on a Bittensor subnet.
#[derive(Parser)]
#[command(name = "validator", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
struct Program {
    #[command(subcommand)]
    command: cli::Command,
}

fn main() -> ExitCode {
    Program::parse().command.main("validator")
}

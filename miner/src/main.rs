//! The miner's command line.

mod data;

use clap::Parser;
use std::process::ExitCode;

/// Muster's miner on a Bittensor subnet.
#[derive(Parser)]
#[command(name = "miner", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Shared(cli::Command),
    /// Prepare data to train on.
    #[command(subcommand)]
    Data(data::Data),
}

fn main() -> ExitCode {
    match Program::parse().command {
        Command::Shared(command) => command.main("miner"),
        Command::Data(command) => command.main(),
    }
}

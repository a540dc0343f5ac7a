//! The miner's command line.

mod data;
mod mine;

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
    /// Train in a run, until it ends.
    Run(node::ConfigFlags),
    #[command(flatten)]
    Shared(chain_commands::Command),
    /// Explain the pay of a hotkey by the validators' score logs, and say what would change it.
    Why(auditor::WhyFlags),
    /// Prepare data to train on.
    #[command(subcommand)]
    Data(data::Data),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(mine::Configuration),
}

fn main() -> ExitCode {
    cli::run_program(|program: Program, _| match program.command {
        Command::Run(flags) => mine::job(&flags),
        Command::Shared(command) => Ok(command.job("miner")),
        Command::Why(flags) => Ok(flags.job()),
        Command::Data(command) => Ok(command.job()),
        Command::Config(configuration) => configuration.job(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::Path;

    #[test]
    fn the_reference_is_what_the_code_says() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
        cli::check_reference(&Program::command(), &page).unwrap();
    }
}

//! The validator's command line.

use base::{Exit, Hotkey, Window};
use clap::{Args, Parser, Subcommand};
use cli::{Answer, Failure, Job};
use node::{Config, NodeRole, Settings, ValidatorFlags, environment};
use std::process::ExitCode;
use telemetry::Shutdown;
use validator::{Replayed, ShowOptions};

/// Muster's validator on a Bittensor subnet.
#[derive(Parser)]
#[command(name = "validator", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Shared(chain_commands::Command),
    /// Take part in a run: judge submissions, vote, publish score logs, set weights.
    Run(RunFlags),
    /// Show weights.
    #[command(subcommand)]
    Weights(Weights),
    /// Measure a window again and compare the losses with a score log, bit for bit.
    Replay(ReplayFlags),
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum Weights {
    /// Show the weights of the newest score log beside the weights on chain.
    Show(ShowFlags),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print each setting with its value and its origin: flag, environment, file or default.
    Show(RunFlags),
}

#[derive(Args)]
struct RunFlags {
    #[command(flatten)]
    config: ValidatorFlags,
}

#[derive(Args)]
struct ShowFlags {
    #[command(flatten)]
    config: ValidatorFlags,
    /// Show also what would be sent now and what it costs, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ReplayFlags {
    /// Replay this window.
    #[arg(value_name = "WINDOW")]
    window: Window,
    /// Replay the log of the validator with this hotkey [default: one's own].
    #[arg(long, value_name = "ADDRESS")]
    of: Option<Hotkey>,
    #[command(flatten)]
    config: ValidatorFlags,
}

fn main() -> ExitCode {
    cli::run_program(|program: Program, _| match program.command {
        Command::Shared(command) => Ok(command.job("validator")),
        Command::Run(flags) => run(&flags.config),
        Command::Weights(Weights::Show(flags)) => show_weights(&flags),
        Command::Replay(flags) => replay(flags),
        Command::Config(ConfigCommand::Show(flags)) => show_config(&flags.config),
    })
}

fn load(flags: &ValidatorFlags) -> Result<Config, Failure> {
    Config::load(NodeRole::Validator, &flags.0).map_err(Failure::usage)
}

fn run(flags: &ValidatorFlags) -> Result<Job, Failure> {
    let config = load(flags)?;
    let logs = config.log.clone();
    let work = async move |shutdown: Shutdown| match validator::run(config, shutdown).await {
        Ok(()) => Ok(Exit::Good.into()),
        Err(error) => Err(Failure::new(error.exit(), error)),
    };
    Ok(Job::service(work).with_logs(logs).on_threads(None))
}

fn show_weights(flags: &ShowFlags) -> Result<Job, Failure> {
    let config = load(&flags.config)?;
    let options = ShowOptions { json: flags.json, dry_run: flags.dry_run };
    let logs = config.log.clone();
    let work = async move {
        let text = validator::show(config, options).await;
        text.map(Answer::from).map_err(|error| Failure::new(error.exit(), error))
    };
    Ok(Job::command(work).with_logs(logs).on_threads(None))
}

fn replay(flags: ReplayFlags) -> Result<Job, Failure> {
    let config = load(&flags.config)?;
    let logs = config.log.clone();
    let work = async move {
        match validator::replay(config, flags.window, flags.of).await {
            Ok(same @ Replayed::Same { .. }) => Ok(same.to_string().into()),
            Ok(other) => Err(Failure::new(Exit::Disagreement, other.to_string())),
            Err(error) => Err(Failure::new(error.exit(), error)),
        }
    };
    Ok(Job::command(work).with_logs(logs).on_threads(None))
}

fn show_config(flags: &ValidatorFlags) -> Result<Job, Failure> {
    let settings =
        environment().and_then(|environment| Settings::resolve(NodeRole::Validator, &flags.0, &environment));
    Ok(Job::answer(settings.map_err(Failure::usage)?.show()))
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

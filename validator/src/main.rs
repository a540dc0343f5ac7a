//! The validator's command line.
#![recursion_limit = "256"] // The asynchronous calls of a replay are nested deep.

use base::{Exit, Hotkey, Window};
use clap::{Args, Parser, Subcommand};
use node::{Config, NodeRole, Settings, ValidatorFlags, environment};
use std::{process::ExitCode, time::Duration};
use telemetry::Shutdown;
use validator::{Replayed, ValidatorError};

/// The time limit for critical work after a shutdown request.
const LAST_WORK: Duration = Duration::from_secs(30);

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
    Shared(cli::Command),
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
    let exit = match Program::parse().command {
        Command::Shared(command) => return command.main("validator"),
        Command::Run(flags) => with_config(&flags.config, take_part),
        Command::Weights(Weights::Show(flags)) => {
            with_config(&flags.config, async |config| answer(validator::show(config, flags.json).await))
        }
        Command::Replay(flags) => with_config(&flags.config, async |config| {
            match validator::replay(config, flags.window, flags.of).await {
                Ok(same @ Replayed::Same { .. }) => cli::say(&same.to_string()),
                Ok(other) => refuse(&other, Exit::Disagreement),
                Err(error) => refuse(&error, error.exit()),
            }
        }),
        Command::Config(ConfigCommand::Show(flags)) => show_config(&flags.config),
    };
    exit.into()
}

/// Reads the configuration, starts the log, and runs the work on new threads.
fn with_config(flags: &ValidatorFlags, work: impl AsyncFnOnce(Config) -> Exit) -> Exit {
    let config = match Config::load(NodeRole::Validator, &flags.0) {
        Ok(config) => config,
        Err(error) => return refuse(&error, Exit::Usage),
    };
    if let Err(error) = config.log.start() {
        return refuse(&error, Exit::Usage);
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work(config)),
        Err(error) => refuse(&format!("cannot start threads: {error}"), Exit::Failed),
    }
}

async fn take_part(config: Config) -> Exit {
    let shutdown = Shutdown::default();
    if let Err(error) = shutdown.on_signals() {
        return refuse(&format!("cannot catch signals: {error}"), Exit::Failed);
    }
    let exit = validator::run(config, shutdown.clone()).await;
    shutdown.request(); // The run may have ended by itself.
    match shutdown.finished(LAST_WORK).await {
        Ok(()) => exit,
        Err(overdue) => refuse(&overdue, Exit::Failed),
    }
}

fn show_config(flags: &ValidatorFlags) -> Exit {
    let settings =
        environment().and_then(|environment| Settings::resolve(NodeRole::Validator, &flags.0, &environment));
    match settings {
        Ok(settings) => cli::say(&settings.show()),
        Err(error) => refuse(&error, Exit::Usage),
    }
}

fn answer(answer: Result<String, ValidatorError>) -> Exit {
    match answer {
        Ok(text) => cli::say(&text),
        Err(error) => refuse(&error, error.exit()),
    }
}

fn refuse(error: &dyn std::fmt::Display, exit: Exit) -> Exit {
    eprintln!("validator: {error}");
    exit
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

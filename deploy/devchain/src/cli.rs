//! The command line: `run`, `bench`, `config show`, `genesis show`, and `reference`, which prints REFERENCE.md.

mod bench;
mod layers;
mod reference;
mod run;
mod settings;

use std::fmt::Display;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use common::Exit;
use devchain::{ChainError, LogError, StartError};
use tracing_subscriber::EnvFilter;

use self::{
    layers::{Layers, SettingsError},
    settings::Settings,
};

/// A development chain with Subtensor's interface.
///
/// Exit codes: 0 good, 1 failed, 2 usage or configuration, 4 not permitted.
#[derive(Parser)]
#[command(name = "devchain", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a chain until SIGINT or SIGTERM.
    Run {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Print the ready line as JSON.
        #[arg(long)]
        json: bool,
        /// Log each block.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Print the reference page of this command line, in Markdown.
    #[command(hide = true)]
    Reference,
    /// Measure what a chain costs; takes some seconds.
    Bench {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// The settings of a chain.
    Config {
        #[command(subcommand)]
        command: Show,
    },
    /// The genesis values of a chain.
    Genesis {
        #[command(subcommand)]
        command: Show,
    },
}

#[derive(Subcommand)]
enum Show {
    /// Print the values that these settings give, and where each one came from.
    Show {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Carries out the command line of this process.
pub(crate) fn run() -> Exit {
    let matches = Cli::command().get_matches();
    let command = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    report(carry_out(command, innermost(&matches)))
}

fn carry_out(command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        Command::Run { settings, json, verbose } => {
            log_to_stderr(if verbose { "debug" } else { "info" });
            run::run(settings.layers(matches)?.config()?, json)
        }
        Command::Reference => {
            print!("{}", reference::page(Cli::command()));
            Ok(())
        }
        Command::Bench { json } => Ok(bench::run(json)?),
        Command::Config { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "")
        }
        Command::Genesis { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "genesis")
        }
    }
}

/// The matches of the last subcommand, whose flags are the settings.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the chain stopped by itself; its log says why")]
    Stopped,
    #[error("bench: {0:#}")]
    Bench(#[from] anyhow::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Start(StartError::Config(_)) => Exit::Usage,
            Self::Start(StartError::Chain(error)) => chain_exit(error),
            Self::Start(StartError::Listen { source, .. }) | Self::Io(source) => io_exit(source),
            Self::Start(_) | Self::Stopped | Self::Bench(_) => Exit::Failed,
        }
    }
}

fn chain_exit(error: &ChainError) -> Exit {
    match error {
        ChainError::Genesis(_) | ChainError::OtherGenesis { .. } | ChainError::OtherRuntime { .. } => {
            Exit::Usage
        }
        ChainError::Log(LogError::Foreign(_) | LogError::Version { .. }) => Exit::Usage,
        ChainError::Log(LogError::Io { source, .. }) => io_exit(source),
        ChainError::Log(_) | ChainError::Runtime(_) => Exit::Failed,
    }
}

fn io_exit(error: &std::io::Error) -> Exit {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    }
}

fn report(result: Result<(), Failure>) -> Exit {
    let Err(failure) = result else { return Exit::Good };
    complain(&failure);
    failure.exit()
}

fn complain(failure: &impl Display) {
    eprintln!("devchain: {failure}");
}

/// Logs from `level` on, unless the environment variable `RUST_LOG` says otherwise.
fn log_to_stderr(level: &str) {
    let default = format!("warn,devchain={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn show(layers: &Layers, json: bool, under: &str) -> Result<(), Failure> {
    let config = layers.clone().config()?;
    config.check().map_err(StartError::from)?;
    config.genesis.unwrap_or_default().storage().map_err(|error| StartError::Chain(error.into()))?;
    print!("{}", if json { layers.to_json(under)? } else { layers.to_toml(under)? });
    Ok(())
}

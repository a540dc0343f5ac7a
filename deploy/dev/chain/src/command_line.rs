//! The command line: `run`, `bench`, `config show`, `genesis show`, and `reference`, which prints
//! REFERENCE.md.

mod bench;
mod layers;
mod reference;
mod run;
mod settings;

use std::{io, process::ExitCode};

use base::Exit;
use clap::{ArgMatches, CommandFactory, Parser, Subcommand};
use cli::{EXIT_CODES, Job};
use devchain::{ChainError, LogError, StartError};

use self::{
    layers::{Layers, SettingsError},
    settings::Settings,
};

/// A development chain with Subtensor's interface.
#[derive(Parser)]
#[command(name = "devchain", version, arg_required_else_help = true, after_help = EXIT_CODES)]
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
    /// Measure the cost of a chain (takes a few seconds).
    Bench {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the settings of a chain.
    Config {
        #[command(subcommand)]
        command: Show,
    },
    /// Show the genesis values of a chain.
    Genesis {
        #[command(subcommand)]
        command: Show,
    },
}

#[derive(Subcommand)]
enum Show {
    /// Print the resulting values, and the source of each.
    Show {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command line of this process.
pub(crate) fn run() -> ExitCode {
    cli::run_program(|cli: Cli, matches| job(cli.command, innermost(matches)).map_err(Failure::into))
}

fn job(command: Command, matches: &ArgMatches) -> Result<Job, Failure> {
    match command {
        Command::Run { settings, json, verbose } => {
            let config = settings.layers(matches)?.config()?;
            let level = if verbose { "debug" } else { "info" };
            let work = async move |shutdown| match run::run(config, json, shutdown).await {
                Ok(()) => Ok(Exit::Good.into()),
                Err(failure) => Err(failure.into()),
            };
            Ok(Job::service(work).with_filter(&format!("warn,devchain={level}")))
        }
        Command::Reference => Ok(Job::answer(reference::page(Cli::command()))),
        Command::Bench { json } => Ok(Job::command(async move {
            let text = bench::run(json).await.map_err(Failure::Bench)?;
            Ok(text.into())
        })),
        Command::Config { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "")
        }
        Command::Genesis { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "genesis")
        }
    }
}

/// Returns the matches of the last subcommand, whose flags are the settings.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write to the standard output")]
    Print(#[source] io::Error),
    #[error("the chain stopped unexpectedly; see the log messages above")]
    Stopped,
    #[error("cannot measure the chain")]
    Bench(#[source] anyhow::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Start(StartError::Config(_)) => Exit::Usage,
            Self::Start(StartError::Chain(error)) => chain_exit(error),
            Self::Start(StartError::Listen { source, .. }) => io_exit(source),
            Self::Start(_) | Self::Print(_) | Self::Stopped | Self::Bench(_) => Exit::Failed,
        }
    }
}

fn chain_exit(error: &ChainError) -> Exit {
    match error {
        ChainError::Genesis(_) | ChainError::OtherGenesis { .. } | ChainError::OtherRuntime { .. } => {
            Exit::Usage
        }
        ChainError::Log(LogError::NoFile(_) | LogError::Foreign(_) | LogError::Version { .. }) => Exit::Usage,
        ChainError::Log(LogError::Io { source, .. }) => io_exit(source),
        ChainError::Log(_) | ChainError::Runtime(_) => Exit::Failed,
    }
}

fn io_exit(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Failed,
    }
}

impl From<Failure> for cli::Failure {
    fn from(failure: Failure) -> Self {
        Self::new(failure.exit(), failure)
    }
}

fn show(layers: &Layers, json: bool, under: &str) -> Result<Job, Failure> {
    let config = layers.clone().config()?;
    config.check().map_err(StartError::from)?;
    config.genesis.unwrap_or_default().storage().map_err(|error| StartError::Chain(error.into()))?;
    Ok(Job::answer(if json { layers.to_json(under)? } else { layers.to_toml(under)? }))
}

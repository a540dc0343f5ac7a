//! The command line: `run`, `bench`, `config show`, `genesis show`, and `reference`, which prints
//! REFERENCE.md.

mod bench;
mod layers;
mod reference;
mod run;
mod settings;

use std::{
    fmt::Display,
    io::{self, Write},
};

use base::{EXIT_CODES, Exit};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use devchain::{ChainError, LogError, StartError};
use tracing_subscriber::EnvFilter;

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
pub(crate) fn run() -> Exit {
    let matches = without_empty_variables(Cli::command()).get_matches();
    let command = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    report(carry_out(command, innermost(&matches)))
}

fn carry_out(command: Command, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        Command::Run { settings, json, verbose } => {
            log_to_stderr(if verbose { "debug" } else { "info" });
            run::run(settings.layers(matches)?.config()?, json)
        }
        Command::Reference => say(&reference::page(Cli::command())),
        Command::Bench { json } => say(&bench::run(json)?),
        Command::Config { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "")
        }
        Command::Genesis { command: Show::Show { settings, json } } => {
            show(&settings.layers(matches)?, json, "genesis")
        }
    }
}

/// Treats an empty environment variable as unset.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        // An empty name detaches the argument from its variable, since no variable has an empty name.
        if value.is_some_and(|value| value.is_empty()) { arg.env("").hide_env(true) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
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
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("cannot write to the standard output: {0}")]
    Print(io::Error),
    #[error("the chain stopped unexpectedly; see the log messages above")]
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
            Self::Print(_) => Exit::Failed,
            Self::Start(_) | Self::Stopped | Self::Bench(_) => Exit::Failed,
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

fn report(result: Result<(), Failure>) -> Exit {
    let Err(failure) = result else { return Exit::Good };
    complain(&failure);
    failure.exit()
}

fn complain(failure: &impl Display) {
    // If standard error cannot be written either, only the exit code is left.
    let _ = writeln!(io::stderr(), "devchain: {failure}");
}

/// Prints a text. A closed pipe is not an error; a full disk is.
fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Print(error)),
        _ => Ok(()),
    }
}

/// Logs to standard error from `level` up, unless the environment variable `RUST_LOG` is set.
fn log_to_stderr(level: &str) {
    let default = format!("warn,devchain={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A line that cannot be written is lost. Reporting it on the same stream would panic.
    log.log_internal_errors(false).init();
}

fn show(layers: &Layers, json: bool, under: &str) -> Result<(), Failure> {
    let config = layers.clone().config()?;
    config.check().map_err(StartError::from)?;
    config.genesis.unwrap_or_default().storage().map_err(|error| StartError::Chain(error.into()))?;
    say(&if json { layers.to_json(under)? } else { layers.to_toml(under)? })
}

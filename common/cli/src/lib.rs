//! What the command lines of miner and validator share: how to name a chain and a wallet, `register`, `status`, and
//! the exit codes.
//!
//! Each program adds [`Command`] to its own commands and hands the parsed command line to [`Command::main`]. Nothing here
//! decides about a run; it asks the crate `chain` and prints what it says.
//!
//! ```
//! use clap::Parser;
//!
//! #[derive(Parser)]
//! struct Program {
//!     #[command(subcommand)]
//!     command: cli::Command,
//! }
//!
//! let line = ["miner", "status", "--chain", "ws://127.0.0.1:9944", "--hotkey", "miner"];
//! let program = Program::parse_from(line);
//! assert!(matches!(program.command, cli::Command::Status(_)));
//! ```
//!
//! Next: [`ChainFlags`] and [`WalletFlags`], then the files `register` and `status`.

mod flags;
mod launch;
mod reference;
mod register;
mod status;

pub use flags::{ChainFlags, FlagError, WalletFlags};
pub use launch::Launch;
pub use reference::{BLESS, ReferenceError, check_reference, reference};
pub use register::Register;
pub use status::Status;

pub use base::EXIT_CODES;

use base::Exit;
use chain::{
    RegisterError, TransactionError,
    error::{ConnectError, ReadError},
    wallet::WalletError,
};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// Commands that miner and validator share.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Register the hotkey on the subnet; the coldkey signs and pays.
    Register(Register),
    /// Show where the hotkey stands on the subnet.
    Status(Status),
    /// Complete a run's file with what only the launch can know, so that the run can begin.
    Launch(Launch),
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The flags do not fit together.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// The key cannot be had.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// There is no connection to the chain.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The chain does not tell.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The hotkey was not registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The hotkey has no uid.
    #[error(
        "hotkey {hotkey} is not registered on subnet {netuid}: register it with `{program} register --hotkey NAME`"
    )]
    NotRegistered {
        /// The hotkey.
        hotkey: base::Hotkey,
        /// The subnet.
        netuid: base::Netuid,
        /// The program that was asked.
        program: &'static str,
    },
    /// No runtime for asynchronous work.
    #[error("the system gives no threads or sockets: {0}")]
    System(#[from] std::io::Error),
}

impl CommandError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Flags(_) | Self::Wallet(_) => Exit::Usage,
            Self::Connect(error) => connect_exit(error),
            Self::Read(error) => read_exit(error),
            Self::Register(error) => register_exit(error),
            Self::NotRegistered { .. } => Exit::NotPermitted,
            Self::System(_) => Exit::Failed,
        }
    }
}

fn register_exit(error: &RegisterError) -> Exit {
    match error {
        RegisterError::PriceAboveCap { .. }
        | RegisterError::BalanceTooLow { .. }
        | RegisterError::Foreseen(_)
        | RegisterError::Transaction(TransactionError::Refused { .. }) => Exit::NotPermitted,
        RegisterError::Transaction(TransactionError::Unsent(error)) => read_exit(error),
        RegisterError::Transaction(_) | RegisterError::Unread { .. } => Exit::Failed,
    }
}

/// How a program ends that gets no connection to the chain.
#[must_use]
pub fn connect_exit(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Unreachable(_) => Exit::Unreachable,
        ConnectError::Runtime(error) => read_exit(error),
        _ => Exit::Usage,
    }
}

/// How a program ends that cannot read the chain.
#[must_use]
pub fn read_exit(error: &ReadError) -> Exit {
    match error {
        ReadError::Request(error) if error.is_retryable() => Exit::Unreachable,
        ReadError::NoSubnet { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

impl Command {
    /// Carries the command out for the program of this name, and ends as [`Exit`] documents.
    #[must_use]
    pub fn main(self, program: &'static str) -> ExitCode {
        log_to_stderr();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result =
            runtime.map_err(CommandError::from).and_then(|runtime| runtime.block_on(self.run(program)));
        match result {
            Ok(text) => say(&text).into(),
            Err(error) => {
                eprintln!("{program}: {error}");
                error.exit().into()
            }
        }
    }

    async fn run(self, program: &'static str) -> Result<String, CommandError> {
        match self {
            Self::Register(register) => register.run().await,
            Self::Status(status) => status.run(program).await,
            Self::Launch(launch) => launch.run().await,
        }
    }
}

/// Prints an answer. Who closes the pipe early has had enough; where it cannot be written otherwise, the command has not
/// done what it was asked.
#[must_use]
pub fn say(text: &str) -> Exit {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // Standard error may be gone as well; the exit code is left then.
            let _ = writeln!(io::stderr(), "the answer cannot be written: {error}\n{text}");
            Exit::Failed
        }
        _ => Exit::Good,
    }
}

/// Warnings go to standard error, so that standard output holds the answer alone. `RUST_LOG` shows more.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is refused; the first one then goes on.
    let _ = subscriber.try_init();
}

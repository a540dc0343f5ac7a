//! The command line that miner and validator share: flags for a chain and a wallet, the commands
//! `register`, `status` and `launch`, and the exit codes.
//!
//! Each program adds [`Command`] to its own commands and passes the parsed command line to
//! [`Command::main`]. This crate decides nothing about a run: it calls the crate `chain` and prints the
//! results.
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
//! Next: [`ChainFlags`] and [`WalletFlags`], then [`Register`] and [`Status`].

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
    /// Show the hotkey's uid, stake weight, incentive and last weights on the subnet.
    Status(Status),
    /// Fill in a run file (genesis hash, start block, dataset), so that the run can begin.
    Launch(Launch),
}

/// An error of a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Wrong flags.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// A wallet or key that cannot be read.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// A failed connection to the chain.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A failed read from the chain.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A failed registration.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A hotkey without a uid.
    #[error(
        "hotkey {hotkey} is not registered on subnet {netuid}: register it with `{program} register --hotkey NAME`"
    )]
    NotRegistered {
        /// The hotkey.
        hotkey: base::Hotkey,
        /// The subnet.
        netuid: base::Netuid,
        /// The name of the program.
        program: &'static str,
    },
    /// A failed start of the asynchronous runtime.
    #[error("cannot start the asynchronous runtime: {0}")]
    System(#[from] std::io::Error),
}

impl CommandError {
    /// Returns the exit code of the program.
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

/// Returns the exit code of a program that cannot connect to the chain.
#[must_use]
pub fn connect_exit(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Unreachable(_) => Exit::Unreachable,
        ConnectError::Runtime(error) => read_exit(error),
        _ => Exit::Usage,
    }
}

/// Returns the exit code of a program that cannot read from the chain.
#[must_use]
pub fn read_exit(error: &ReadError) -> Exit {
    match error {
        ReadError::Request(error) if error.is_retryable() => Exit::Unreachable,
        ReadError::NoSubnet { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

impl Command {
    /// Runs the command for the program of this name. Returns an exit code of [`Exit`].
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

/// Prints an answer. A reader that closes the pipe early is no error. Any other failed write is a
/// failed command.
#[must_use]
pub fn say(text: &str) -> Exit {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // Standard error may be closed as well. Then only the exit code reports the failure.
            let _ = writeln!(io::stderr(), "cannot write the answer: {error}\n{text}");
            Exit::Failed
        }
        _ => Exit::Good,
    }
}

/// Sends warnings to standard error, so that standard output holds only the answer. `RUST_LOG` selects
/// more.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A process has one subscriber. If one is already set, it stays.
    let _ = subscriber.try_init();
}

//! The commands that miner and validator share, `wallet`, `register`, `status` and `launch`, the flags that
//! name a chain and a wallet, and the passwords of keys.
//!
//! Each program adds [`Command`] to its own commands and runs the job of [`Command::job`]. This crate
//! decides nothing about a run: it calls the crate `chain` and prints the results.
//!
//! ```
//! use clap::Parser;
//!
//! #[derive(Parser)]
//! struct Program {
//!     #[command(subcommand)]
//!     command: chain_commands::Command,
//! }
//!
//! let line = ["miner", "status", "--chain", "ws://127.0.0.1:9944", "--hotkey", "miner"];
//! let program = Program::parse_from(line);
//! assert!(matches!(program.command, chain_commands::Command::Status(_)));
//! ```
//!
//! Next: [`ChainFlags`] and [`WalletFlags`], then [`Register`], [`Status`] and [`WalletCommand`].

mod costs;
mod error;
mod flags;
mod launch;
mod password;
mod register;
mod status;
mod wallet;

pub use costs::{cost_json, cost_rows};
pub use error::{CommandError, connect_exit, read_exit};
pub use flags::{ChainFlags, FileProblem, FlagError, WalletFlags, WalletFolder};
pub use launch::Launch;
pub use password::{
    COLDKEY_PASSWORD, HOTKEY_PASSWORD, PasswordError, PasswordFlags, SecretFileError, open_key, secret_file,
};
pub use register::Register;
pub use status::Status;
pub use wallet::{WalletCommand, WalletCommandError};

use cli::{Answer, Failure, Job};

/// Commands that miner and validator share.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create and import keys, and show the keys of a wallet.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Register the hotkey on the subnet; the coldkey signs and pays.
    Register(Register),
    /// Show the hotkey's uid, stake weight, incentive and last weights on the subnet.
    Status(Status),
    /// Fill in a run file (genesis hash, start block, dataset), so that the run can begin. Or check the
    /// subnet's settings.
    Launch(Launch),
}

impl Command {
    /// Returns the job of this command for the program of this name. It logs warnings to standard
    /// error, so that standard output holds only the answer. `RUST_LOG` selects more.
    #[must_use]
    pub fn job(self, program: &'static str) -> Job {
        let work = async move {
            let result = self.run(program).await;
            result.map_err(|error| Failure::new(error.exit(), error))
        };
        Job::command(work).with_filter("warn")
    }

    async fn run(self, program: &'static str) -> Result<Answer, CommandError> {
        match self {
            Self::Wallet(command) => Ok(command.run()?.into()),
            Self::Register(register) => register.run().await,
            Self::Status(status) => Ok(status.run(program).await?.into()),
            Self::Launch(launch) => launch.run().await,
        }
    }
}

//! The commands that miner and validator share, `register`, `status` and `launch`, and the flags that
//! name a chain and a wallet.
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
//! Next: [`ChainFlags`] and [`WalletFlags`], then [`Register`] and [`Status`].

mod error;
mod flags;
mod launch;
mod register;
mod status;

pub use error::{CommandError, connect_exit, read_exit};
pub use flags::{ChainFlags, FileProblem, FlagError, WalletFlags};
pub use launch::Launch;
pub use register::Register;
pub use status::Status;

use cli::{Answer, Failure, Job};

/// Commands that miner and validator share.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
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
            Self::Register(register) => register.run().await.map(Answer::from),
            Self::Status(status) => status.run(program).await.map(Answer::from),
            Self::Launch(launch) => launch.run().await,
        }
    }
}

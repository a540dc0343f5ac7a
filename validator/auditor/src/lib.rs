//! The auditor: recomputes from chain and buckets what validators say, and trusts nobody.
//!
//! [`Scores`] is what the chain says of every neuron now.

mod error;
mod scores;
mod table;

pub use error::AuditError;
pub use scores::{Scores, ScoresFlags};

use common::Exit;
use std::process::ExitCode;

/// The program's name.
const NAME: &str = "auditor";

/// Recomputes from chain and buckets what validators say.
#[derive(Debug, clap::Parser)]
#[command(name = NAME, version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
}

/// What the auditor does.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what the chain says of every neuron: stake, incentive, weights by each validator, bucket.
    Scores(ScoresFlags),
}

/// What a command answers, and how the program ends.
type Answer = (String, Exit);

impl Program {
    /// Carries the command out, and ends as [`Exit`] documents.
    #[must_use]
    pub fn main(self) -> ExitCode {
        log_to_stderr();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&cli::CommandError::from(error).into()),
        };
        match runtime.block_on(self.command.run()) {
            Ok((text, exit)) => match cli::say(&text) {
                Exit::Good => exit.into(),
                failed => failed.into(),
            },
            Err(error) => fail(&error),
        }
    }
}

impl Command {
    async fn run(self) -> Result<Answer, AuditError> {
        match self {
            Self::Scores(flags) => Ok((flags.run().await?, Exit::Good)),
        }
    }
}

fn fail(error: &AuditError) -> ExitCode {
    eprintln!("{NAME}: {error}");
    error.exit().into()
}

/// Warnings go to standard error, so that standard output holds the answer alone. `RUST_LOG` shows more.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is refused; the first one then goes on.
    let _ = subscriber.try_init();
}

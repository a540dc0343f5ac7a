//! The auditor: recomputes from chain and buckets what miners and validators say, and trusts nobody.
//!
//! It reads the chain, opens every object and checks hash and signature, makes the outer steps itself on plain `f32`
//! values with `common`'s arithmetic, replays every score log, and compares: decisions, states, votes, possession,
//! records, logs, ratings, weights on chain. A [`Report`] has one [`Verdict`] for each thing that somebody states:
//! agree, differ (with both values) or unknown (with what could not be read).
//!
//! It links no libtorch, so it cannot measure a loss: `validator replay` does. It holds no key and writes nothing but
//! what `export` is told to.
//!
//! ```
//! use auditor::Windows;
//! use base::Height;
//! use protocol::clock::{Clock, WindowSpec};
//!
//! // What `auditor windows 2..` means when block 300 is final: the windows of which all that is owed is due.
//! let spec = WindowSpec { blocks: 30, count: 8, claims_close: 3, keys_close: 4, seed: 5, votes_close: 8 };
//! let clock = Clock::new(Height(100), spec)?;
//! assert_eq!("2..".parse::<Windows>()?.of(&clock, Height(300))?, 2..5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Next: [`Auditor::audit`] for the order of things, [`Item`] for what is compared, [`Scores`] for what the chain says now.

#![recursion_limit = "256"] // The futures of a request to a bucket are nested deeply.

mod audit;
mod error;
mod export;
mod progress;
mod range;
mod report;
mod run;
mod scores;
mod table;

pub use audit::Auditor;
pub use error::AuditError;
pub use export::ExportFlags;
pub use range::{Windows, WindowsError};
pub use report::{Counts, Finding, Item, Report, Subject, Verdict, WindowReport};
pub use run::RunFlags;
pub use scores::{Scores, ScoresFlags};

use base::{Exit, Window};
use clap::Args;
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
    /// Recompute one window, and say who agrees.
    Window {
        /// The window.
        #[arg(value_name = "N")]
        window: Window,
        #[command(flatten)]
        flags: AuditFlags,
    },
    /// Recompute windows, and say who agrees: A..B (without B), A..=B, A.., ..B or .. (all that are over).
    Windows {
        /// The windows.
        #[arg(value_name = "RANGE")]
        windows: Windows,
        #[command(flatten)]
        flags: AuditFlags,
    },
    /// Write what the score logs of all validators say of all miners to a Parquet or CSV file.
    Export(ExportFlags),
}

/// Flags of `window` and `windows`.
#[derive(Debug, Args)]
struct AuditFlags {
    #[command(flatten)]
    run: RunFlags,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl AuditFlags {
    async fn run(&self, windows: Windows) -> Result<Answer, AuditError> {
        let report = self.run.open(progress::Progress::new()).await?.audit(&windows).await?;
        let text = if self.json { report.to_json().to_string() } else { report.to_text() };
        Ok((text, report.exit()))
    }
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
                unsaid => unsaid.into(),
            },
            Err(error) => fail(&error),
        }
    }
}

impl Command {
    async fn run(self) -> Result<Answer, AuditError> {
        match self {
            Self::Scores(flags) => Ok((flags.run().await?, Exit::Good)),
            Self::Window { window, flags } => flags.run(Windows::one(window)).await,
            Self::Windows { windows, flags } => flags.run(windows).await,
            Self::Export(flags) => flags.run().await,
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

//! The auditor: recomputes the statements of miners and validators from the chain and the buckets. It trusts
//! no node.
//!
//! The auditor reads the chain. It downloads every object and checks its hash and signature. It
//! computes the outer steps on plain `f32` values, with the arithmetic of the crates in `common/`, and
//! replays every score log. Then it compares decisions, states, votes, possession, records, logs,
//! ratings and the weights on chain. A [`Report`] has one [`Verdict`] for each statement: agree, differ
//! (with both values) or unknown (with the reason).
//!
//! The auditor does not link libtorch, so it cannot measure a loss: `validator replay` does. It holds no key.
//! The output of `export` is the only file that it leaves behind.
//!
//! ```
//! use auditor::Windows;
//! use base::Height;
//! use protocol::clock::{Clock, WindowSpec};
//!
//! // The windows of `auditor windows 2..` when block 400 is final, with epochs of 61 blocks: the end is the
//! // last complete window.
//! let spec = WindowSpec {
//!     blocks: 30,
//!     count: 8,
//!     finality_lag: 3,
//!     publishing: 1,
//!     screening: 3,
//!     claims_close: 3,
//!     keys_close: 8,
//!     seed: 12,
//!     votes_close: 19,
//! };
//! let clock = Clock::new(Height(100), spec)?;
//! let delay = clock.log_delay(60, 0);
//! assert_eq!("2..".parse::<Windows>()?.of(&clock, delay, Height(400))?, 2..5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Next: [`Auditor::audit`] for the steps of an audit, [`Item`] for the comparisons, [`Scores`] for the
//! current values on chain.

mod audit;
mod error;
mod export;
mod pay;
mod progress;
mod range;
mod report;
mod run;
mod scores;
mod table;
mod why;

pub use audit::Auditor;
pub use error::{AuditError, OutError};
pub use export::ExportFlags;
pub use pay::LogPay;
pub use range::{Windows, WindowsError};
pub use report::{Adoption, Counts, Finding, Gone, Item, Report, Subject, Verdict, WindowReport};
pub use run::RunFlags;
pub use scores::{Scores, ScoresFlags};
pub use why::{LeftOut, LogWhy, Reason, Why, WhyError, WhyFlags};

use base::{Exit, Window};
use clap::Args;
use cli::{Failure, Job};

/// Recompute the statements of miners and validators from the chain and the buckets.
#[derive(Debug, clap::Parser)]
#[command(name = "auditor", version, arg_required_else_help = true, after_help = cli::EXIT_CODES)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
}

/// Commands of the auditor.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show every neuron on chain: stake, incentive, weights from each validator, bucket.
    Scores(ScoresFlags),
    /// Recompute one window, compare it with the published statements, and explain the pay of each miner.
    Window {
        /// Window to audit.
        #[arg(value_name = "N")]
        window: Window,
        #[command(flatten)]
        flags: AuditFlags,
    },
    /// Recompute windows and compare them with the published statements.
    Windows {
        /// Windows to audit: A..B (without B), A..=B, A.., ..B or .. (all complete windows).
        #[arg(value_name = "RANGE")]
        windows: Windows,
        #[command(flatten)]
        flags: AuditFlags,
    },
    /// Write the score logs of all validators to a Parquet or CSV file, one row per miner.
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

/// The output of a command, and the exit code of the program.
type Answer = (String, Exit);

impl Program {
    /// Returns the job of the command line. It logs warnings to standard error, so that standard output
    /// holds only the answer. `RUST_LOG` selects other levels.
    #[must_use]
    pub fn job(self) -> Job {
        let work = async {
            let (text, exit) = self.command.run().await.map_err(|error| Failure::new(error.exit(), error))?;
            Ok(cli::Answer::new(text, exit))
        };
        Job::command(work).with_filter("warn")
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

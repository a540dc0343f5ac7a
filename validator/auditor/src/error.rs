//! What can keep an audit from being made, and how the program ends then.

use crate::WindowsError;
use base::{BlockHash, Exit, Netuid};
use chain::error::ReadError;
use cli::CommandError;
use codec::submission::LayoutError;
use exchange::ExchangeError;
use protocol::run_spec::RunSpecError;
use std::{io, path::PathBuf};

/// Why there is no answer. What an audit finds is none of these.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain or the flags that name it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The chain does not say what a window needs.
    #[error(transparent)]
    Exchange(ExchangeError),
    /// The run spec's file cannot be read.
    #[error("--run: {}: {source}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no launched run spec.
    #[error("--run: {}: {error}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<RunSpecError>,
    },
    /// The run spec does not hold together.
    #[error("the run spec cannot be used: {0}")]
    Spec(#[from] RunSpecError),
    /// The run's model has no layout.
    #[error("the run spec cannot be used: {0}")]
    Layout(#[from] LayoutError),
    /// It is another chain.
    #[error(
        "the run is on the chain with genesis {expected}, this one has {found}: name a node of the run's chain with --chain"
    )]
    OtherChain {
        /// The run's.
        expected: BlockHash,
        /// The one connected to.
        found: BlockHash,
    },
    /// It is another subnet.
    #[error("the run is on subnet {expected}, not {found}: give --netuid {expected}")]
    OtherSubnet {
        /// The run's.
        expected: Netuid,
        /// The one asked for.
        found: Netuid,
    },
    /// The windows cannot be meant.
    #[error(transparent)]
    Windows(#[from] WindowsError),
    /// The file of an export has no ending that says what it is.
    #[error("--out {}: the name must end with .parquet or .csv", .0.display())]
    Ending(PathBuf),
    /// The file of an export cannot be written.
    #[error("--out {}: {reason}", path.display())]
    Out {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl From<ReadError> for AuditError {
    fn from(error: ReadError) -> Self {
        Self::Command(error.into())
    }
}

impl From<ExchangeError> for AuditError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Read(error) => error.into(),
            error => Self::Exchange(error),
        }
    }
}

impl AuditError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(error) => error.exit(),
            Self::Exchange(_) | Self::Out { .. } => Exit::Failed,
            Self::RunFile { .. }
            | Self::Run { .. }
            | Self::Spec(_)
            | Self::Layout(_)
            | Self::OtherChain { .. }
            | Self::OtherSubnet { .. }
            | Self::Windows(_)
            | Self::Ending(_) => Exit::Usage,
        }
    }
}

//! The errors that prevent an audit, and their exit codes.

use crate::{WhyError, WindowsError};
use base::{BlockHash, Exit, Netuid};
use chain::error::ReadError;
use chain_commands::CommandError;
use codec::submission::LayoutError;
use exchange::ExchangeError;
use protocol::run_spec::RunSpecError;
use std::{io, path::PathBuf};

/// An error that prevents an audit. Findings of an audit are not errors.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An error of the chain, or of the flags that name it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Chain data that a window needs is missing.
    #[error(transparent)]
    Exchange(ExchangeError),
    /// The file of the run spec cannot be read.
    #[error("--run: {}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not hold a complete run spec.
    #[error("--run: {}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<RunSpecError>,
    },
    /// The run spec is inconsistent.
    #[error("cannot use the run spec")]
    Spec(#[from] RunSpecError),
    /// The model of the run spec has no valid layout.
    #[error("cannot use the run spec")]
    Layout(#[from] LayoutError),
    /// The node serves another chain than the run's.
    #[error(
        "the run is on the chain with genesis {expected}, but this one has {found}: name a node of the run's chain with --chain"
    )]
    OtherChain {
        /// Genesis hash in the run spec.
        expected: BlockHash,
        /// Genesis hash of the connected chain.
        found: BlockHash,
    },
    /// `--netuid` names another subnet than the run's.
    #[error("the run is on subnet {expected}, not {found}: give --netuid {expected}")]
    OtherSubnet {
        /// Subnet in the run spec.
        expected: Netuid,
        /// Subnet of the flag.
        found: Netuid,
    },
    /// The range of windows is invalid.
    #[error(transparent)]
    Windows(#[from] WindowsError),
    /// There is no explanation of a miner's pay.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// The name of the export file has no known extension.
    #[error("--out {}: the name must end with .parquet or .csv", .0.display())]
    Ending(PathBuf),
    /// The export file cannot be written.
    #[error("--out {}", path.display())]
    Out {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: OutError,
    },
}

/// The reason why the file of an export cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    /// An error of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An error of the Parquet writer.
    #[error(transparent)]
    Parquet(#[from] parquet::errors::ParquetError),
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
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Command(error) => error.exit(),
            Self::Exchange(_) | Self::Out { .. } => Exit::Failed,
            Self::Why(WhyError::Undecided { .. }) => Exit::Usage,
            Self::Why(_) => Exit::Failed,
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

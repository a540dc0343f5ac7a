//! Why a validator cannot go on, and with which code it ends.

use crate::gauntlet::GauntletError;
use base::Exit;
use engine::{EngineError, ShardError};
use node::{ConfigError, FileError, NodeError};
use protocol::{acceptance::CannotDecide, assignment::AssignmentError, clock::ClockError};
use scoring::score_log::{ReplayError, ScoreLogError};

/// Why a validator cannot go on. [`exit`](Self::exit) is the code that its program ends with.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorError {
    /// What it shares with miners.
    #[error(transparent)]
    Node(Box<NodeError>),
    /// An update could not be measured, by no fault of its miner.
    #[error(transparent)]
    Gauntlet(#[from] GauntletError),
    /// Data could not be read.
    #[error(transparent)]
    Shards(#[from] ShardError),
    /// Nobody can tell who trains on what.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The candidates are not known.
    #[error(transparent)]
    Candidates(#[from] CannotDecide),
    /// The window is none of the run.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A score log does not come out.
    #[error(transparent)]
    Rate(Box<ReplayError>),
    /// A score log cannot be signed.
    #[error(transparent)]
    Log(Box<ScoreLogError>),
    /// A window was to be carried on that was not begun.
    #[error("nothing is known of the window that is to be carried on")]
    NoWindow,
    /// A thread ended before its work did.
    #[error("a thread ended before its work did")]
    Stopped,
}

impl ValidatorError {
    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            Self::Assignment(_) => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    /// Whether the chain's nodes have forgotten what a window takes.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        let Self::Node(error) = self else { return false };
        matches!(&**error, NodeError::Chain(error) if error.is_pruned())
    }
}

impl From<NodeError> for ValidatorError {
    fn from(error: NodeError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<ReplayError> for ValidatorError {
    fn from(error: ReplayError) -> Self {
        Self::Rate(Box::new(error))
    }
}

impl From<ScoreLogError> for ValidatorError {
    fn from(error: ScoreLogError) -> Self {
        Self::Log(Box::new(error))
    }
}

impl From<EngineError> for ValidatorError {
    fn from(error: EngineError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<ConfigError> for ValidatorError {
    fn from(error: ConfigError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<FileError> for ValidatorError {
    fn from(error: FileError) -> Self {
        NodeError::from(error).into()
    }
}

impl From<exchange::ExchangeError> for ValidatorError {
    fn from(error: exchange::ExchangeError) -> Self {
        NodeError::from(error).into()
    }
}

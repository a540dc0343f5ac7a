//! The errors of a validator, and the exit code of each.

use crate::gauntlet::GauntletError;
use base::Exit;
use engine::{EngineError, ShardError};
use node::{ConfigError, FileError, NodeError};
use protocol::{assignment::AssignmentError, clock::ClockError};
use scoring::score_log::{ReplayError, ScoreLogError};

/// An error that ends a validator. [`exit`](Self::exit) is the exit code of its program.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorError {
    /// The common part of miner and validator.
    #[error(transparent)]
    Node(Box<NodeError>),
    /// An update cannot be measured, by no fault of its miner.
    #[error(transparent)]
    Gauntlet(#[from] GauntletError),
    /// Data cannot be read.
    #[error(transparent)]
    Shards(#[from] ShardError),
    /// The assignment of data to miners cannot be computed.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The run has no such window.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A score log cannot be computed.
    #[error(transparent)]
    Rate(Box<ReplayError>),
    /// A score log cannot be signed.
    #[error(transparent)]
    Log(Box<ScoreLogError>),
}

impl ValidatorError {
    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            Self::Assignment(_) => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    /// Checks whether the chain's nodes have forgotten a state that a window needs.
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

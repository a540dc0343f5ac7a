//! Why the chain does not say what was asked.

use base::Height;
use chain::error::ReadError;
use protocol::{
    acceptance::{CannotDecide, SnapshotError},
    assignment::AssignmentError,
    clock::ClockError,
};

/// Why the chain does not say what was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExchangeError {
    /// The chain could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The block is not final yet, so that nothing may be decided by it.
    #[error("block {height} is not final yet: the finalized head is block {finalized}")]
    NotFinal {
        /// The block that was asked for.
        height: Height,
        /// The newest finalized block.
        finalized: Height,
    },
    /// What a block says of the subnet cannot be.
    #[error("the chain contradicts itself: {0}")]
    Snapshot(#[from] SnapshotError),
    /// The run has no such window.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A part of what decides a window is missing.
    #[error(transparent)]
    CannotDecide(#[from] CannotDecide),
    /// The dataset is too small for the subnet's neurons.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
}

impl ExchangeError {
    /// May the same question have an answer later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::NotFinal { .. } => true,
            _ => false,
        }
    }

    /// Have the nodes forgotten the block's state? An archive node has it, and so may others who kept what they read.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        matches!(self, Self::Read(ReadError::Pruned(_)))
    }
}

//! The error of reading the chain.

use base::Height;
use chain::error::ReadError;
use protocol::{
    acceptance::{CannotDecide, SnapshotError},
    assignment::AssignmentError,
    clock::ClockError,
};

/// The reason why a query of the chain failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExchangeError {
    /// A chain that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block that is not finalized yet, so that it cannot decide anything.
    #[error("block {height} is not finalized yet: the newest finalized block is {finalized}")]
    NotFinal {
        /// The requested block.
        height: Height,
        /// The newest finalized block.
        finalized: Height,
    },
    /// A subnet state that is impossible.
    #[error("the chain contradicts itself")]
    Snapshot(#[from] SnapshotError),
    /// A window that the run does not have.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A window whose evidence is incomplete.
    #[error(transparent)]
    CannotDecide(#[from] CannotDecide),
    /// A dataset that is too small for the subnet's neurons.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
}

impl ExchangeError {
    /// Returns whether the same query may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::NotFinal { .. } => true,
            _ => false,
        }
    }

    /// Returns whether the chain's nodes have discarded the block's state. Archive nodes still have it.
    /// Other participants that stored it may have it too.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        matches!(self, Self::Read(ReadError::Pruned(_)))
    }
}

//! Why a miner cannot go on, or has nothing to send in a window.

use base::{Exit, Window};
use codec::{
    sparse::CompressError,
    submission::{EncodeError, SubmissionError},
};
use engine::EngineError;
use exchange::ExchangeError;
use node::{FileError, NodeError};
use protocol::assignment::AssignmentError;

/// Why a miner cannot go on, or has nothing to send in a window ([`Self::skips_window`]).
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    /// What miner and validator have in common.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The model cannot compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The miner has no data in the window.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// Training has left the numbers.
    #[error("window {0}: the pseudo-gradient is not finite: the learning rate may be too high")]
    NotFinite(Window),
    /// A tensor cannot be compressed.
    #[error("tensor {tensor}: {source}")]
    Compress {
        /// Its name.
        tensor: String,
        /// Why not.
        source: CompressError,
    },
    /// The submission cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What was written is no submission that others would take.
    #[error("the own submission: {0}")]
    Own(#[from] SubmissionError),
    /// There is nothing to send.
    #[error("window {0}: there is nothing to send")]
    NothingToSend(Window),
    /// The operating system gives no random bytes.
    #[error("no key to seal the submission with: {0}")]
    Randomness(getrandom::Error),
    /// A file of the miner's own cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl MinerError {
    /// Whether only this window is lost: the miner sends nothing and goes on with the next.
    #[must_use]
    pub fn skips_window(&self) -> bool {
        match self {
            Self::Assignment(AssignmentError::NotRegistered { .. })
            | Self::NotFinite(_)
            | Self::NothingToSend(_)
            | Self::Engine(EngineError::NotFinite { .. } | EngineError::Interrupted { .. }) => true,
            // The state 10 blocks before the window is forgotten: it is too late to begin, not too late to follow.
            Self::Node(NodeError::Chain(error)) => error.is_pruned(),
            _ => false,
        }
    }

    /// Whether the miner was asked to end.
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        matches!(self, Self::Node(NodeError::Shutdown))
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            // The dataset is too small for the subnet: the run spec is wrong.
            Self::Assignment(AssignmentError::TooFewBlocks { .. }) => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl From<ExchangeError> for MinerError {
    fn from(error: ExchangeError) -> Self {
        Self::Node(error.into())
    }
}

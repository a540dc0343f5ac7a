//! The errors of a miner: some end it, others only skip a window.

use base::{Exit, Window};
use codec::{
    sparse::CompressError,
    submission::{EncodeError, SubmissionError},
};
use engine::EngineError;
use exchange::ExchangeError;
use node::{FileError, NodeError};
use protocol::assignment::AssignmentError;

/// An error that ends a miner, or that only skips a window ([`Self::skips_window`]).
#[derive(Debug, thiserror::Error)]
pub enum MinerError {
    /// The common part of miner and validator.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The model cannot compute.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The miner has no data in the window.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// Training gave values that are not finite.
    #[error("window {0}: the pseudo-gradient is not finite: the learning rate may be too high")]
    NotFinite(Window),
    /// A tensor cannot be compressed.
    #[error("cannot compress tensor {tensor}")]
    Compress {
        /// The name of the tensor.
        tensor: String,
        /// The cause.
        source: CompressError,
    },
    /// The submission cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Other nodes would refuse the encoded submission.
    #[error("cannot use this miner's own submission")]
    Own(#[from] SubmissionError),
    /// The strategy has nothing to send.
    #[error("window {0}: there is nothing to send")]
    NothingToSend(Window),
    /// The operating system returns no random bytes.
    #[error("cannot create a key to seal the submission")]
    Randomness(#[source] getrandom::Error),
    /// A file of the miner's own cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl MinerError {
    /// Checks whether only this window is lost: the miner sends nothing and continues with the next one.
    #[must_use]
    pub fn skips_window(&self) -> bool {
        match self {
            Self::Assignment(AssignmentError::NotRegistered { .. })
            | Self::NotFinite(_)
            | Self::NothingToSend(_)
            | Self::Engine(EngineError::NotFinite { .. } | EngineError::Interrupted { .. }) => true,
            // The state 10 blocks before the window is forgotten. It is too late to train, but not to follow.
            Self::Node(NodeError::Chain(error)) => error.is_pruned(),
            _ => false,
        }
    }

    /// Checks whether a shutdown was requested.
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        matches!(self, Self::Node(NodeError::Shutdown))
    }

    /// Returns the exit code of the program.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Node(error) => error.exit(),
            // The dataset is too small for the subnet, so the run spec is wrong.
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

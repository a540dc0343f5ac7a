//! The error of the engine's operations.

use crate::{batch::BatchError, checkpoint::CheckpointError, shards::ShardError, trial::TrialError};
use codec::aggregate::AggregateError;
use protocol::{model::ModelError, train::TrainError};
use tch::TchError;

/// The reason why an engine operation failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A model spec that is not valid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A training spec that is not valid.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An option outside its range.
    #[error("engine.{what} is {found}: it must be {expected}")]
    Option {
        /// The option.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The allowed values.
        expected: &'static str,
    },
    /// A GPU that is not available.
    #[error(
        "cannot use GPU {wanted}: {found} are usable (a driver and a complete PyTorch 2.11.0 are needed)"
    )]
    Device {
        /// The number of the GPU, from 0.
        wanted: usize,
        /// The number of usable GPUs.
        found: i64,
    },
    /// The CPU rounds denormal numbers to zero. Its results would differ from those of other nodes.
    #[error(
        "denormal numbers are flushed to zero on this thread: results would differ from those of other nodes"
    )]
    Denormals,
    /// A batch that the model cannot read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Data that could not be read.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A checkpoint that could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Parameters of another model.
    #[error("cannot set {found} parameters: the model has {expected}")]
    Parameters {
        /// Parameters given.
        found: usize,
        /// Parameters of the model.
        expected: usize,
    },
    /// A sparse step that does not fit the model.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Fewer batches than inner steps.
    #[error("the window's data ended at inner step {found} of {wanted}")]
    DataEnded {
        /// Steps that had a batch.
        found: u32,
        /// Steps of the window.
        wanted: u32,
    },
    /// An outer step that failed.
    #[error(transparent)]
    Aggregate(Box<AggregateError>),
    /// A training that diverged.
    #[error("inner step {step}: the {what} is {value}; the learning rate may be too high")]
    NotFinite {
        /// The inner step, counted over the run.
        step: u64,
        /// The quantity that is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A training that was interrupted on request.
    #[error("the training was interrupted at inner step {step}")]
    Interrupted {
        /// The first inner step that was not made, counted over the run.
        step: u64,
    },
    /// An error of libtorch: it is out of memory, in most cases.
    #[error("libtorch failed")]
    Torch(#[source] TorchError),
    /// The model's thread did not start.
    #[error("cannot start the model's thread")]
    Thread(#[source] std::io::Error),
    /// The model's thread has ended.
    #[error("the model's thread has ended: restart the node")]
    Stopped,
}

impl From<AggregateError> for EngineError {
    fn from(error: AggregateError) -> Self {
        Self::Aggregate(Box::new(error)) // Boxed, since it is several times as large as the other errors.
    }
}

impl From<TchError> for EngineError {
    fn from(error: TchError) -> Self {
        Self::Torch(TorchError(error))
    }
}

/// An error of libtorch. It prints as the first line of the message, without the C++ stack frames below it.
#[derive(Debug)]
pub struct TorchError(TchError);

impl std::fmt::Display for TorchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().lines().next().unwrap_or_default())
    }
}

impl std::error::Error for TorchError {}

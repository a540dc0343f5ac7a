//! Why the engine could not do what it was asked.

use crate::{batch::BatchError, checkpoint::CheckpointError, shards::ShardError, trial::TrialError};
use codec::aggregate::AggregateError;
use protocol::{model::ModelError, train::TrainError};
use tch::TchError;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The model cannot exist.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training cannot be done.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An option outside of its range.
    #[error("engine.{what} is {found}: it must be {expected}")]
    Option {
        /// The option.
        what: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// A GPU that is not there.
    #[error(
        "there is no GPU {wanted}: {found} can be used (a driver and a complete PyTorch 2.11.0 are needed)"
    )]
    Device {
        /// Its number, from 0.
        wanted: usize,
        /// How many there are.
        found: i64,
    },
    /// The processor was told to round small numbers to zero, so that no two nodes would agree.
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
    /// No outer step could be made.
    #[error(transparent)]
    Aggregate(Box<AggregateError>),
    /// The training diverged.
    #[error("inner step {step}: the {what} is {value}; the learning rate may be too high")]
    NotFinite {
        /// The inner step, counted over the run.
        step: u64,
        /// What is not a number.
        what: &'static str,
        /// What it is instead.
        value: f64,
    },
    /// Somebody asked to stop.
    #[error("the training was interrupted at inner step {step}")]
    Interrupted {
        /// The inner step that was not begun, counted over the run.
        step: u64,
    },
    /// libtorch refused: no memory, most often.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] TchError),
    /// The model's thread could not be started.
    #[error("the model's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The model's thread has ended.
    #[error("the model's thread has ended: the node must be restarted")]
    Stopped,
}

impl From<AggregateError> for EngineError {
    fn from(error: AggregateError) -> Self {
        Self::Aggregate(Box::new(error)) // It is several times as large as the others.
    }
}

/// What libtorch says, without the C++ frames below it.
fn first_line(error: &TchError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

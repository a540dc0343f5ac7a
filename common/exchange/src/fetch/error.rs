//! The errors of downloads, and the faults behind them.

use base::{
    Hotkey, NeuronId,
    digest::{ObjectHash, RunHash},
    wire::WireError,
};
use codec::submission::SubmissionError;
use protocol::{checkpoint::ManifestError, history::RecordError, progress::ProgressError};
use scoring::{gauntlet::Fault, score_log::ScoreLogError};
use std::{io, path::PathBuf};
use storage::StorageError;

/// The reason why an object could not be downloaded or used. `owner` is the hotkey whose bucket was asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An owner that announces no bucket.
    #[error("{owner} announces no bucket")]
    NoBucket {
        /// The owner of the bucket.
        owner: Hotkey,
    },
    /// A bucket that does not serve the object.
    #[error("cannot download from the bucket of {owner}")]
    Storage {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: StorageError,
    },
    /// Bytes that do not have the claimed hash.
    #[error("the object of {owner} has hash {found}, but {claimed} was claimed")]
    Mismatch {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The claimed hash.
        claimed: ObjectHash,
        /// The hash of the bytes.
        found: ObjectHash,
    },
    /// Bytes that are not the expected submission.
    #[error("cannot use the object of {owner}")]
    Submission {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: SubmissionError,
    },
    /// An accepted object that no source provides.
    #[error("cannot download the accepted object {object}: {}", list(failures))]
    Nowhere {
        /// The object.
        object: ObjectHash,
        /// The nodes that were asked, in order, each with its error.
        failures: Vec<(NeuronId, FetchError)>,
    },
    /// A file of a checkpoint that no source provides.
    #[error("cannot download the file {file} of the checkpoint: {}", list(failures))]
    NoCheckpoint {
        /// The file.
        file: String,
        /// The nodes that were asked, each with its error.
        failures: Vec<(NeuronId, FetchError)>,
    },
    /// A file of a checkpoint that differs from the manifest's.
    #[error("the file {file} of the checkpoint has another hash than its manifest names")]
    WrongFile {
        /// The file.
        file: String,
    },
    /// Bytes that are not the expected score log.
    #[error("cannot use the score log of {owner}")]
    ScoreLog {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: ScoreLogError,
    },
    /// Bytes that are not a record of the window.
    #[error("cannot use the window record of {owner}")]
    Record {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: RecordError,
    },
    /// Bytes that are not a pointer to a checkpoint.
    #[error("cannot use the checkpoint pointer of {owner}")]
    Pointer {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: WireError,
    },
    /// A pointer of another run.
    #[error("the newest checkpoint of {owner} is of run {found}, not {expected}")]
    OtherRun {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The requested run.
        expected: RunHash,
        /// The run of the pointer.
        found: RunHash,
    },
    /// A manifest that differs from the pointer's: it was replaced, or is being replaced.
    #[error("the checkpoint manifest of {owner} differs from the one that its pointer names")]
    OtherManifest {
        /// The owner of the bucket.
        owner: Hotkey,
    },
    /// A manifest that does not fit a checkpoint of this model.
    #[error("cannot use the checkpoint of {owner}")]
    Manifest {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: ManifestError,
    },
    /// A checkpoint progress that cannot be read.
    #[error("cannot read the checkpoint of {owner}")]
    Progress {
        /// The owner of the bucket.
        owner: Hotkey,
        /// The cause.
        source: ProgressError,
    },
    /// A local file or folder that cannot be written or read.
    #[error("cannot read or write {}", path.display())]
    Local {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Downloads that ended because the program is stopping.
    #[error("the downloads of the window have ended: the program is stopping")]
    Ended,
    /// A check that ended because the program is stopping.
    #[error("cannot check the object of {owner}: the program is stopping")]
    Stopped {
        /// The owner of the bucket.
        owner: Hotkey,
    },
}

fn list(failures: &[(NeuronId, FetchError)]) -> String {
    let text = |(_, error): &(NeuronId, FetchError)| base::ErrorChain(error).to_string();
    failures.iter().map(text).collect::<Vec<_>>().join("; ")
}

impl FetchError {
    /// Returns the miner's fault if a claimed object could not be downloaded or used because of the
    /// miner. Returns `None` if the cause is this node.
    ///
    /// The owner of a bucket is responsible for its availability. A bucket that says that this node's clock
    /// is wrong may lie. The caller knows its own clock: see
    /// [`ClockReadings`](protocol::downloads::ClockReadings).
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::NoBucket { .. } => Some(Fault::Missing),
            Self::Storage { source, .. } => storage_fault(source),
            Self::Mismatch { .. } => Some(Fault::Mismatch),
            Self::Submission { source, .. } => Some(submission_fault(source)),
            _ => None,
        }
    }

    /// Checks whether a bucket says that this node's clock is wrong.
    #[must_use]
    pub fn blames_clock(&self) -> bool {
        matches!(self, Self::Storage { source: StorageError::Clock { .. }, .. })
    }

    /// Returns whether a later download of the same object from the same bucket may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoBucket { .. } => true,
            Self::Storage { source, .. } => source.may_be_absent() || source.is_retryable(),
            Self::Nowhere { .. } | Self::NoCheckpoint { .. } | Self::OtherManifest { .. } => true,
            _ => false,
        }
    }
}

fn storage_fault(error: &StorageError) -> Option<Fault> {
    match error {
        StorageError::Local { .. } | StorageError::Exists { .. } => None,
        StorageError::TooLarge { .. } => Some(Fault::TooLarge),
        StorageError::Slow { .. } | StorageError::Expired { .. } => Some(Fault::Slow),
        StorageError::NotFound { .. }
        | StorageError::Forbidden { .. }
        | StorageError::Clock { .. }
        | StorageError::Changed { .. }
        | StorageError::OutOfRange { .. }
        | StorageError::Unavailable { .. }
        | StorageError::Redirected { .. }
        | StorageError::Malformed { .. }
        | StorageError::Refused { .. }
        | StorageError::Endpoint { .. }
        | StorageError::Address { .. } => Some(Fault::Missing),
    }
}

/// Returns the fault of an invalid submission. A later version may be valid for a later program, so
/// it is no proof of malice. But it must have a cost: otherwise a miner with a high rating could
/// upload nothing else and keep its rating.
fn submission_fault(error: &SubmissionError) -> Fault {
    match error {
        SubmissionError::State { .. } => Fault::WrongState,
        SubmissionError::TooLarge { .. } => Fault::TooLarge,
        error if error.is_unknown_version() => Fault::Missing,
        _ => Fault::Malformed,
    }
}

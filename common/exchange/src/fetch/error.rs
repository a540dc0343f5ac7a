//! Why an object could not be had, and whose fault that is.

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

/// Why an object could not be had. `owner` is whose bucket was asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It announces no bucket.
    #[error("{owner} announces no bucket")]
    NoBucket {
        /// Who was asked.
        owner: Hotkey,
    },
    /// The bucket does not give it.
    #[error("from the bucket of {owner}: {source}")]
    Storage {
        /// Who was asked.
        owner: Hotkey,
        /// Why.
        source: StorageError,
    },
    /// The bytes are others than those that were claimed.
    #[error("{owner} has an object of hash {found} where {claimed} was claimed")]
    Mismatch {
        /// Who was asked.
        owner: Hotkey,
        /// The hash that was claimed.
        claimed: ObjectHash,
        /// The hash of the bytes.
        found: ObjectHash,
    },
    /// The bytes are no submission as expected.
    #[error("the object of {owner}: {source}")]
    Submission {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: SubmissionError,
    },
    /// Nobody who should have an accepted object gives it.
    #[error("nobody gives the accepted object {object}: {}", list(failures))]
    Nowhere {
        /// The object.
        object: ObjectHash,
        /// Who was asked, in turn, and what came of it.
        failures: Vec<(NeuronId, FetchError)>,
    },
    /// The bytes are no score log as expected.
    #[error("the score log of {owner}: {source}")]
    ScoreLog {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: ScoreLogError,
    },
    /// The bytes are no record of the window.
    #[error("the record of {owner}: {source}")]
    Record {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: RecordError,
    },
    /// The bytes are no pointer to a checkpoint.
    #[error("the pointer to the newest checkpoint of {owner}: {source}")]
    Pointer {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: WireError,
    },
    /// The pointer is of another run.
    #[error("the newest checkpoint of {owner} is of run {found}, not {expected}")]
    OtherRun {
        /// Who was asked.
        owner: Hotkey,
        /// The run that was asked for.
        expected: RunHash,
        /// The pointer's.
        found: RunHash,
    },
    /// The manifest is not the one that the pointer names: it was replaced, or is being replaced.
    #[error("the manifest of the checkpoint of {owner} is not the one that its pointer names")]
    OtherManifest {
        /// Who was asked.
        owner: Hotkey,
    },
    /// The manifest is none that a checkpoint of this model can have.
    #[error("the checkpoint of {owner}: {source}")]
    Manifest {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: ManifestError,
    },
    /// The progress in a checkpoint cannot be read.
    #[error("the checkpoint of {owner}: {source}")]
    Progress {
        /// Who was asked.
        owner: Hotkey,
        /// What is wrong.
        source: ProgressError,
    },
    /// A file of this machine cannot be written or read.
    #[error("{}: {source}", path.display())]
    Local {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program is being stopped.
    #[error("the object of {owner} is not checked: the program is being stopped")]
    Stopped {
        /// Who was asked.
        owner: Hotkey,
    },
}

fn list(failures: &[(NeuronId, FetchError)]) -> String {
    failures.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
}

impl FetchError {
    /// What its miner did wrong, if a claimed object could not be had by its fault; `None` if this node could not.
    ///
    /// A bucket that does not answer is its owner's to keep running. If no bucket of a window answers, that is this
    /// node's own trouble: see [`Self::is_unreachable`].
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

    /// Whether no answer came from the bucket at all. From one bucket that is its owner's fault; from all of them it is
    /// likely that this node is cut off, and nobody should be blamed.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Storage { source: StorageError::Unavailable { .. }, .. })
    }

    /// May the same object be had from the same bucket later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Storage { source: StorageError::NotFound { .. }, .. } | Self::NoBucket { .. } => true,
            Self::Storage { source, .. } => source.is_retryable(),
            Self::Nowhere { .. } | Self::OtherManifest { .. } => true,
            _ => false,
        }
    }
}

fn storage_fault(error: &StorageError) -> Option<Fault> {
    match error {
        StorageError::Local { .. } | StorageError::Exists { .. } => None,
        StorageError::TooLarge { .. } => Some(Fault::TooLarge),
        StorageError::Slow { .. } | StorageError::Expired { .. } => Some(Fault::Slow),
        StorageError::WrongContent { .. } => Some(Fault::Mismatch),
        StorageError::NotFound { .. }
        | StorageError::Forbidden { .. }
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

/// A later version may be fine for a later program, so it is no proof of ill will. But it cannot be free of cost either:
/// a rated miner could rest on its rating by uploading nothing else.
fn submission_fault(error: &SubmissionError) -> Fault {
    match error {
        SubmissionError::State { .. } => Fault::WrongState,
        SubmissionError::TooLarge { .. } => Fault::TooLarge,
        error if error.is_unknown_version() => Fault::Missing,
        _ => Fault::Malformed,
    }
}

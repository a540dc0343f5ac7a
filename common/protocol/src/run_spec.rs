//! The run spec: everything that all nodes of a training run must have in common.
//!
//! People write it as a TOML file ([`RunFile`]). What only the launch of a run can know (the chain, the start block, the
//! hashes of data and initial parameters) may be left out of a file and is filled in then. A complete one is a
//! [`RunSpec`]: its canonical bytes have one hash, and the hash names the run in every object and on chain.
//!
//! ```
//! use protocol::run_spec::{RunFile, RunSpecError};
//!
//! let file = RunFile::parse(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml")))?;
//! let Err(RunSpecError::Incomplete { missing, .. }) = file.complete() else { panic!("tiny is a template") };
//! assert_eq!(missing, "network.genesis, network.start_block, data.tokenizer, data.dataset, initial.root");
//! # Ok::<(), RunSpecError>(())
//! ```
//!
//! A run's rules can change by an [`Amendment`] only. Whether a run fits the live subnet says [`RunSpec::problems`].

mod amendment;
mod bytes;
mod file;
#[cfg(test)]
mod golden;
mod live;

pub use amendment::{Amendment, AmendmentError, MOST_DIFFERENCE};
pub use file::{DataFile, InitialFile, NetworkFile, RunFile};
pub use live::{LiveProblem, LiveSubnet};

use crate::{
    acceptance::{AcceptanceError, AcceptanceSpec},
    clock::{Clock, ClockError, WindowSpec},
    model::{ModelError, ModelSpec},
    train::{TrainError, TrainSpec},
};
use base::{
    BlockHash, Height, Netuid,
    digest::{DatasetHash, RunHash, RunId, RunSeed, StateRoot, TokenizerHash},
    wire::WireError,
};
use codec::sparse::{SparseError, SparseSpec};
use scoring::gauntlet::{ScoringSpec, ScoringSpecError};
use serde::{Deserialize, Serialize};

/// Most characters of a run's name.
pub const MOST_NAME: usize = 64;

/// A complete description of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSpec {
    /// What people call it: 1 to 64 of a-z, 0-9, `-`, `.`.
    pub name: String,
    /// Where it takes place.
    pub network: Network,
    /// When what happens.
    pub window: WindowSpec,
    /// What is trained.
    pub model: ModelSpec,
    /// On what.
    pub data: Data,
    /// From where.
    pub initial: Initial,
    /// How, within a window.
    pub train: TrainSpec,
    /// How updates are compressed and applied.
    pub sparse: SparseSpec,
    /// Which updates are applied.
    pub acceptance: AcceptanceSpec,
    /// How miners are scored and paid.
    pub scoring: ScoringSpec,
}

/// Where a run takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The hash of the chain's first block: which chain it is.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: Netuid,
    /// The first block of window 0.
    pub start_block: Height,
}

/// What a run is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// The hash of the tokenizer's file.
    pub tokenizer: TokenizerHash,
    /// The hash of the dataset's manifest.
    pub dataset: DatasetHash,
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initial {
    /// What the initial parameters are made from.
    pub seed: RunSeed,
    /// Their state root, so that everybody notices wrong ones at once.
    pub root: StateRoot,
}

/// Why a text or bytes are no run spec.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunSpecError {
    /// The file is no TOML, or has a field too many, too few, or of the wrong type.
    #[error("the run's file cannot be read: {0}")]
    Toml(String),
    /// The bytes are no run spec.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The name has characters that a name has not.
    #[error("name is `{0}`: it must be 1 to {MOST_NAME} of a-z, 0-9, `-` and `.`")]
    Name(String),
    /// The windows do not fit together.
    #[error(transparent)]
    Window(#[from] ClockError),
    /// The model cannot be.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training cannot be.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The compression cannot be.
    #[error(transparent)]
    Sparse(#[from] SparseError),
    /// The rules of acceptance cannot be.
    #[error(transparent)]
    Acceptance(#[from] AcceptanceError),
    /// The rules of scoring cannot be.
    #[error(transparent)]
    Scoring(#[from] ScoringSpecError),
    /// The model is not made for sequences of that length.
    #[error("train.sequence is {train}: the model takes at most model.sequence, {model}")]
    Sequence {
        /// Tokens of a sequence.
        train: u32,
        /// Most tokens that the model takes.
        model: u32,
    },
    /// A miner is evaluated on more than it trains on.
    #[error(
        "scoring.assigned_sequences is {asked}: a miner trains on {trained} in a window (inner_steps x batch)"
    )]
    Assigned {
        /// Sequences that an update is evaluated on.
        asked: u16,
        /// Sequences that a miner trains on.
        trained: u64,
    },
    /// The run is a plan, which nothing can train yet.
    #[error("run `{name}` is a plan: {reason}")]
    Plan {
        /// The run.
        name: String,
        /// Why it cannot be run.
        reason: String,
    },
    /// Fields that only the launch can know are not filled in.
    #[error("run `{name}` is not complete: fill in {missing}")]
    Incomplete {
        /// The run.
        name: String,
        /// The fields.
        missing: String,
    },
}

impl RunSpec {
    /// Reads a complete TOML file.
    ///
    /// # Errors
    /// Names the field that is wrong, or those that are missing.
    pub fn parse(text: &str) -> Result<Self, RunSpecError> {
        RunFile::parse(text)?.complete()
    }

    /// The run's hash: what objects name it by.
    #[must_use]
    pub fn hash(&self) -> RunHash {
        RunHash::of(&[&self.to_bytes()])
    }

    /// The run's short name: what commitments name it by.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.hash().id()
    }

    /// The run's clock.
    ///
    /// # Errors
    /// The spec was not checked, and its heights do not fit together.
    pub fn clock(&self) -> Result<Clock, ClockError> {
        Clock::new(self.network.start_block, self.window)
    }

    /// Checks everything that can be checked without a chain.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), RunSpecError> {
        self.clock()?;
        RunFile::from(self).check()
    }
}

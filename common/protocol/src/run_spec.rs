//! The run spec: all settings that the nodes of a training run must share.
//!
//! It is written as a TOML file ([`RunFile`]). Some values are known only at the launch of a run:
//! the chain, the start block, the founders, and the hashes of data and initial parameters. A file
//! may leave them out, and the launch fills them in. A complete file is a [`RunSpec`]. Its canonical
//! bytes have one hash, which names the run in every object and on chain.
//!
//! ```
//! use protocol::run_spec::{RunFile, RunSpecError};
//!
//! let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml"));
//! let file = RunFile::parse(text)?;
//! let Err(RunSpecError::Incomplete { missing, .. }) = file.complete() else { panic!("tiny is a template") };
//! assert!(missing.starts_with("network.genesis, network.start_block, data.tokenizer, data.dataset"));
//! assert!(missing.ends_with("initial.root, acceptance.founders"));
//! # Ok::<(), RunSpecError>(())
//! ```
//!
//! Only an [`Amendment`] can change a run's rules. [`RunSpec::problems`] checks whether a run fits
//! the live subnet.

mod amendment;
mod bytes;
mod file;
#[cfg(test)]
mod golden;
mod live;

pub use amendment::{Amendment, AmendmentError, MOST_DIFFERENCE};
pub use file::{DataFile, InitialFile, NetworkFile, RunFile};
pub use live::{LiveProblem, LiveRules, LiveSubnet, commitment_bytes};

use crate::{
    acceptance::{AcceptanceError, AcceptanceSpec},
    clock::{Clock, ClockError, WindowSpec},
    model::{ModelError, ModelSpec},
    train::{TrainError, TrainSpec},
};
use base::{
    BlockHash, Height, Mechanism, Netuid,
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
    /// The run's name: 1 to 64 of a-z, 0-9, `-`, `.`.
    pub name: String,
    /// The chain and subnet.
    pub network: Network,
    /// The lengths and deadlines of windows.
    pub window: WindowSpec,
    /// The model.
    pub model: ModelSpec,
    /// The data to train on.
    pub data: Data,
    /// The initial parameters.
    pub initial: Initial,
    /// The training within a window.
    pub train: TrainSpec,
    /// The compression and application of updates.
    pub sparse: SparseSpec,
    /// The rules that choose the updates to apply.
    pub acceptance: AcceptanceSpec,
    /// The scoring and payment of miners.
    pub scoring: ScoringSpec,
}

/// The chain and subnet of a run, and its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The hash of the chain's first block. It identifies the chain.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: Netuid,
    /// The mechanism of the subnet that the run's weights are set on.
    pub mechanism: Mechanism,
    /// The version key that validators send with weights. If the subnet's owner requires a larger one, the
    /// chain takes no weights of this run any more.
    pub version_key: u64,
    /// The first block of window 0.
    pub start_block: Height,
}

/// The data of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// The hash of the tokenizer's file.
    pub tokenizer: TokenizerHash,
    /// The hash of the dataset's manifest.
    pub dataset: DatasetHash,
}

/// The initial parameters of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initial {
    /// The seed of the initial parameters.
    pub seed: RunSeed,
    /// Their state root, so that every node notices wrong ones at once.
    pub root: StateRoot,
}

/// The reason why a text or bytes are not a valid run spec.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunSpecError {
    /// A file that is not TOML, or has an unknown field, a missing field, or a field of the wrong type.
    #[error("cannot read the run file: {0}")]
    Toml(String),
    /// Bytes that are not a run spec.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A name with characters that are not allowed.
    #[error("name is `{0}`: it must be 1 to {MOST_NAME} of a-z, 0-9, `-` and `.`")]
    Name(String),
    /// Windows that do not fit together.
    #[error(transparent)]
    Window(#[from] ClockError),
    /// An invalid model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Invalid training settings.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Invalid compression settings.
    #[error(transparent)]
    Sparse(#[from] SparseError),
    /// Invalid rules of acceptance.
    #[error(transparent)]
    Acceptance(#[from] AcceptanceError),
    /// Invalid rules of scoring.
    #[error(transparent)]
    Scoring(#[from] ScoringSpecError),
    /// Sequences that are too long for the model.
    #[error("train.sequence is {train}: the model takes at most model.sequence, {model}")]
    Sequence {
        /// Tokens of a training sequence.
        train: u32,
        /// Most tokens that the model takes.
        model: u32,
    },
    /// A miner that is evaluated on more sequences than it trains on.
    #[error(
        "scoring.assigned_sequences is {asked}: a miner trains on at least {trained} in a window (least_steps x batch)"
    )]
    Assigned {
        /// Sequences that an update is evaluated on.
        asked: u16,
        /// Sequences that a miner trains on at least.
        trained: u64,
    },
    /// A run that is only a plan and cannot be trained yet.
    #[error("run `{name}` is a plan: {reason}")]
    Plan {
        /// The run.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A file without the values that are known only at the launch.
    #[error("run `{name}` is not complete: fill in {missing}")]
    Incomplete {
        /// The run.
        name: String,
        /// The missing fields.
        missing: String,
    },
}

impl RunSpec {
    /// Reads a complete TOML file.
    ///
    /// # Errors
    /// A field is wrong, or fields are missing. The error names them.
    pub fn parse(text: &str) -> Result<Self, RunSpecError> {
        RunFile::parse(text)?.complete()
    }

    /// Returns the run's hash, by which objects name it.
    #[must_use]
    pub fn hash(&self) -> RunHash {
        RunHash::of(&[&self.to_bytes()])
    }

    /// Returns the run's short name, by which commitments name it.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.hash().id()
    }

    /// Returns the run's clock.
    ///
    /// # Errors
    /// The spec was not checked, and its heights do not fit together.
    pub fn clock(&self) -> Result<Clock, ClockError> {
        Clock::new(self.network.start_block, self.window)
    }

    /// Checks everything that can be checked without a chain.
    ///
    /// # Errors
    /// A field is wrong. The error names it.
    pub fn check(&self) -> Result<(), RunSpecError> {
        self.clock()?;
        self.acceptance.check_founders()?;
        RunFile::from(self).check()
    }
}

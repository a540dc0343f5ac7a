//! The TOML file of a run. It may leave out the values that are known only at the launch.

use super::{Data, Initial, MOST_NAME, Network, RunSpec, RunSpecError};
use crate::{
    acceptance::AcceptanceSpec,
    clock::WindowSpec,
    model::{ModelSpec, ParameterLayout},
    train::TrainSpec,
};
use base::{
    BlockHash, Height, Hotkey, Mechanism, Netuid,
    digest::{DatasetHash, RunSeed, StateRoot, TokenizerHash},
};
use codec::sparse::SparseSpec;
use scoring::gauntlet::ScoringSpec;
use serde::{Deserialize, Serialize};

/// A run's TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The run's name: 1 to 64 of a-z, 0-9, `-`, `.`.
    pub name: String,
    /// The reason why the run cannot be trained yet, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The chain and subnet.
    pub network: NetworkFile,
    /// The lengths and deadlines of windows, in blocks.
    pub window: WindowSpec,
    /// The model.
    pub model: ModelSpec,
    /// The data to train on.
    pub data: DataFile,
    /// The initial parameters.
    pub initial: InitialFile,
    /// The training within a window.
    pub train: TrainSpec,
    /// The compression and application of updates.
    pub sparse: SparseSpec,
    /// The rules that choose the updates to apply.
    pub acceptance: AcceptanceSpec,
    /// The scoring and payment of miners.
    pub scoring: ScoringSpec,
}

/// The chain and subnet of a run, and its start, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The hash of the chain's first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<BlockHash>,
    /// The subnet.
    pub netuid: Netuid,
    /// The mechanism of the subnet that the run's weights are set on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mechanism: Mechanism,
    /// The version key that validators send with weights.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version_key: u64,
    /// The first block of window 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_block: Option<Height>,
}

/// The data of a run, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// The hash of the tokenizer's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerHash>,
    /// The hash of the dataset's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetHash>,
}

/// The initial parameters of a run, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialFile {
    /// The seed of the initial parameters: 32 bytes as hex.
    pub seed: RunSeed,
    /// Their state root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<StateRoot>,
}

impl RunFile {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// A field is wrong. The error names it, with its line.
    pub fn parse(text: &str) -> Result<Self, RunSpecError> {
        let file: Self = toml::from_str(text).map_err(|error| RunSpecError::Toml(error.to_string()))?;
        file.check()?;
        Ok(file)
    }

    /// Encodes the file's text, without comments.
    ///
    /// # Errors
    /// None for a file that was parsed.
    pub fn to_toml(&self) -> Result<String, RunSpecError> {
        toml::to_string(self).map_err(|error| RunSpecError::Toml(error.to_string()))
    }

    /// Completes the run spec, if the file leaves nothing out.
    ///
    /// # Errors
    /// The run is a plan, or fields are missing. The error names them.
    pub fn complete(self) -> Result<RunSpec, RunSpecError> {
        let name = self.name.clone();
        if let Some(reason) = self.plan {
            return Err(RunSpecError::Plan { name, reason });
        }
        let mut missing = Vec::new();
        let (network, data) = (self.network, self.data);
        let network = Network {
            genesis: require(network.genesis, "network.genesis", &mut missing),
            netuid: network.netuid,
            mechanism: network.mechanism,
            version_key: network.version_key,
            start_block: require(network.start_block, "network.start_block", &mut missing),
        };
        let data = Data {
            tokenizer: require(data.tokenizer, "data.tokenizer", &mut missing),
            dataset: require(data.dataset, "data.dataset", &mut missing),
        };
        let root = require(self.initial.root, "initial.root", &mut missing);
        if self.acceptance.founders.is_empty() {
            missing.push("acceptance.founders");
        }
        if !missing.is_empty() {
            return Err(RunSpecError::Incomplete { name, missing: missing.join(", ") });
        }
        let initial = Initial { seed: self.initial.seed, root };
        let Self { window, model, train, sparse, acceptance, scoring, .. } = self;
        let spec =
            RunSpec { name, network, window, model, data, initial, train, sparse, acceptance, scoring };
        spec.check()?;
        Ok(spec)
    }

    /// Launches the run, so that it begins with block `start` of a chain, on a dataset. The validators
    /// with the hotkeys `founders`, in any order, begin it.
    ///
    /// This fills in the values that are known only at the launch. One of them is the state root of
    /// the initial parameters, for which all parameters are computed once.
    ///
    /// # Errors
    /// The run is a plan, or the values do not fit together. The number of founders must be 1 to
    /// [`MOST_FOUNDERS`](crate::acceptance::MOST_FOUNDERS).
    pub fn launch(
        mut self,
        genesis: BlockHash,
        start: Height,
        tokenizer: TokenizerHash,
        dataset: DatasetHash,
        founders: &[Hotkey],
    ) -> Result<RunSpec, RunSpecError> {
        if let Some(reason) = self.plan {
            return Err(RunSpecError::Plan { name: self.name, reason });
        }
        self.acceptance.founders = founders.to_vec();
        self.acceptance.founders.sort_unstable();
        self.acceptance.check_founders()?;
        self.acceptance.check(self.window.blocks)?;
        let layout = ParameterLayout::new(&self.model);
        (self.network.genesis, self.network.start_block) = (Some(genesis), Some(start));
        (self.data.tokenizer, self.data.dataset) = (Some(tokenizer), Some(dataset));
        self.initial.root = Some(layout.state_root(&layout.initial(&self.initial.seed), 1));
        self.complete()
    }

    /// Checks the values of the file.
    pub(super) fn check(&self) -> Result<(), RunSpecError> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if !(1..=MOST_NAME).contains(&self.name.len()) || !self.name.bytes().all(letter) {
            return Err(RunSpecError::Name(self.name.chars().take(MOST_NAME).collect()));
        }
        self.window.check()?;
        self.model.check()?;
        self.train.check()?;
        self.sparse.check()?;
        self.acceptance.check(self.window.blocks)?;
        self.scoring.validate()?;
        self.check_together()
    }

    /// Checks the values that must fit across sections.
    fn check_together(&self) -> Result<(), RunSpecError> {
        let (train, model) = (self.train.sequence, self.model.sequence);
        if train > model {
            return Err(RunSpecError::Sequence { train, model });
        }
        let asked = self.scoring.assigned_sequences;
        let trained = self.train.least_samples();
        if u64::from(asked) > trained { Err(RunSpecError::Assigned { asked, trained }) } else { Ok(()) }
    }
}

/// Returns whether a value is the one that a file may leave out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns a value that the launch fills in. If it is missing, its name is added to `missing`.
fn require<T: Default>(value: Option<T>, name: &'static str, missing: &mut Vec<&'static str>) -> T {
    value.unwrap_or_else(|| {
        missing.push(name);
        T::default()
    })
}

impl From<&RunSpec> for RunFile {
    fn from(spec: &RunSpec) -> Self {
        let Network { genesis, netuid, mechanism, version_key, start_block } = spec.network;
        let (genesis, start_block) = (Some(genesis), Some(start_block));
        Self {
            name: spec.name.clone(),
            plan: None,
            network: NetworkFile { genesis, netuid, mechanism, version_key, start_block },
            window: spec.window,
            model: spec.model,
            data: DataFile { tokenizer: Some(spec.data.tokenizer), dataset: Some(spec.data.dataset) },
            initial: InitialFile { seed: spec.initial.seed, root: Some(spec.initial.root) },
            train: spec.train,
            sparse: spec.sparse,
            acceptance: spec.acceptance.clone(),
            scoring: spec.scoring,
        }
    }
}

//! The file that people write, in which what only the launch can know may be left out.

use super::{Data, Initial, MOST_NAME, Network, RunSpec, RunSpecError};
use crate::{
    acceptance::AcceptanceSpec,
    clock::WindowSpec,
    model::{Layout, ModelSpec},
    train::TrainSpec,
};
use base::{
    BlockHash, Height, Netuid,
    digest::{DatasetHash, RunSeed, StateRoot, TokenizerHash},
};
use codec::sparse::SparseSpec;
use scoring::gauntlet::ScoringSpec;
use serde::{Deserialize, Serialize};

/// A run's TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// What people call the run: 1 to 64 of a-z, 0-9, `-`, `.`.
    pub name: String,
    /// Why the run cannot be trained yet, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Where it takes place.
    pub network: NetworkFile,
    /// When what happens, in blocks.
    pub window: WindowSpec,
    /// What is trained.
    pub model: ModelSpec,
    /// On what.
    pub data: DataFile,
    /// From where.
    pub initial: InitialFile,
    /// How, within a window.
    pub train: TrainSpec,
    /// How updates are compressed and applied.
    pub sparse: SparseSpec,
    /// Which updates are applied.
    pub acceptance: AcceptanceSpec,
    /// How miners are scored and paid.
    pub scoring: ScoringSpec,
}

/// Where a run takes place, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The hash of the chain's first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<BlockHash>,
    /// The subnet.
    pub netuid: Netuid,
    /// The first block of window 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_block: Option<Height>,
}

/// What a run is trained on, as far as it is known.
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

/// Where a run begins, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialFile {
    /// What the initial parameters are made from: 32 bytes as hex.
    pub seed: RunSeed,
    /// Their state root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<StateRoot>,
}

impl RunFile {
    /// Reads a file and checks what is in it.
    ///
    /// # Errors
    /// Names the field that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, RunSpecError> {
        let file: Self = toml::from_str(text).map_err(|error| RunSpecError::Toml(error.to_string()))?;
        file.check()?;
        Ok(file)
    }

    /// The file's text, without comments.
    ///
    /// # Errors
    /// Never for a file that was parsed.
    pub fn to_toml(&self) -> Result<String, RunSpecError> {
        toml::to_string(self).map_err(|error| RunSpecError::Toml(error.to_string()))
    }

    /// The run spec, when nothing is left out.
    ///
    /// # Errors
    /// The run is a plan, or names the fields that are missing.
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
            start_block: require(network.start_block, "network.start_block", &mut missing),
        };
        let data = Data {
            tokenizer: require(data.tokenizer, "data.tokenizer", &mut missing),
            dataset: require(data.dataset, "data.dataset", &mut missing),
        };
        let root = require(self.initial.root, "initial.root", &mut missing);
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

    /// The run that begins with block `start` of a chain, on a dataset: fills in what only the launch can know, the state
    /// root of the initial parameters included, for which all of them are made once.
    ///
    /// # Errors
    /// The run is a plan, or what comes out does not fit together.
    pub fn launch(
        mut self,
        genesis: BlockHash,
        start: Height,
        tokenizer: TokenizerHash,
        dataset: DatasetHash,
    ) -> Result<RunSpec, RunSpecError> {
        if let Some(reason) = self.plan {
            return Err(RunSpecError::Plan { name: self.name, reason });
        }
        let layout = Layout::new(&self.model);
        (self.network.genesis, self.network.start_block) = (Some(genesis), Some(start));
        (self.data.tokenizer, self.data.dataset) = (Some(tokenizer), Some(dataset));
        self.initial.root = Some(layout.state_root(&layout.initial(&self.initial.seed), 1));
        self.complete()
    }

    /// Checks what is in the file.
    pub(super) fn check(&self) -> Result<(), RunSpecError> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if !(1..=MOST_NAME).contains(&self.name.len()) || !self.name.bytes().all(letter) {
            return Err(RunSpecError::Name(self.name.chars().take(MOST_NAME).collect()));
        }
        self.window.check()?;
        self.model.check()?;
        self.train.check()?;
        self.sparse.check()?;
        self.acceptance.check()?;
        self.scoring.validate()?;
        self.check_together()
    }

    /// Checks what must fit across sections.
    fn check_together(&self) -> Result<(), RunSpecError> {
        let (train, model) = (self.train.sequence, self.model.sequence);
        if train > model {
            return Err(RunSpecError::Sequence { train, model });
        }
        let (asked, trained) = (self.scoring.assigned_sequences, self.train.samples());
        match u64::from(asked) > trained {
            true => Err(RunSpecError::Assigned { asked, trained }),
            false => Ok(()),
        }
    }
}

/// A value that the launch fills in; its name is noted if it is not there.
fn require<T: Default>(value: Option<T>, name: &'static str, missing: &mut Vec<&'static str>) -> T {
    value.unwrap_or_else(|| {
        missing.push(name);
        T::default()
    })
}

impl From<&RunSpec> for RunFile {
    fn from(spec: &RunSpec) -> Self {
        let Network { genesis, netuid, start_block } = spec.network;
        Self {
            name: spec.name.clone(),
            plan: None,
            network: NetworkFile { genesis: Some(genesis), netuid, start_block: Some(start_block) },
            window: spec.window,
            model: spec.model,
            data: DataFile { tokenizer: Some(spec.data.tokenizer), dataset: Some(spec.data.dataset) },
            initial: InitialFile { seed: spec.initial.seed, root: Some(spec.initial.root) },
            train: spec.train,
            sparse: spec.sparse,
            acceptance: spec.acceptance,
            scoring: spec.scoring,
        }
    }
}

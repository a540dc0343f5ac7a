//! The chain data of a window.

use super::unknown::Unknown;
use base::{
    Height, NeuronId, Uid,
    digest::{State, StateRoot},
};
use chain::Hyperparameters;
use exchange::BlockState;
use protocol::{
    acceptance::Decision,
    announcement::{Claim, Vote},
    clock::Heights,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The chain data of a window, and the recomputed state at its start.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) heights: Heights,
    /// The recomputed state at the window's start, or the reason why it is unknown.
    pub(super) state: Result<(StateRoot, State), Unknown>,
    /// The chain data, or the reason why it is unknown.
    pub(super) chain: Result<Chain, Unknown>,
}

/// The chain data of a window.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) decision: Decision,
    /// The chain's state at `M_w`.
    pub(super) at: Arc<BlockState>,
    /// All claims at `D_w`, including those of miners that are not candidates.
    pub(super) claims: BTreeMap<NeuronId, Claim>,
    /// The votes at `M_w`.
    pub(super) votes: BTreeMap<NeuronId, Vote>,
    /// The subnet's next epoch after `M_w`, if there will be one.
    pub(super) next_epoch: Option<Height>,
    /// The validators that could vote: those with stake and permit at `M_w`.
    pub(super) permitted: BTreeSet<NeuronId>,
    /// The uids of all neurons at `M_w`.
    pub(super) uids: BTreeMap<NeuronId, Uid>,
    /// The chain's state at `S_w`. Its block hash seeds the evaluations. Its miners and rules are those
    /// that score logs refer to.
    pub(super) seed: Arc<BlockState>,
    /// The hyperparameters of the subnet at `S_w`.
    pub(super) rules: Hyperparameters,
}

impl Chain {
    /// Returns the uid of a neuron at `M_w`, or else at `S_w`. Returns 0 for a neuron without a uid: no
    /// finding is about such a neuron.
    pub(super) fn uid(&self, id: &NeuronId) -> Uid {
        let seeded = || self.seed.neuron(&id.hotkey).filter(|(other, _)| other == id).map(|(_, uid)| uid);
        self.uids.get(id).copied().or_else(seeded).unwrap_or_default()
    }
}

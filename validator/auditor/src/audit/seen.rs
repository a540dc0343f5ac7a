//! What the chain says of a window.

use base::{
    NeuronId, Uid,
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

/// What was seen of a window on chain, and what the walk found before it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) heights: Heights,
    /// The state at its start, as it comes out here; or why that is not known.
    pub(super) state: Result<(StateRoot, State), String>,
    /// What the chain says; or why that is not known.
    pub(super) chain: Result<Chain, String>,
}

/// What the chain says of a window.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) decision: Decision,
    /// The state at `M_w`.
    pub(super) at: Arc<BlockState>,
    /// All claims at `D_w`, candidates or not.
    pub(super) claims: BTreeMap<NeuronId, Claim>,
    /// The votes that stand at `M_w`.
    pub(super) votes: BTreeMap<NeuronId, Vote>,
    /// Who could have voted: stake and permit at `M_w`.
    pub(super) permitted: BTreeSet<NeuronId>,
    /// Who of them usually votes, and why one says so.
    pub(super) regular: BTreeMap<NeuronId, String>,
    /// The uids of all neurons at `M_w`.
    pub(super) uids: BTreeMap<NeuronId, Uid>,
    /// The state at `S_w`: its hash seeds the evaluations, and miners and rules are judged as they are there.
    pub(super) seed: Arc<BlockState>,
    /// The subnet's rules at `S_w`.
    pub(super) rules: Hyperparameters,
}

impl Chain {
    /// The uid of a neuron; 0 for who has none any more, which nobody has who is asked for.
    pub(super) fn uid(&self, id: &NeuronId) -> Uid {
        let seeded = || self.seed.neuron(&id.hotkey).filter(|(other, _)| other == id).map(|(_, uid)| uid);
        self.uids.get(id).copied().or_else(seeded).unwrap_or_default()
    }
}

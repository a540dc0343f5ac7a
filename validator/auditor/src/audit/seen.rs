//! What the chain says of a window.

use chain::Hyperparameters;
use common::{
    BlockHash, NeuronId, Uid,
    acceptance::Decision,
    announcement::{Claim, Vote},
    clock::Heights,
    digest::{State, StateRoot},
};
use exchange::BlockState;
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
    /// The uids of all neurons at `D_w`, and at `M_w`.
    pub(super) uids: [BTreeMap<NeuronId, Uid>; 2],
    /// The uid of the subnet's owner at `M_w`.
    pub(super) owner: Option<Uid>,
    /// The subnet's rules at `M_w`.
    pub(super) rules: Hyperparameters,
    /// The hash of `S_w`.
    pub(super) seed: BlockHash,
}

impl Chain {
    /// The uid of a neuron; 0 for who has none any more, which nobody has who is asked for.
    pub(super) fn uid(&self, id: &NeuronId) -> Uid {
        self.uids.iter().rev().find_map(|uids| uids.get(id)).copied().unwrap_or_default()
    }
}

//! The state of a subnet after one block, whole.

use base::{BlockHash, Height, Hotkey, NeuronId, Uid, Window, digest::RunId};
use chain::{Commitments, Metagraph};
use protocol::{
    acceptance::{Accepted, Decision, NeuronState, Snapshot, SnapshotError},
    announcement::{self, Bucket, Claim, Reading, Vote},
    clock::Heights,
};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a subnet after one finalized block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockState {
    /// The block.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// All neurons.
    pub metagraph: Metagraph,
    /// What they announce.
    pub commitments: Commitments,
    /// Both, as acceptance reads them.
    pub snapshot: Snapshot,
}

impl BlockState {
    /// Joins what was read after one block.
    ///
    /// # Errors
    /// A hotkey holds two uids.
    pub fn new(
        height: Height,
        hash: BlockHash,
        metagraph: Metagraph,
        commitments: Commitments,
    ) -> Result<Self, SnapshotError> {
        let neurons = metagraph.neurons.iter().map(|neuron| NeuronState {
            id: NeuronId { hotkey: neuron.hotkey, registered: neuron.registered },
            incentive: neuron.incentive,
            stake: neuron.stake_weight,
            permit: neuron.permit,
        });
        let announced = commitments.valid.iter().map(|(hotkey, commitment)| (*hotkey, commitment));
        let snapshot = Snapshot::new(height, hash, neurons, announced)?;
        Ok(Self { height, hash, metagraph, commitments, snapshot })
    }

    /// Who holds a hotkey, if it is registered.
    #[must_use]
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<(NeuronId, Uid)> {
        let neuron = self.metagraph.by_hotkey(hotkey)?;
        Some((NeuronId { hotkey: neuron.hotkey, registered: neuron.registered }, neuron.uid))
    }

    /// All neurons, in the order of uids: what [`Assignments`](protocol::assignment::Assignments) ask for.
    #[must_use]
    pub fn neurons_by_uid(&self) -> Vec<NeuronId> {
        let neurons = self.metagraph.neurons.iter();
        neurons.map(|n| NeuronId { hotkey: n.hotkey, registered: n.registered }).collect()
    }

    /// What a hotkey announces, and what else stands in its commitment.
    #[must_use]
    pub fn reading(&self, hotkey: &Hotkey) -> Option<Reading> {
        Some(announcement::read(&self.commitments.of(hotkey)?.fields))
    }

    /// The bucket that a hotkey announces.
    #[must_use]
    pub fn bucket(&self, hotkey: &Hotkey) -> Option<Bucket> {
        Some(self.reading(hotkey)?.announcement?.bucket)
    }

    /// The claims for a window of a run that stand.
    #[must_use]
    pub fn claims(&self, run: RunId, window: Window) -> BTreeMap<NeuronId, Claim> {
        self.snapshot.claims(run, window).collect()
    }

    /// The votes on a window of a run that stand: set after `D_w`, by who may vote.
    #[must_use]
    pub fn votes(&self, run: RunId, heights: &Heights) -> BTreeMap<NeuronId, Vote> {
        self.snapshot.votes(run, heights).map(|(id, _, vote)| (id, *vote)).collect()
    }

    /// Who voted for an accepted object, from the state that the quorum names: who must have had it.
    #[must_use]
    pub fn voters_for(
        &self,
        run: RunId,
        heights: &Heights,
        decision: &Decision,
        accepted: &Accepted,
    ) -> BTreeSet<NeuronId> {
        let place = decision.candidates.iter().position(|candidate| candidate.id == accepted.id);
        let had = |vote: &Vote| {
            Some(vote.state) == decision.state && place.is_some_and(|place| vote.good.has(place))
        };
        let votes = self.snapshot.votes(run, heights);
        votes.filter(|(.., vote)| had(vote)).map(|(id, ..)| id).collect()
    }

    /// Who may vote, in the order of hotkeys, each with its stake of 65535.
    #[must_use]
    pub fn permitted(&self) -> Vec<(NeuronId, u16)> {
        let neurons = self.snapshot.participants().map(|participant| participant.neuron);
        neurons.filter(|n| n.permit && n.stake > 0).map(|n| (n.id, n.stake)).collect()
    }
}

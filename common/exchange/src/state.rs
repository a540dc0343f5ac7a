//! The complete state of a subnet after one block.

use base::{
    BlockHash, Height, Hotkey, NeuronId, Uid, Window,
    digest::{ObjectHash, RunId},
};
use chain::{Commitments, Metagraph};
use protocol::{
    acceptance::{
        AcceptanceSpec, Accepted, Decision, Electorate, NamedState, NeuronState, Snapshot, SnapshotError,
        named_states,
    },
    announcement::{self, Bucket, Claim, Reading, Vote},
    clock::Heights,
    replicas,
};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a subnet after one finalized block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockState {
    /// The height of the block.
    pub height: Height,
    /// The hash of the block.
    pub hash: BlockHash,
    /// All neurons.
    pub metagraph: Metagraph,
    /// Metagraph and announcements, in the form that acceptance needs.
    pub snapshot: Snapshot,
    /// The contents of the commitments of all hotkeys.
    announced: BTreeMap<Hotkey, Reading>,
}

impl BlockState {
    /// Creates the state from metagraph and commitments of the same block. Reads each commitment once.
    ///
    /// # Errors
    /// A hotkey holds two uids.
    pub fn new(
        height: Height,
        hash: BlockHash,
        metagraph: Metagraph,
        commitments: &Commitments,
    ) -> Result<Self, SnapshotError> {
        let neurons = metagraph.neurons.iter().map(|neuron| NeuronState {
            id: NeuronId { hotkey: neuron.hotkey, registered: neuron.registered },
            incentive: neuron.incentive,
            stake: neuron.stake_weight,
            permit: neuron.permit,
        });
        let mut announced = BTreeMap::new();
        let mut records = Vec::new();
        for (hotkey, commitment) in &commitments.valid {
            let reading = announcement::read(&commitment.fields);
            let set = Height(commitment.block.into());
            records.extend(reading.record().map(|record| (*hotkey, set, *record)));
            announced.insert(*hotkey, reading);
        }
        let snapshot = Snapshot::new(height, hash, neurons, records)?;
        Ok(Self { height, hash, metagraph, snapshot, announced })
    }

    /// Returns the neuron that holds a hotkey, if the hotkey is registered.
    #[must_use]
    pub fn neuron(&self, hotkey: &Hotkey) -> Option<(NeuronId, Uid)> {
        let neuron = self.metagraph.by_hotkey(hotkey)?;
        Some((NeuronId { hotkey: neuron.hotkey, registered: neuron.registered }, neuron.uid))
    }

    /// Returns all neurons in the order of uids, as [`Assignments`](protocol::assignment::Assignments)
    /// need them.
    #[must_use]
    pub fn neurons_by_uid(&self) -> Vec<NeuronId> {
        let neurons = self.metagraph.neurons.iter();
        neurons.map(|n| NeuronId { hotkey: n.hotkey, registered: n.registered }).collect()
    }

    /// Returns a hotkey's announcement, and the other contents of its commitment.
    #[must_use]
    pub fn reading(&self, hotkey: &Hotkey) -> Option<&Reading> {
        self.announced.get(hotkey)
    }

    /// Returns the bucket that a hotkey announces.
    #[must_use]
    pub fn bucket(&self, hotkey: &Hotkey) -> Option<&Bucket> {
        Some(&self.reading(hotkey)?.announcement.as_ref()?.bucket)
    }

    /// Returns the claims for a window of a run that the commitments of this block contain.
    #[must_use]
    pub fn claims(&self, run: RunId, window: Window) -> BTreeMap<NeuronId, Claim> {
        self.snapshot.claims(run, window).collect()
    }

    /// Returns the votes on a window of a run that were set after `D_w`, by neurons that may vote.
    #[must_use]
    pub fn votes(&self, run: RunId, heights: &Heights) -> BTreeMap<NeuronId, Vote> {
        self.snapshot.votes(run, heights).map(|(id, _, vote)| (id, *vote)).collect()
    }

    /// Returns the states that these votes name, the one with the most stake first.
    #[must_use]
    pub fn named_states(&self, run: RunId, heights: &Heights) -> Vec<NamedState> {
        named_states(run, heights, &self.snapshot)
    }

    /// Returns the voters for an accepted object whose votes name the quorum's state. These nodes must
    /// have had the object.
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

    /// Computes the electorate for a window, if this is the state at its `D_w` or `M_w`: see
    /// [`Electorate::new`].
    #[must_use]
    pub fn electorate(&self, run: RunId, spec: &AcceptanceSpec, heights: &Heights) -> Electorate {
        Electorate::new(run, spec, heights, &self.snapshot)
    }

    /// Selects the keepers of an accepted object of a window, if this is the state at its `D_w`. `voters` are
    /// those that the state at `M_w` gives: [`Self::voters_for`]. See [`replicas::keepers`].
    #[must_use]
    pub fn keepers(
        &self,
        run: RunId,
        spec: &AcceptanceSpec,
        heights: &Heights,
        object: &ObjectHash,
        voters: &BTreeSet<NeuronId>,
    ) -> Vec<NeuronId> {
        replicas::keepers(self.hash, object, &self.electorate(run, spec, heights), voters)
    }

    /// Returns the neurons that may vote, in the order of hotkeys, each with its stake (65535 for the
    /// largest).
    #[must_use]
    pub fn permitted(&self) -> Vec<(NeuronId, u16)> {
        let neurons = self.snapshot.participants().map(|participant| participant.neuron);
        neurons.filter(|n| n.permit && n.stake > 0).map(|n| (n.id, n.stake)).collect()
    }
}

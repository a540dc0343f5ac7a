//! What acceptance reads of the chain after one block.

use crate::{
    announcement::{self, Claim, Record, Vote},
    clock::Heights,
};
use base::{BlockHash, Height, Hotkey, NeuronId, Window, commitment::Commitment, digest::RunId};
use std::collections::BTreeMap;

/// The state of a subnet after one finalized block, as far as acceptance depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    height: Height,
    hash: BlockHash,
    participants: BTreeMap<Hotkey, Participant>,
}

/// What the metagraph says of a neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeuronState {
    /// Who it is.
    pub id: NeuronId,
    /// Its share of the miners' reward, of 65535 (`Incentive`).
    pub incentive: u16,
    /// Its stake as it counts in votes, of 65535 for the largest (`StakeWeight`).
    pub stake: u16,
    /// May it set weights on others? (`ValidatorPermit`)
    pub permit: bool,
}

/// A neuron, and what it says of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// What the metagraph says of it.
    pub neuron: NeuronState,
    /// Its claim or vote, with the block in which it was set. One of an earlier registration of the hotkey is none.
    pub record: Option<(Height, Record)>,
}

/// Why states are none of a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A hotkey holds two uids, which the chain does not allow.
    #[error("block {height}: hotkey {hotkey} is listed twice")]
    Duplicate {
        /// The block.
        height: Height,
        /// The hotkey.
        hotkey: Hotkey,
    },
}

impl Snapshot {
    /// The state after block `height`: the metagraph's neurons and the subnet's commitments, in any order.
    ///
    /// Commitments of hotkeys that are not registered, and of other software, are left out.
    ///
    /// # Errors
    /// A hotkey is listed twice.
    pub fn new<'a>(
        height: Height,
        hash: BlockHash,
        neurons: impl IntoIterator<Item = NeuronState>,
        commitments: impl IntoIterator<Item = (Hotkey, &'a Commitment)>,
    ) -> Result<Self, SnapshotError> {
        let mut participants = BTreeMap::new();
        for neuron in neurons {
            let hotkey = neuron.id.hotkey;
            if participants.insert(hotkey, Participant { neuron, record: None }).is_some() {
                return Err(SnapshotError::Duplicate { height, hotkey });
            }
        }
        for (hotkey, commitment) in commitments {
            let Some(participant) = participants.get_mut(&hotkey) else { continue };
            let set = Height(commitment.block.into());
            if set >= participant.neuron.id.registered {
                let record = announcement::read(&commitment.fields).record().copied();
                participant.record = record.map(|record| (set, record));
            }
        }
        Ok(Self { height, hash, participants })
    }

    /// The block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The block's hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// All neurons, in the order of hotkeys.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.participants.values()
    }

    /// The neuron of this name: not another registration of its hotkey.
    #[must_use]
    pub fn get(&self, id: &NeuronId) -> Option<&Participant> {
        self.participants.get(&id.hotkey).filter(|participant| participant.neuron.id == *id)
    }

    /// The claims for a window of a run that stand, in the order of hotkeys.
    pub fn claims(&self, run: RunId, window: Window) -> impl Iterator<Item = (NeuronId, Claim)> {
        let claim = move |participant: &Participant| participant.claim(run, window).copied();
        self.participants().filter_map(move |p| Some((p.neuron.id, claim(p)?)))
    }

    /// The votes on a window of a run that stand, in the order of hotkeys: voter, stake, vote.
    ///
    /// They count if a quorum has their state, which [`decide`](super::decide) says.
    pub fn votes(&self, run: RunId, heights: &Heights) -> impl Iterator<Item = (NeuronId, u64, &Vote)> {
        let (window, after) = (heights.window, heights.claims_close);
        self.participants().filter_map(move |participant| {
            let vote = participant.vote(run, window, after)?;
            Some((participant.neuron.id, participant.voice(), vote))
        })
    }
}

impl Participant {
    /// Its claim for a window of a run.
    pub(super) fn claim(&self, run: RunId, window: Window) -> Option<&Claim> {
        match &self.record {
            Some((_, Record::Claim(claim))) if claim.run == run && claim.window == window => Some(claim),
            _ => None,
        }
    }

    /// Its vote for a window of a run, if it was set after block `after` by a hotkey that may vote.
    pub(super) fn vote(&self, run: RunId, window: Window, after: Height) -> Option<&Vote> {
        match &self.record {
            Some((set, Record::Vote(vote))) if *set > after && vote.run == run && vote.window == window => {
                (self.voice() > 0).then_some(vote)
            }
            _ => None,
        }
    }

    /// The stake with which it may vote: none without a permit.
    pub(super) fn voice(&self) -> u64 {
        if self.neuron.permit { self.neuron.stake.into() } else { 0 }
    }
}

//! Holds the chain state after one block that acceptance reads.

use crate::{
    announcement::{Claim, Record, Vote},
    clock::Heights,
};
use base::{BlockHash, Height, Hotkey, NeuronId, Window, digest::RunId};
use std::collections::BTreeMap;

/// The part of a subnet's state after one finalized block that acceptance depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    height: Height,
    hash: BlockHash,
    participants: BTreeMap<Hotkey, Participant>,
}

/// The metagraph's record of a neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeuronState {
    /// The name of the neuron.
    pub id: NeuronId,
    /// Its share of the miners' reward, of 65535 (`Incentive`).
    pub incentive: u16,
    /// Its stake as it counts in votes, of 65535 for the largest (`StakeWeight`).
    pub stake: u16,
    /// Permission to set weights on other neurons (`ValidatorPermit`).
    pub permit: bool,
}

/// A neuron, with its claim or vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The metagraph's record of it.
    pub neuron: NeuronState,
    /// Its claim or vote, with the block in which it was set. Those of an earlier registration of
    /// the hotkey do not count.
    pub record: Option<(Height, Record)>,
}

/// The reason why states do not describe a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A hotkey that holds two uids, which the chain does not allow.
    #[error("block {height}: hotkey {hotkey} is listed twice")]
    Duplicate {
        /// The block.
        height: Height,
        /// The hotkey.
        hotkey: Hotkey,
    },
}

impl Snapshot {
    /// Creates the state after block `height` from the metagraph's neurons, and the claims and votes in the
    /// subnet's commitments, in any order. Each of these has its hotkey and the block in which it was set.
    ///
    /// It leaves out those of hotkeys that are not registered.
    ///
    /// # Errors
    /// A hotkey is listed twice.
    pub fn new(
        height: Height,
        hash: BlockHash,
        neurons: impl IntoIterator<Item = NeuronState>,
        records: impl IntoIterator<Item = (Hotkey, Height, Record)>,
    ) -> Result<Self, SnapshotError> {
        let mut participants = BTreeMap::new();
        for neuron in neurons {
            let hotkey = neuron.id.hotkey;
            if participants.insert(hotkey, Participant { neuron, record: None }).is_some() {
                return Err(SnapshotError::Duplicate { height, hotkey });
            }
        }
        for (hotkey, set, record) in records {
            let Some(participant) = participants.get_mut(&hotkey) else { continue };
            if set >= participant.neuron.id.registered {
                participant.record = Some((set, record));
            }
        }
        Ok(Self { height, hash, participants })
    }

    /// Returns the number of the block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// Returns the hash of the block.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Returns all neurons, in the order of hotkeys.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.participants.values()
    }

    /// Returns the neuron of this name. Another registration of its hotkey does not match.
    #[must_use]
    pub fn get(&self, id: &NeuronId) -> Option<&Participant> {
        self.participants.get(&id.hotkey).filter(|participant| participant.neuron.id == *id)
    }

    /// Returns the claims for a window of a run that stand, in the order of hotkeys.
    pub fn claims(&self, run: RunId, window: Window) -> impl Iterator<Item = (NeuronId, Claim)> {
        let claim = move |participant: &Participant| participant.claim(run, window).copied();
        self.participants().filter_map(move |p| Some((p.neuron.id, claim(p)?)))
    }

    /// Returns the votes on a window of a run that stand, in the order of hotkeys: voter, stake,
    /// vote.
    ///
    /// They count if they name the state of a quorum. [`decide`](super::decide) finds that state.
    pub fn votes(&self, run: RunId, heights: &Heights) -> impl Iterator<Item = (NeuronId, u64, &Vote)> {
        let (window, after) = (heights.window, heights.claims_close);
        self.participants().filter_map(move |participant| {
            let vote = participant.vote(run, window, after)?;
            Some((participant.neuron.id, participant.voice().into(), vote))
        })
    }
}

impl Participant {
    /// Returns its claim for a window of a run.
    pub(super) fn claim(&self, run: RunId, window: Window) -> Option<&Claim> {
        match &self.record {
            Some((_, Record::Claim(claim))) if claim.run == run && claim.window == window => Some(claim),
            _ => None,
        }
    }

    /// Returns its vote for a window of a run, if a hotkey that may vote set it after block
    /// `after`.
    pub(super) fn vote(&self, run: RunId, window: Window, after: Height) -> Option<&Vote> {
        match &self.record {
            Some((set, Record::Vote(vote))) if *set > after && vote.run == run && vote.window == window => {
                (self.voice() > 0).then_some(vote)
            }
            _ => None,
        }
    }

    /// Returns the stake with which it may vote: 0 without a permit.
    pub(super) fn voice(&self) -> u16 {
        if self.neuron.permit { self.neuron.stake } else { 0 }
    }
}

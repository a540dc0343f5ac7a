//! Strategies: the updates that a group of hotkeys makes in a window, honest or not.
//!
//! A strategy decides for all hotkeys of one owner together, since attackers collude. It sees what an owner
//! of hotkeys can know on a network with sealed submissions: the shared parameters, the data, the
//! assignments, and all updates of earlier windows. It does not see others' updates of the same window.

mod backdoor;
mod collusion;
mod idle;
mod noise;
mod poison;
mod split;
mod tampered;
mod work;

pub(crate) use backdoor::{Backdoor, answer_share};
pub(crate) use collusion::{Alie, Foe};
pub(crate) use idle::{Copier, Idle, Renewal, Stale};
pub(crate) use noise::Downhill;
pub(crate) use poison::{Drift, Poison};
pub(crate) use split::{Split, SplitBy};
pub(crate) use tampered::Tampered;
pub(crate) use work::{Data, Declared, Work};

use crate::{lab::Lab, pay::Sent, random::Random};
use anyhow::Result;
use base::{NeuronId, Window};
use codec::{aggregate::StepNorms, sparse::SparseTensor};
use protocol::{assignment::Assignments, train::TrainSpec};
use training_bench::miner::Miner;

/// The content of a submission before it is signed.
pub(crate) struct Offer {
    pub(crate) sent: Vec<SparseTensor>,
    /// The number of sequences that the header declares.
    pub(crate) samples: u64,
}

/// The knowledge of an owner of hotkeys in a window.
pub(crate) struct View<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) seed: u64,
    pub(crate) window: Window,
    pub(crate) assignments: &'a Assignments,
    /// The honest miners, the victims of some attacks.
    pub(crate) honest: &'a [NeuronId],
    /// The shared parameters of this window and, after the first one, of the window before.
    pub(crate) shared: &'a [f32],
    pub(crate) before: Option<&'a [f32]>,
    /// The norms of the last accepted set.
    pub(crate) norms: Option<&'a StepNorms>,
    /// All valid updates of the window before.
    pub(crate) published: &'a Sent,
}

/// A way to make updates.
pub(crate) trait Strategy {
    /// Prepares the hotkeys before a window's data is assigned. The default changes nothing.
    fn begin(&mut self, _seed: u64, _window: Window, _miners: &mut [Miner]) {}

    /// Makes the updates of all hotkeys for a window. The models hold the shared parameters before and after.
    /// `None` stands for a hotkey that claims nothing.
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>>;

    /// Settles the error feedback when the accepted set is known. The default is the honest way: each hotkey
    /// subtracts what was accepted from it.
    fn settle(&mut self, view: &View<'_>, miners: &mut [Miner], accepted: &[Option<Vec<SparseTensor>>]) {
        for (miner, sent) in miners.iter_mut().zip(accepted) {
            if let Some(sent) = sent {
                miner.settle(sent, &view.lab.layout);
            }
        }
    }
}

impl View<'_> {
    /// Returns the sequences that are assigned to a hotkey, in the order of training.
    pub(crate) fn assigned(&self, neuron: &NeuronId) -> Result<Vec<u64>> {
        Ok(self.assignments.of(neuron)?.sequences().collect())
    }

    /// Trains a miner on these sequences, one batch for each inner step. Returns the pseudo-gradient.
    pub(crate) fn train(&self, miner: &mut Miner, sequences: Vec<u64>) -> Result<Vec<f32>> {
        let all = self.spec();
        let steps = sequences.len().div_ceil(all.batch as usize);
        let train = TrainSpec { inner_steps: u32::try_from(steps)?, least_steps: 1, ..all };
        let batches = self.lab.dataset.cut(sequences, &train);
        miner.train(&train, self.window.0 * u64::from(all.inner_steps), batches)
    }

    /// Returns the rules of training.
    pub(crate) fn spec(&self) -> TrainSpec {
        self.lab.run.train
    }

    /// Returns the sequences that an honest miner trains on and declares.
    pub(crate) fn samples(&self) -> u64 {
        self.spec().samples()
    }

    /// Returns the last outer step as a pseudo-gradient: the parameters before it minus those after it.
    pub(crate) fn last_step(&self) -> Vec<f32> {
        let before = self.before.unwrap_or(self.shared);
        before.iter().zip(self.shared).map(|(before, after)| before - after).collect()
    }

    /// Returns random numbers for a use and a hotkey of the group.
    pub(crate) fn random(&self, label: &str, number: usize) -> Random {
        self.lab.random(self.seed, label, self.window.0, number)
    }
}

/// Makes one offer for each hotkey, alone and in turn.
pub(crate) fn each(
    miners: &mut [Miner],
    mut offer: impl FnMut(usize, &mut Miner) -> Result<Option<Offer>>,
) -> Result<Vec<Option<Offer>>> {
    miners.iter_mut().enumerate().map(|(number, miner)| offer(number, miner)).collect()
}

/// Settles the error feedback of hotkeys that send other values than they selected: where their update was
/// accepted, they subtract the values that they selected. So their next honest part is not disturbed.
pub(crate) fn settle_honest(
    view: &View<'_>,
    miners: &mut [Miner],
    selected: &[Vec<SparseTensor>],
    accepted: &[Option<Vec<SparseTensor>>],
) {
    for ((miner, selected), accepted) in miners.iter_mut().zip(selected).zip(accepted) {
        if accepted.is_some() {
            miner.settle(selected, &view.lab.layout);
        }
    }
}

//! The training of a run by several miners, without a chain and without buckets. All miners are accepted in
//! all windows.
//!
//! `theta_j` are the parameters after the accepted sets of windows 0 to j-1 are applied. With staleness 0,
//! window w trains from `theta_w`. With staleness 1, its set is exchanged while window w+1 trains, and is
//! applied at the end of that window. So window w trains from `theta_{w-1}`, and windows 0 and 1 both train
//! from `theta_0`. A miner may first apply its own update of window w-1: see [`Own`].

#[cfg(test)]
mod tests;

use crate::{
    dataset::Dataset,
    miner::{Miner, Update},
};
use anyhow::{Context as _, Result, bail, ensure};
use base::{
    Window,
    digest::{RunHash, StateRoot},
};
use clap::ValueEnum;
use codec::{
    aggregate::{ClipBounds, StepNorms, clip_alone},
    submission::{Expected, Submission, SubmissionLayout},
};
use engine::SparseStep;
use protocol::{run_spec::RunFile, train::TrainSpec};
use serde::Serialize;
use std::{collections::VecDeque, sync::Arc};

/// A choice to measure: a run, and the start of its miners.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The name of the choice.
    pub name: String,
    /// The run.
    pub run: RunFile,
    /// The start of its miners.
    pub own: Own,
}

/// The part of its own update in exchange that a miner applies before it trains. The base of its submission
/// stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Own {
    /// Train from the shared parameters.
    None,
    /// Train from them after an outer step along the values that the miner sent.
    Sent,
    /// Train from them minus the miner's whole pseudo-gradient.
    Whole,
}

/// A run in training.
pub struct Training<'a> {
    run: &'a RunFile,
    own: Own,
    dataset: &'a Dataset,
    seed: u64,
    hash: RunHash,
    layout: Arc<SubmissionLayout>,
    miners: Vec<Miner>,
    /// The inner steps that each miner makes in a window.
    steps: Vec<u32>,
    /// The norms of the last outer step, which clipping needs.
    norms: Option<StepNorms>,
    /// The sets in exchange, oldest first. A set has one update per miner, in the order of the miners.
    exchanged: VecDeque<Vec<Update>>,
    measured: Measured,
}

/// The results of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The held-out loss of `theta_0`, `theta_1` and so on, in nats per token.
    pub losses: Vec<f64>,
    /// The state roots of the same parameters.
    pub roots: Vec<StateRoot>,
    /// For each set and each of its updates: the nats per token by which a validator's trial step along the
    /// update lowers the held-out loss of the parameters that the set is applied to.
    pub gains: Vec<Vec<f64>>,
    /// The bytes of all submissions.
    pub bytes: u64,
}

impl<'a> Training<'a> {
    /// Creates a training with the initial parameters, keys and data of a repetition. `steps` are the inner
    /// steps that each miner makes in a window.
    ///
    /// # Errors
    /// There is no miner, a number of steps is outside the run's, or the model cannot be created.
    pub fn new(variant: &'a Variant, dataset: &'a Dataset, seed: u64, steps: &[u32]) -> Result<Self> {
        let run = &variant.run;
        ensure!(!steps.is_empty(), "a training needs at least one miner");
        let TrainSpec { least_steps: least, inner_steps: most, .. } = run.train;
        if let Some(wrong) = steps.iter().find(|steps| !(least..=most).contains(steps)) {
            bail!("a miner makes {least} to {most} inner steps in a window, not {wrong}");
        }
        let miners = (0..).zip(steps).map(|(number, _)| Miner::new(run, seed, number));
        let miners = miners.collect::<Result<Vec<_>>>()?;
        let mut training = Self {
            run,
            own: variant.own,
            dataset,
            seed,
            // Only a run on a chain has a complete spec with a hash.
            hash: RunHash::of(&[run.name.as_bytes()]),
            layout: Arc::new(SubmissionLayout::new(&run.model.tensors(), &run.sparse)?),
            miners,
            steps: steps.to_vec(),
            norms: None,
            exchanged: VecDeque::new(),
            measured: Measured::default(),
        };
        let root = training.miners[0].model.state_root()?;
        training.note(root)?;
        Ok(training)
    }

    /// Trains through some windows, and applies all of their sets.
    ///
    /// # Errors
    /// A miner cannot train, or the states of the miners differ.
    pub fn run(mut self, windows: u64) -> Result<Measured> {
        (0..windows).map(Window).try_for_each(|window| self.advance(window))?;
        self.apply_all_but(0)?;
        Ok(self.measured)
    }

    /// Trains through a window, and applies the sets whose exchange ends with it.
    fn advance(&mut self, window: Window) -> Result<()> {
        let staleness = usize::from(self.run.acceptance.staleness);
        let trained = self.train(window)?;
        // The exchange of the oldest set ends with the training of this window. Its values are settled
        // before this window is compressed, since its decision is then known.
        self.apply_all_but(staleness.saturating_sub(1))?;
        self.compress(trained)?;
        self.apply_all_but(staleness)
    }

    /// Trains all miners through a window. Returns their pseudo-gradients, and the requirements on their
    /// submissions: these name the parameters that the window was trained from.
    fn train(&mut self, window: Window) -> Result<Vec<(Vec<f32>, Expected)>> {
        let train = &self.run.train;
        let neurons = self.miners.iter().map(|miner| miner.neuron);
        let assignments = self.dataset.assign(&self.hash, self.seed, window, neurons, train)?;
        let from = self.measured.roots.last().context("the initial parameters are not measured")?;
        let mut trained = Vec::with_capacity(self.miners.len());
        for (number, miner) in self.miners.iter_mut().enumerate() {
            let expected = miner.expected(&self.hash, window, from, train);
            let batches = self.dataset.batches(&assignments, &miner.neuron, train)?;
            let shared = miner.model.parameters()?;
            for set in &self.exchanged {
                let full = train.full_work(set[number].submission.header().window);
                let bounds = ClipBounds { last: self.norms.as_ref(), full };
                miner.go_on(self.own, &set[number], bounds)?;
            }
            let first = window.0 * u64::from(train.inner_steps);
            let own = TrainSpec { inner_steps: self.steps[number], ..*train };
            let pseudo_gradient = miner.train(&own, first, batches)?;
            miner.model.set_parameters(&shared)?;
            trained.push((pseudo_gradient, expected));
        }
        Ok(trained)
    }

    /// Compresses the pseudo-gradients of all miners. The exchange of the set begins.
    fn compress(&mut self, trained: Vec<(Vec<f32>, Expected)>) -> Result<()> {
        let miners = self.miners.iter_mut().zip(&self.steps).zip(trained);
        let updates = miners.map(|((miner, steps), (delta, expected))| {
            miner.compress(delta, self.run.train.samples_of(*steps), &self.layout, &expected)
        });
        let set = updates.collect::<Result<Vec<_>>>()?;
        self.measured.bytes += set.iter().map(|update| update.submission.bytes().len() as u64).sum::<u64>();
        self.exchanged.push_back(set);
        Ok(())
    }

    /// Applies the oldest sets until `count` are left.
    fn apply_all_but(&mut self, count: usize) -> Result<()> {
        while self.exchanged.len() > count {
            let Some(set) = self.exchanged.pop_front() else { break };
            self.apply(set)?;
        }
        Ok(())
    }

    /// Applies a set on all miners, which must then have the same parameters.
    fn apply(&mut self, set: Vec<Update>) -> Result<()> {
        let gains = set.iter().map(|update| self.gain(update)).collect::<Result<Vec<_>>>()?;
        self.measured.gains.push(gains);
        let (sent, accepted): (Vec<_>, Vec<Submission<_>>) =
            set.into_iter().map(|update| (update.sent, update.submission)).unzip();
        let first = accepted.first().context("a set has an update of each miner")?;
        let full = self.run.train.full_work(first.header().window);
        let bounds = ClipBounds { last: self.norms.as_ref(), full };
        let mut results = Vec::with_capacity(sent.len());
        for (miner, sent) in self.miners.iter_mut().zip(&sent) {
            results.push(miner.model.apply_outer_step(&accepted, bounds)?);
            miner.settle(sent, &self.layout);
        }
        let (norms, root) = results.swap_remove(0);
        ensure!(results.iter().all(|(_, other)| *other == root), "the states of the miners differ");
        self.norms = Some(norms);
        self.note(root)
    }

    /// Returns the nats per token by which a validator's trial step along an update lowers the held-out loss
    /// of the current parameters.
    fn gain(&mut self, update: &Update) -> Result<f64> {
        let sparse = &self.run.sparse;
        let rate = f64::from(sparse.outer_lr) * self.run.scoring.eval_lr_factor.get();
        #[expect(clippy::cast_possible_truncation, reason = "rounded once, as a validator does it")]
        let rate = rate as f32;
        let full = self.run.train.full_work(update.submission.header().window);
        let bounds = ClipBounds { last: self.norms.as_ref(), full };
        let factors = clip_alone(&update.submission, bounds)?;
        let model = &mut self.miners[0].model;
        let step = SparseStep::along(model.layout(), sparse.edge(), update.sent.iter().zip(factors), rate)?;
        let after = model.trial(&step, |model| model.loss(&self.dataset.held_out))?;
        let before = self.measured.losses.last().context("the initial parameters are not measured")?;
        Ok(before - after)
    }

    /// Notes the loss and the root of the current parameters.
    fn note(&mut self, root: StateRoot) -> Result<()> {
        let loss = self.miners[0].model.loss(&self.dataset.held_out)?;
        let window = self.measured.losses.len();
        let (staleness, own, gains) = (self.run.acceptance.staleness, self.own, self.measured.gains.last());
        tracing::info!(target: "train", seed = self.seed, staleness, ?own, window, loss, ?gains, "measured");
        self.measured.losses.push(loss);
        self.measured.roots.push(root);
        Ok(())
    }
}

//! A validator: tries each update on the shared parameters, and screens the candidates.

use crate::lab::Lab;
use anyhow::Result;
use base::NeuronId;
use codec::{
    aggregate::{ClipBounds, clip_alone},
    submission::Submission,
};
use engine::{Batch, Model, SparseStep};
use protocol::acceptance::LossDrop;
use scoring::gauntlet::{Improvements, ScoringSpec};
use std::collections::BTreeMap;

/// Unassigned sequences on which candidates are screened: as many tokens as a validator of the tiny run uses.
const SCREENED: usize = 64;

/// A submission as all nodes open it.
pub(crate) type Opened = Submission<Vec<u8>>;

/// The losses of each sequence, in nats per token, before and after a trial step along an update.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    pub(crate) assigned_before: Vec<f64>,
    pub(crate) assigned_after: Vec<f64>,
    pub(crate) unassigned_after: Vec<f64>,
    /// The number of sequences that the header declares.
    pub(crate) samples: u64,
    /// Whether the update as sent changes nothing.
    pub(crate) is_zero: bool,
}

/// The trials of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trials {
    /// The common sequences first, then those of this validator alone.
    pub(crate) unassigned_before: Vec<f64>,
    /// The trial of each miner with a valid submission. `None`: it declares too few samples to draw from.
    pub(crate) of: BTreeMap<NeuronId, Option<Trial>>,
}

/// Returns the trial step along an update, at the share of the outer rate that evaluations use.
pub(crate) fn trial_step(lab: &Lab, submission: &Opened, bounds: ClipBounds<'_>) -> Result<SparseStep> {
    let sparse = &lab.run.sparse;
    let rate = f64::from(sparse.outer_lr) * lab.run.scoring.eval_lr_factor.get();
    let rate = rate as f32;
    let factors = clip_alone(submission, bounds)?;
    let sent = (0..factors.len()).map(|number| submission.tensor(number)).collect::<Result<Vec<_>, _>>()?;
    Ok(SparseStep::along(&lab.places, sparse.edge(), sent.iter().zip(factors), rate)?)
}

/// Measures an update on assigned and on unassigned data. The model has the shared parameters before and
/// after.
pub(crate) fn measure(
    model: &mut Model,
    step: &SparseStep,
    assigned: &Batch,
    unassigned: &Batch,
    samples: u64,
) -> Result<Trial> {
    let assigned_before = model.losses(assigned)?;
    let (assigned_after, unassigned_after) =
        model.trial(step, |model| Ok((model.losses(assigned)?, model.losses(unassigned)?)))?;
    let is_zero = step.changes().iter().all(|change| *change == 0.0);
    Ok(Trial { assigned_before, assigned_after, unassigned_after, samples, is_zero })
}

impl Trials {
    /// Returns the same trials on the first sequences of each batch only: as many as `fewer` says of those
    /// that `all` says.
    pub(crate) fn on_fewer(&self, all: &ScoringSpec, fewer: &ScoringSpec) -> Self {
        let assigned = |losses: &[f64]| losses[..losses.len().min(fewer.assigned_sequences.into())].to_vec();
        let unassigned = |losses: &[f64]| {
            let (common, own) = losses.split_at(losses.len().min(all.common_sequences.into()));
            let parts = [(common, fewer.common_sequences), (own, fewer.own_sequences)];
            parts.map(|(losses, count)| &losses[..losses.len().min(count.into())]).concat()
        };
        let trial = |trial: &Trial| Trial {
            assigned_before: assigned(&trial.assigned_before),
            assigned_after: assigned(&trial.assigned_after),
            unassigned_after: unassigned(&trial.unassigned_after),
            ..*trial
        };
        Self {
            unassigned_before: unassigned(&self.unassigned_before),
            of: self.of.iter().map(|(miner, tried)| (*miner, tried.as_ref().map(trial))).collect(),
        }
    }

    /// Returns the fall of the loss by each update on the screened sequences.
    pub(crate) fn screened(&self) -> BTreeMap<NeuronId, LossDrop> {
        let first = |losses: &[f64]| losses[..losses.len().min(SCREENED)].to_vec();
        let before = first(&self.unassigned_before);
        let drop = |trial: &Trial| LossDrop::between(&before, &first(&trial.unassigned_after));
        self.of.iter().filter_map(|(miner, trial)| Some((*miner, drop(trial.as_ref()?)))).collect()
    }
}

impl Trial {
    /// Returns the relative improvement on unassigned data, and the margin: the improvement on assigned data
    /// beyond it, in standard errors.
    pub(crate) fn judged(&self, unassigned_before: &[f64]) -> Result<(f64, f64)> {
        let assigned = Improvements::between(&self.assigned_before, &self.assigned_after)?;
        let unassigned = Improvements::between(unassigned_before, &self.unassigned_after)?;
        let error = (assigned.squared_error() + unassigned.squared_error()).sqrt();
        let improvement = unassigned.mean();
        Ok((improvement, (assigned.mean() - improvement) / error.max(f64::MIN_POSITIVE)))
    }
}

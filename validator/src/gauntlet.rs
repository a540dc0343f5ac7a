//! Measures updates: the losses before and after a small step along each, alone, on the window's own
//! parameters.
//!
//! A [`CandidateSet`] holds the valid submissions of a window. It clips them as the outer step would:
//! the reference of a tensor is the lower median of all their norms, bounded by the last window's
//! median. A [`Gauntlet`] applies one update after the other to the model, and restores the model to
//! the last bit after each. The losses are rated elsewhere, in [`scoring::gauntlet`].

mod kept_steps;

use base::NeuronId;
use bytes::Bytes;
use codec::{
    aggregate::{AggregateError, Clip, Medians},
    sparse::{SparseSpec, SparseTensor},
    submission::{Submission, SubmissionError},
};
use engine::{Batch, EngineError, Handle, SparseStep, TrialError};
use kept_steps::KeptSteps;
use protocol::{acceptance::LossDrop, model::ParameterLayout};
use scoring::gauntlet::{Evaluation, Losses, ScoringSpec};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Unassigned sequences on which candidates are screened: the first ones of those that the Gauntlet uses.
pub const SCREENED_SEQUENCES: usize = 16;

/// The valid submissions of a window, with their clip factors.
///
/// The screen needs a trial step of each candidate, and so does the evaluation. The set keeps the steps
/// that the screen made until they are evaluated. It keeps at most as many bytes as the model's
/// parameters take, about 20 steps where one in 64 values is sent. The evaluation makes the others
/// again.
#[derive(Debug)]
pub struct CandidateSet {
    entries: BTreeMap<NeuronId, Entry>,
    step: TrialStep,
    kept: Mutex<KeptSteps>,
}

#[derive(Debug)]
struct Entry {
    submission: Submission<Bytes>,
    /// The clip factor of each tensor.
    factors: Vec<f32>,
}

/// The settings of trial steps, the same for all miners of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialStep {
    /// The edge of a full chunk.
    pub edge: usize,
    /// The factor of the clipped values: the outer rate times the share of it that evaluations use.
    pub rate: f32,
}

/// The reason why an update could not be measured. None of these is the miner's fault.
#[derive(Debug, thiserror::Error)]
pub enum GauntletError {
    /// A submission that was checked, and no longer decodes.
    #[error("the submission of {miner} has changed in memory")]
    Changed {
        /// The sender.
        miner: NeuronId,
        /// The error.
        source: Box<SubmissionError>,
    },
    /// Submissions that cannot be clipped.
    #[error("cannot clip the submissions")]
    Clip(#[source] Box<AggregateError>),
    /// A miner that has no submission in the candidate set.
    #[error("{0} has no submission in this window")]
    Unknown(NeuronId),
    /// An update that does not fit the model.
    #[error(transparent)]
    TrialStep(#[from] TrialError),
    /// An error of the model.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// A thread that ended early.
    #[error("the thread that decodes submissions ended")]
    Stopped,
}

/// The use of a trial step.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// The screen: the evaluation will need the step again.
    Screen,
    /// The evaluation, the last use of the step.
    Evaluation,
}

impl From<EngineError> for GauntletError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<AggregateError> for GauntletError {
    fn from(error: AggregateError) -> Self {
        Self::Clip(Box::new(error))
    }
}

impl TrialStep {
    /// Returns the settings of a run.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounded once, as the outer rate is")]
    pub fn new(sparse: &SparseSpec, scoring: &ScoringSpec) -> Self {
        let rate = f64::from(sparse.outer_lr) * scoring.eval_lr_factor.get();
        Self { edge: sparse.edge(), rate: rate as f32 }
    }
}

impl CandidateSet {
    /// Creates the candidate set of a window. `last` are the medians of the window before.
    ///
    /// # Errors
    /// The submissions cannot be clipped, see [`Clip::of`].
    pub fn new(
        submissions: BTreeMap<NeuronId, Submission<Bytes>>,
        last: Option<&Medians>,
        step: TrialStep,
    ) -> Result<Self, GauntletError> {
        let clip = Clip::of(submissions.values(), last)?;
        let entries = submissions.into_iter().zip(clip.factors);
        let entries = entries.map(|((miner, submission), factors)| (miner, Entry { submission, factors }));
        Ok(Self { entries: entries.collect(), step, kept: Mutex::default() })
    }

    /// Returns the miners with a submission.
    pub fn miners(&self) -> impl Iterator<Item = &NeuronId> {
        self.entries.keys()
    }

    /// Returns a miner's submission.
    #[must_use]
    pub fn get(&self, miner: &NeuronId) -> Option<&Submission<Bytes>> {
        self.entries.get(miner).map(|entry| &entry.submission)
    }

    /// Decodes a miner's update. Returns the clipped step along it.
    ///
    /// # Errors
    /// The miner has no submission here, or it does not fit the model.
    pub fn step(&self, miner: &NeuronId, layout: &ParameterLayout) -> Result<SparseStep, GauntletError> {
        let entry = self.entries.get(miner).ok_or(GauntletError::Unknown(*miner))?;
        let tensors = (0..entry.factors.len()).map(|number| entry.submission.tensor(number));
        let tensors: Result<Vec<SparseTensor>, _> = tensors.collect();
        let tensors =
            tensors.map_err(|source| GauntletError::Changed { miner: *miner, source: Box::new(source) })?;
        let clipped = tensors.iter().zip(entry.factors.iter().copied());
        Ok(SparseStep::along(layout, self.step.edge, clipped, self.step.rate)?)
    }

    /// Returns the step along a miner's update: the kept one, or a new one.
    fn step_for(
        &self,
        purpose: Purpose,
        miner: &NeuronId,
        layout: &ParameterLayout,
    ) -> Result<Arc<SparseStep>, GauntletError> {
        let kept = self.kept().take(miner);
        let step = kept.map_or_else(|| self.step(miner, layout).map(Arc::new), Ok)?;
        if matches!(purpose, Purpose::Screen) {
            self.kept().keep(*miner, &step, layout.len() * size_of::<f32>());
        }
        Ok(step)
    }

    /// Frees the kept steps: those of miners whose evaluation was skipped.
    pub fn free_steps(&self) {
        *self.kept() = KeptSteps::default();
    }

    fn kept(&self) -> MutexGuard<'_, KeptSteps> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures updates on a model.
#[derive(Clone, Debug)]
pub struct Gauntlet {
    model: Handle,
}

impl Gauntlet {
    /// Creates a Gauntlet on a model. The model must have the parameters of the window while the
    /// Gauntlet is used.
    #[must_use]
    pub fn new(model: Handle) -> Self {
        Self { model }
    }

    /// Returns the loss of a batch with the current parameters: the mean of its sequences' losses, in nats.
    ///
    /// # Errors
    /// The model cannot compute it.
    pub async fn loss(&self, batch: Batch) -> Result<f64, GauntletError> {
        Ok(mean(&self.losses(batch).await?))
    }

    /// Returns the loss of each sequence of a batch with the current parameters, in nats.
    ///
    /// # Errors
    /// The model cannot compute it.
    pub async fn losses(&self, batch: Batch) -> Result<Vec<f64>, GauntletError> {
        Ok(self.model.losses(batch).await?)
    }

    /// Returns the losses of some batches after a step along a miner's update, and undoes the step.
    ///
    /// # Errors
    /// The miner has no submission here, it does not fit the model, or the model cannot compute.
    pub async fn after(
        &self,
        candidate_set: &Arc<CandidateSet>,
        miner: NeuronId,
        batches: Vec<Batch>,
    ) -> Result<Vec<f64>, GauntletError> {
        let losses = self.trial(candidate_set, Purpose::Evaluation, miner, batches).await?;
        Ok(losses.iter().map(|losses| mean(losses)).collect())
    }

    /// Returns the losses of each sequence of some batches after a step along a miner's update, and
    /// undoes the step.
    async fn trial(
        &self,
        candidate_set: &Arc<CandidateSet>,
        purpose: Purpose,
        miner: NeuronId,
        batches: Vec<Batch>,
    ) -> Result<Vec<Vec<f64>>, GauntletError> {
        let candidate_set = Arc::clone(candidate_set);
        let layout = self.model.layout().clone();
        let step = tokio::task::spawn_blocking(move || candidate_set.step_for(purpose, &miner, &layout));
        let step = step.await.map_err(|_| GauntletError::Stopped)??;
        Ok(self.model.trial(step, batches).await?)
    }

    /// Returns the drop of the losses of a batch by a miner's update, given the losses `before` it. The
    /// candidate set keeps the step for [`Self::evaluate`], as far as its memory allows.
    ///
    /// # Errors
    /// As [`Self::after`].
    pub async fn loss_drop(
        &self,
        candidate_set: &Arc<CandidateSet>,
        miner: NeuronId,
        batch: Batch,
        before: &[f64],
    ) -> Result<LossDrop, GauntletError> {
        let after = self.trial(candidate_set, Purpose::Screen, miner, vec![batch]).await?;
        Ok(LossDrop::between(before, after.first().ok_or(GauntletError::Stopped)?))
    }

    /// Evaluates a miner's update: two batches, three losses. The fourth, that of the unassigned batch
    /// before any update, is the same for all miners.
    ///
    /// # Errors
    /// As [`Self::after`].
    pub async fn evaluate(
        &self,
        candidate_set: &Arc<CandidateSet>,
        miner: NeuronId,
        assigned: Batch,
        unassigned: Batch,
    ) -> Result<Evaluation, GauntletError> {
        let before = self.loss(assigned.clone()).await?;
        match self.after(candidate_set, miner, vec![assigned, unassigned]).await?[..] {
            [after, unassigned_after] => {
                Ok(Evaluation { assigned: Losses { before, after }, unassigned_after })
            }
            _ => Err(GauntletError::Stopped),
        }
    }
}

/// Returns the mean of the sequences' losses, added in their order.
#[expect(clippy::cast_precision_loss, reason = "a batch has less than 2^53 sequences")]
fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests;

//! Measures updates: the losses before and after a small step along each, alone, on the window's own
//! parameters.
//!
//! [`TrialSteps`] turns a submission into such a step. It clips each submission to the references of the last
//! outer step, so no other claim of the window has an influence on it. A [`Gauntlet`] applies one step after
//! the other to the model, and restores the model to the last bit after each. The losses are rated elsewhere,
//! in [`scoring::gauntlet`].

mod kept_steps;

use base::{Millionths, NeuronId};
use bytes::Bytes;
use codec::{
    aggregate::{AggregateError, ClipBounds, FullWork, StepNorms, clip_alone},
    sparse::{SparseSpec, SparseTensor},
    submission::{Submission, SubmissionError},
};
use engine::{Batch, EngineError, Handle, SparseStep, TrialError};
use kept_steps::KeptSteps;
use protocol::{acceptance::LossDrop, model::ParameterLayout};
use scoring::gauntlet::{BaseLossError, Improvements, ScoringSpec};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Unassigned sequences on which candidates are screened: the first ones of those that the Gauntlet uses.
pub const SCREENED_SEQUENCES: usize = 16;

/// The most bytes of steps that are kept between screen and evaluation: half of the memory that all claims
/// of a window may take.
const MOST_KEPT: usize = 1 << 30;

/// The trial steps of a window.
///
/// The screen needs a trial step of each candidate, and so does the evaluation. The steps that the screen
/// made are kept until they are evaluated: at most as many bytes as the model's parameters take, about 20
/// steps where one in 64 values is sent, and at most 1 GiB. The evaluation makes the others again from the
/// mapped submissions.
#[derive(Debug)]
pub struct TrialSteps {
    settings: TrialStep,
    /// The norms that submissions are clipped to, if there was an accepted set.
    norms: Option<StepNorms>,
    full: FullWork,
    layout: ParameterLayout,
    kept: Mutex<KeptSteps>,
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
    #[error("the submission of {miner} has changed since it was checked")]
    Changed {
        /// The sender.
        miner: NeuronId,
        /// The error.
        source: Box<SubmissionError>,
    },
    /// A submission that cannot be clipped.
    #[error("cannot clip the submission")]
    Clip(#[source] Box<AggregateError>),
    /// An update that does not fit the model.
    #[error(transparent)]
    TrialStep(#[from] TrialError),
    /// An error of the model.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// A loss before any update that no model has.
    #[error("the model gives an impossible loss before any update")]
    BaseLoss(#[from] BaseLossError),
    /// A thread that ended early.
    #[error("the thread that decodes submissions ended")]
    Stopped,
}

/// The unassigned sequences on which all updates of a window are tried, and their losses before any update.
#[derive(Clone, Debug)]
pub struct Unassigned {
    common: Batch,
    common_before: Vec<f64>,
    /// The validator's own sequences, if the run spec asks for some.
    own: Option<(Batch, Vec<f64>)>,
}

/// The improvements by one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Improved {
    /// On data that was assigned to the miner.
    pub assigned: Improvements,
    /// On unassigned data that is the same for all validators.
    pub common: Improvements,
    /// On unassigned data that the validator draws for itself.
    pub own: Improvements,
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

impl TrialSteps {
    /// Creates the trial steps of a window, clipped to the norms of the last outer step. `full` is the work
    /// of a whole training, see [`ClipBounds`].
    #[must_use]
    pub fn new(
        settings: TrialStep,
        norms: Option<StepNorms>,
        full: FullWork,
        layout: ParameterLayout,
    ) -> Self {
        Self { settings, norms, full, layout, kept: Mutex::default() }
    }

    /// Decodes a miner's update. Returns the clipped step along it.
    ///
    /// # Errors
    /// The submission does not fit the model, or has changed since it was checked.
    pub fn step(&self, submission: &Submission<Bytes>) -> Result<SparseStep, GauntletError> {
        let miner = submission.header().neuron;
        let bounds = ClipBounds { last: self.norms.as_ref(), full: self.full };
        let factors = clip_alone(submission, bounds)?;
        let tensors = (0..factors.len()).map(|number| submission.tensor(number));
        let tensors: Result<Vec<SparseTensor>, _> = tensors.collect();
        let tensors = tensors.map_err(|source| GauntletError::Changed { miner, source: Box::new(source) })?;
        let TrialStep { edge, rate } = self.settings;
        Ok(SparseStep::along(&self.layout, edge, tensors.iter().zip(factors), rate)?)
    }

    /// Returns the step along a miner's update: the kept one, or a new one.
    fn step_for(
        &self,
        purpose: Purpose,
        submission: &Submission<Bytes>,
    ) -> Result<Arc<SparseStep>, GauntletError> {
        let miner = submission.header().neuron;
        let kept = self.kept().take(&miner);
        let step = kept.map_or_else(|| self.step(submission).map(Arc::new), Ok)?;
        if matches!(purpose, Purpose::Screen) {
            self.kept().keep(miner, &step, (self.layout.len() * size_of::<f32>()).min(MOST_KEPT));
        }
        Ok(step)
    }

    /// Frees the kept steps: those of miners whose evaluation was skipped.
    pub fn free(&self) {
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

    /// Returns the losses of each sequence of some batches after a step along a miner's update, and
    /// undoes the step.
    async fn trial(
        &self,
        steps: &Arc<TrialSteps>,
        purpose: Purpose,
        submission: &Submission<Bytes>,
        batches: Vec<Batch>,
    ) -> Result<Vec<Vec<f64>>, GauntletError> {
        let (steps, submission) = (Arc::clone(steps), submission.clone());
        let step = tokio::task::spawn_blocking(move || steps.step_for(purpose, &submission));
        let step = step.await.map_err(|_| GauntletError::Stopped)??;
        Ok(self.model.trial(step, batches).await?)
    }

    /// Returns the drop of the losses of a batch by a miner's update, given the losses `before` it. The
    /// step is kept for [`Self::evaluate`], as far as the memory for steps allows.
    ///
    /// # Errors
    /// The submission does not fit the model, or the model cannot compute.
    pub async fn loss_drop(
        &self,
        steps: &Arc<TrialSteps>,
        submission: &Submission<Bytes>,
        batch: Batch,
        before: &[f64],
    ) -> Result<LossDrop, GauntletError> {
        let after = self.trial(steps, Purpose::Screen, submission, vec![batch]).await?;
        Ok(LossDrop::between(before, after.first().ok_or(GauntletError::Stopped)?))
    }

    /// Measures the losses of the unassigned sequences of a window before any update: once for all miners.
    ///
    /// # Errors
    /// The model cannot compute them.
    pub async fn unassigned(&self, common: Batch, own: Option<Batch>) -> Result<Unassigned, GauntletError> {
        let common_before = self.losses(common.clone()).await?;
        let own = match own {
            Some(own) => Some((own.clone(), self.losses(own).await?)),
            None => None,
        };
        Ok(Unassigned { common, common_before, own })
    }

    /// Measures a miner's update on its assigned data and on the unassigned data of the window.
    ///
    /// # Errors
    /// As [`Self::loss_drop`], or the model gives an impossible loss before any update.
    pub async fn evaluate(
        &self,
        steps: &Arc<TrialSteps>,
        submission: &Submission<Bytes>,
        assigned: Batch,
        unassigned: &Unassigned,
    ) -> Result<Improved, GauntletError> {
        let before = self.losses(assigned.clone()).await?;
        let own = unassigned.own.as_ref();
        let batches =
            [assigned, unassigned.common.clone()].into_iter().chain(own.map(|(own, _)| own.clone()));
        let after = self.trial(steps, Purpose::Evaluation, submission, batches.collect()).await?;
        let [assigned_after, common_after, own_after @ ..] = &after[..] else {
            return Err(GauntletError::Stopped);
        };
        let own = match own.zip(own_after.first()) {
            Some(((_, before), after)) => Improvements::between(before, after)?,
            None => Improvements::default(),
        };
        Ok(Improved {
            assigned: Improvements::between(&before, assigned_after)?,
            common: Improvements::between(&unassigned.common_before, common_after)?,
            own,
        })
    }
}

impl Unassigned {
    /// Returns the mean loss of the common sequences before any update, in nats.
    #[must_use]
    pub fn before(&self) -> f64 {
        mean(&self.common_before)
    }
}

/// Checks whether an update, as it was sent, changes no parameter: all of its values are 0. Small values that
/// a clipped step loses are no fault.
#[must_use]
pub fn changes_nothing(submission: &Submission<Bytes>) -> bool {
    submission.norms().is_ok_and(|norms| norms.iter().all(|&norm| norm == 0.0))
}

/// Returns the samples that a miner says it trained on, as a share of the assigned ones, rounded down.
#[must_use]
pub fn share(trained: u64, assigned: u64) -> Millionths {
    let whole = Millionths::ONE.0.unsigned_abs();
    let share = u128::from(trained.min(assigned)) * u128::from(whole) / u128::from(assigned.max(1));
    Millionths(i64::try_from(share).expect("a share is at most a million millionths"))
}

/// Returns the mean of the sequences' losses, added in their order.
#[expect(clippy::cast_precision_loss, reason = "a batch has less than 2^53 sequences")]
fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
pub(crate) mod tests;

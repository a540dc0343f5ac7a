//! Measures what updates do: losses before and after a small step along each, alone, on the window's own parameters.
//!
//! A [`CandidateSet`] holds the valid submissions of a window and the norms that clip them, as the outer step would: the
//! reference of a tensor is the lower median over all of them, bounded by the last window's. A [`Gauntlet`] takes one
//! after the other through the model, which is as it was, to the last bit, after each. It rates nobody: what losses say
//! is in [`scoring::gauntlet`].

use base::NeuronId;
use bytes::Bytes;
use codec::{
    aggregate::{Medians, factor, lower_median, norm, reference},
    sparse::{SparseSpec, SparseTensor},
    submission::{Submission, SubmissionError},
};
use engine::{Batch, EngineError, Handle, SparseStep, TrialError};
use protocol::{acceptance::LossDrop, model::ParameterLayout};
use scoring::gauntlet::{Evaluation, Losses, ScoringSpec};
use std::{collections::BTreeMap, sync::Arc};

/// Sequences of the unassigned data on which candidates are screened: the first so many of those of the Gauntlet.
pub const SCREENED_SEQUENCES: usize = 16;

/// The valid submissions of a window, and what clips each.
#[derive(Clone, Debug, Default)]
pub struct CandidateSet {
    entries: BTreeMap<NeuronId, Entry>,
    /// What norms are clipped to, per tensor.
    reference: Vec<f64>,
}

#[derive(Clone, Debug)]
struct Entry {
    submission: Submission<Bytes>,
    /// Per tensor.
    norms: Vec<f64>,
}

/// How a trial step is made: the same for all miners of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The edge of a full chunk.
    pub edge: usize,
    /// What the clipped values are multiplied by: the outer rate times the share of it that evaluations take.
    pub rate: f32,
}

/// Why an update could not be measured. None of it is its miner's fault.
#[derive(Debug, thiserror::Error)]
pub enum GauntletError {
    /// A submission that was checked does not decode any more.
    #[error("the submission of {miner} has changed in memory: {source}")]
    Changed {
        /// Whose it is.
        miner: NeuronId,
        /// What is wrong.
        source: Box<SubmissionError>,
    },
    /// A miner that has no submission in the candidate set.
    #[error("{0} has no submission in this window")]
    Unknown(NeuronId),
    /// An update that does not fit the model.
    #[error(transparent)]
    Step(#[from] TrialError),
    /// The model could not compute.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// A thread ended before its work did.
    #[error("the thread that decodes submissions ended")]
    Stopped,
}

impl From<EngineError> for GauntletError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl Step {
    /// Of a run.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounded once, as the outer rate is")]
    pub fn new(sparse: &SparseSpec, scoring: &ScoringSpec) -> Self {
        let rate = f64::from(sparse.outer_lr) * scoring.eval_lr_factor.get();
        Self { edge: sparse.edge(), rate: rate as f32 }
    }
}

impl CandidateSet {
    /// The candidate set of a window; `last` are the medians of the window before. It decodes all submissions, one after the
    /// other, which takes a processor some time.
    ///
    /// # Errors
    /// A submission does not decode any more.
    pub fn new(
        submissions: BTreeMap<NeuronId, Submission<Bytes>>,
        last: Option<&Medians>,
    ) -> Result<Self, GauntletError> {
        let entry = |(miner, submission): (NeuronId, Submission<Bytes>)| {
            let norms = (0..submission.layout().tensors().len()).map(|n| Ok(norm(&submission.tensor(n)?)));
            let norms = norms.collect::<Result<_, _>>();
            let norms = norms.map_err(|source| GauntletError::Changed { miner, source: Box::new(source) })?;
            Ok((miner, Entry { submission, norms }))
        };
        let entries: BTreeMap<_, Entry> =
            submissions.into_iter().map(entry).collect::<Result<_, GauntletError>>()?;
        let Some(first) = entries.values().next() else { return Ok(Self::default()) };
        let growth = first.submission.layout().spec().clip_growth;
        let reference = (0..first.norms.len()).map(|tensor| {
            let norms: Vec<f64> = entries.values().map(|entry| entry.norms[tensor]).collect();
            let last = last.and_then(|last| last.0.get(tensor).copied());
            reference(lower_median(&norms), last, growth)
        });
        Ok(Self { reference: reference.collect(), entries })
    }

    /// Whose submissions there are.
    pub fn miners(&self) -> impl Iterator<Item = &NeuronId> {
        self.entries.keys()
    }

    /// A miner's submission.
    #[must_use]
    pub fn get(&self, miner: &NeuronId) -> Option<&Submission<Bytes>> {
        self.entries.get(miner).map(|entry| &entry.submission)
    }

    /// The clipped step along a miner's update.
    ///
    /// # Errors
    /// The miner has no submission here, or it does not fit the model.
    pub fn step(
        &self,
        miner: &NeuronId,
        step: Step,
        layout: &ParameterLayout,
    ) -> Result<SparseStep, GauntletError> {
        let entry = self.entries.get(miner).ok_or(GauntletError::Unknown(*miner))?;
        let tensors = (0..entry.norms.len()).map(|number| entry.submission.tensor(number));
        let tensors: Result<Vec<SparseTensor>, _> = tensors.collect();
        let tensors =
            tensors.map_err(|source| GauntletError::Changed { miner: *miner, source: Box::new(source) })?;
        let factors = entry.norms.iter().zip(&self.reference).map(|(&norm, &median)| factor(norm, median));
        Ok(SparseStep::along(layout, step.edge, tensors.iter().zip(factors), step.rate)?)
    }
}

/// Takes updates through the model.
#[derive(Clone, Debug)]
pub struct Gauntlet {
    model: Handle,
    step: Step,
}

impl Gauntlet {
    /// On a model, whose parameters are those of the window while this is used.
    #[must_use]
    pub fn new(model: Handle, step: Step) -> Self {
        Self { model, step }
    }

    /// The loss of a batch as the parameters are: the mean of its sequences' losses, in nats.
    ///
    /// # Errors
    /// The model cannot compute it.
    pub async fn loss(&self, batch: Batch) -> Result<f64, GauntletError> {
        Ok(mean(&self.losses(batch).await?))
    }

    /// The loss of each sequence of a batch as the parameters are, in nats.
    ///
    /// # Errors
    /// The model cannot compute it.
    pub async fn losses(&self, batch: Batch) -> Result<Vec<f64>, GauntletError> {
        Ok(self.model.losses(batch).await?)
    }

    /// The losses of some batches after a step along a miner's update, which is taken back.
    ///
    /// # Errors
    /// The miner has no submission here, it does not fit the model, or the model cannot compute.
    pub async fn after(
        &self,
        candidate_set: &Arc<CandidateSet>,
        miner: NeuronId,
        batches: Vec<Batch>,
    ) -> Result<Vec<f64>, GauntletError> {
        let losses = self.trial(candidate_set, miner, batches).await?;
        Ok(losses.iter().map(|losses| mean(losses)).collect())
    }

    /// The losses of each sequence of some batches after a step along a miner's update, which is taken back.
    async fn trial(
        &self,
        candidate_set: &Arc<CandidateSet>,
        miner: NeuronId,
        batches: Vec<Batch>,
    ) -> Result<Vec<Vec<f64>>, GauntletError> {
        let (candidate_set, step, layout) =
            (Arc::clone(candidate_set), self.step, self.model.layout().clone());
        let step = tokio::task::spawn_blocking(move || candidate_set.step(&miner, step, &layout));
        let step = step.await.map_err(|_| GauntletError::Stopped)??;
        Ok(self.model.trial(step, batches).await?)
    }

    /// By how much a miner's update lowers the losses of a batch, given those `before` it.
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
        let after = self.trial(candidate_set, miner, vec![batch]).await?;
        Ok(LossDrop::between(before, after.first().ok_or(GauntletError::Stopped)?))
    }

    /// What a validator measures of a miner's update: two batches, three losses. The fourth, that of the unassigned batch
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

/// The mean of sequences' losses, added in their order.
#[expect(clippy::cast_precision_loss, reason = "a batch has less than 2^53 sequences")]
fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[cfg(test)]
mod tests;

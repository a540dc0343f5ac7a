//! The losses measured for one update, and the judgement that follows from them.

use super::Fault;
use base::NeuronId;

/// The mean cross-entropy of the same tokens before and after a small step along an update, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// The loss with the shared parameters of the window.
    pub before: f64,
    /// The loss with the update applied at `outer_lr x eval_lr_factor`.
    pub after: f64,
}

/// The measurements of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The losses on data that was assigned to the miner.
    pub assigned: Losses,
    /// The loss after the step on unassigned data, which is the same for all miners of the window. The
    /// loss before the step is measured once for all miners.
    pub unassigned_after: f64,
}

/// The result of an [`Evaluation`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Relative improvement on unassigned data, the loss score. Only the order within a window counts.
    pub improvement: f64,
    /// Relative improvement on assigned data minus the one on unassigned data: the evidence for the
    /// proof of computation.
    pub margin: f64,
}

/// A loss before any update that is impossible: not finite, or not above 0.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BaseLossError {
    /// The loss on the unassigned data of the window.
    #[error("the loss on unassigned data before any update is {0}: it must be finite and above 0")]
    Unassigned(f64),
    /// The loss on a miner's assigned data.
    #[error("the loss on the data of {miner} before its update is {loss}: it must be finite and above 0")]
    Assigned {
        /// The miner.
        miner: NeuronId,
        /// The loss.
        loss: f64,
    },
}

impl Losses {
    /// Returns the relative improvement: `(before - after) / before`.
    #[must_use]
    pub fn improvement(&self) -> f64 {
        (self.before - self.after) / self.before
    }
}

impl Evaluation {
    /// Judges the update of `miner`; `before` is the loss on unassigned data before any update, in nats.
    ///
    /// # Errors
    /// The outer error is the validator's fault: a loss before any update is impossible. The inner
    /// error is the miner's fault.
    pub fn judge(&self, miner: NeuronId, before: f64) -> Result<Result<Judgement, Fault>, BaseLossError> {
        let possible = |loss: f64| loss.is_finite() && loss > 0.0;
        if !possible(before) {
            return Err(BaseLossError::Unassigned(before));
        }
        if !possible(self.assigned.before) {
            return Err(BaseLossError::Assigned { miner, loss: self.assigned.before });
        }
        Ok(self.judge_after(Losses { before, after: self.unassigned_after }))
    }

    fn judge_after(&self, unassigned: Losses) -> Result<Judgement, Fault> {
        if !self.assigned.after.is_finite() || !unassigned.after.is_finite() {
            return Err(Fault::LossNotFinite);
        }
        if self.assigned.after == self.assigned.before && unassigned.after == unassigned.before {
            return Err(Fault::ChangesNothing);
        }
        let improvement = unassigned.improvement();
        if improvement <= 0.0 {
            return Err(Fault::NoImprovement);
        }
        Ok(Judgement { improvement, margin: self.assigned.improvement() - improvement })
    }
}

#[cfg(test)]
mod tests;

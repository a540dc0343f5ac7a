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
mod tests {
    use super::*;
    use base::{Height, Hotkey};

    const MINER: NeuronId = NeuronId { hotkey: Hotkey([7; 32]), registered: Height(1) };

    fn judge(assigned: [f64; 2], unassigned: [f64; 2]) -> Result<Result<Judgement, Fault>, BaseLossError> {
        let assigned = Losses { before: assigned[0], after: assigned[1] };
        Evaluation { assigned, unassigned_after: unassigned[1] }.judge(MINER, unassigned[0])
    }

    #[test]
    fn training_shows_as_a_margin() {
        let judgement = judge([8.0, 6.0], [4.0, 3.5]).unwrap().unwrap();
        assert_eq!(judgement, Judgement { improvement: 0.125, margin: 0.125 });
    }

    #[test]
    fn an_update_that_changes_nothing_is_a_failure() {
        assert_eq!(judge([8.0, 8.0], [4.0, 4.0]), Ok(Err(Fault::ChangesNothing)));
        assert!(judge([8.0, 8.0], [4.0, 3.9]).unwrap().is_ok());
    }

    #[test]
    fn an_update_that_helps_only_its_own_data_is_no_success() {
        assert_eq!(judge([8.0, 7.0], [4.0, 4.5]), Ok(Err(Fault::NoImprovement)));
        assert_eq!(
            judge([8.0, 7.0], [4.0, 4.0]),
            Ok(Err(Fault::NoImprovement)),
            "not even if the miner's own data does"
        );
        assert_eq!(judge([8.0, 7.0], [4.0, f64::MAX]), Ok(Err(Fault::NoImprovement)));
        let least = f64::from_bits(4.0f64.to_bits() - 1);
        assert!(judge([8.0, 9.0], [4.0, least]).unwrap().unwrap().improvement > 0.0);
    }

    #[test]
    fn losses_after_the_step_are_the_miners_business() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(judge([8.0, bad], [4.0, 3.0]), Ok(Err(Fault::LossNotFinite)));
            assert_eq!(judge([8.0, 7.0], [4.0, bad]), Ok(Err(Fault::LossNotFinite)));
        }
    }

    #[test]
    fn losses_before_it_are_the_validators() {
        let error = judge([8.0, 7.0], [0.0, 3.0]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the loss on unassigned data before any update is 0: it must be finite and above 0"
        );
        let error = judge([f64::NAN, 7.0], [4.0, 3.0]).unwrap_err();
        assert!(matches!(error, BaseLossError::Assigned { miner: MINER, .. }));
    }
}

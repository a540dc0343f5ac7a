//! The measurements of one update, and the judgement that follows from them.

use super::Fault;
use crate::uniqueness::Overlap;
use base::{Hotkey, Millionths};

/// The relative improvements of a batch's sequences by a small step along an update.
///
/// The improvement of a sequence is `(before - after) / before` of its loss. Count, sum and sum of squares
/// give mean and standard error, so a log needs no line per sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Improvements {
    /// Number of sequences.
    pub count: u32,
    /// Sum of the improvements, added in the order of the sequences.
    pub sum: f64,
    /// Sum of their squares, added in the same order.
    pub squares: f64,
}

/// The measurements of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The improvements on data that was assigned to the miner, and that it says it trained on.
    pub assigned: Improvements,
    /// The improvements on unassigned data that is the same for all miners and validators of the window.
    pub common: Improvements,
    /// The improvements on unassigned data that only this validator draws, the same for all miners.
    pub own: Improvements,
    /// The samples that the miner says it trained on, as a share of the assigned ones: 0 to 1.
    pub share: Millionths,
    /// The overlap with other updates.
    pub overlap: Overlap,
}

/// The difference between the mean improvements on assigned and on unassigned data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advantage {
    /// The difference, as a relative improvement.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
}

/// The result of an [`Evaluation`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Mean relative improvement on unassigned data, above 0.
    pub improvement: f64,
    /// Mean relative improvement on assigned data minus the one on unassigned data, in standard errors of
    /// this difference: the evidence for the proof of computation.
    pub margin: f64,
}

/// A loss before any update that is impossible: not finite, or not above 0.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the loss of sequence {sequence} before any update is {loss}: it must be finite and above 0")]
pub struct BaseLossError {
    /// The sequence, counted from 0 in its batch.
    pub sequence: usize,
    /// Its loss, in nats.
    pub loss: f64,
}

/// A batch of another size than the run spec says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{miner} was measured on {found} {batch} sequences, the run spec says {expected}")]
pub struct SequencesError {
    /// The miner.
    pub miner: Hotkey,
    /// The name of the batch.
    pub batch: &'static str,
    /// The number of sequences of the batch.
    pub found: u32,
    /// The number in the run spec.
    pub expected: u16,
}

impl Improvements {
    /// Computes the improvements of a batch from the losses of its sequences, in nats.
    ///
    /// A loss after the step that is not finite, or is missing, makes the sum not a number. That is the
    /// miner's fault.
    ///
    /// # Errors
    /// A loss before the step is impossible. That is the validator's fault.
    pub fn between(before: &[f64], after: &[f64]) -> Result<Self, BaseLossError> {
        let impossible = |(_, loss): &(usize, &f64)| !loss.is_finite() || **loss <= 0.0;
        if let Some((sequence, &loss)) = before.iter().enumerate().find(impossible) {
            return Err(BaseLossError { sequence, loss });
        }
        let mut improvements = Self { count: before.len() as u32, ..Self::default() };
        for (index, before) in before.iter().enumerate() {
            let improvement = (before - after.get(index).copied().unwrap_or(f64::NAN)) / before;
            improvements.sum += improvement;
            improvements.squares += improvement * improvement;
        }
        Ok(improvements)
    }

    /// Returns the improvements of both batches together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    /// Returns the mean improvement. It is not a number without sequences.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }

    /// Returns the square of the standard error of the mean.
    #[must_use]
    pub fn squared_error(&self) -> f64 {
        let count = f64::from(self.count);
        ((self.squares - self.sum * self.sum / count) / (count - 1.0) / count).max(0.0)
    }

    /// Checks whether all losses were finite.
    fn is_finite(&self) -> bool {
        self.sum.is_finite() && self.squares.is_finite()
    }
}

impl Evaluation {
    /// Returns the improvements on all unassigned data.
    #[must_use]
    pub fn unassigned(&self) -> Improvements {
        self.common.with(self.own)
    }

    /// Judges the update.
    ///
    /// # Errors
    /// The miner's fault.
    pub fn judge(&self) -> Result<Judgement, Fault> {
        let unassigned = self.unassigned();
        if !self.assigned.is_finite() || !unassigned.is_finite() {
            return Err(Fault::LossNotFinite);
        }
        let improvement = unassigned.mean();
        if improvement.is_nan() || improvement <= 0.0 {
            return Err(Fault::NoImprovement);
        }
        Ok(Judgement { improvement, margin: self.advantage().margin() })
    }

    /// Returns the advantage of assigned data over unassigned data, from which the margin follows.
    #[must_use]
    pub fn advantage(&self) -> Advantage {
        let unassigned = self.unassigned();
        Advantage {
            difference: self.assigned.mean() - unassigned.mean(),
            error: (self.assigned.squared_error() + unassigned.squared_error()).sqrt(),
        }
    }
}

impl Advantage {
    /// Returns the margin: the difference in standard errors.
    #[must_use]
    pub fn margin(&self) -> f64 {
        let margin = self.difference / self.error;
        // Without any spread between sequences there is no evidence.
        if margin.is_finite() { margin } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;

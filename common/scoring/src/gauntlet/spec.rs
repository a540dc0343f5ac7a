//! [`ScoringSpec`], the scoring part of a run spec.

use super::{Evaluation, SequencesError, proof::ProofSpec};
use base::{
    Hotkey, Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The rules by which miners are evaluated, rated and paid: the same for every validator of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringSpec {
    /// Step of a trial as a share of the outer learning rate. Small steps keep ranks consistent.
    pub eval_lr_factor: Millionths,
    /// Number of assigned sequences on which a miner's update is tried.
    pub assigned_sequences: u16,
    /// Number of unassigned sequences on which every validator tries all updates of a window.
    pub common_sequences: u16,
    /// Number of further unassigned sequences that each validator draws for itself. With them, more
    /// validators know more.
    pub own_sequences: u16,
    /// Relative improvement that counts as a contribution of 1 at least, before any miner has passed the
    /// proof.
    pub first_improvement: Millionths,
    /// Number of windows without a claim after which a miner's standing is forgotten: a month.
    pub forget_after: u32,
    /// Number of windows between two score logs that carry a snapshot of all standings.
    pub snapshot_every: u16,
    /// The cost of a failed submission.
    pub penalty: PenaltySpec,
    /// The sequential test by which windows add up to a proof of computation.
    pub proof: ProofSpec,
    /// The rules that turn scores into weights.
    pub weights: WeightSpec,
}

/// The cost of a failed submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PenaltySpec {
    /// Factor by which a failure multiplies the credit, from 0 to 1.
    pub factor: Millionths,
    /// Number of failures in a row after which no credit is left, at least 1.
    pub all_after: u16,
    /// Credit that each judged window restores, above 0 and at most 1.
    pub recovery: Millionths,
}

/// The rules that turn scores into weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightSpec {
    /// Share of all weight that is burnt at the subnet owner's uid, from 0 to 1.
    pub burn: Millionths,
}

/// A value out of range in a [`ScoringSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scoring.{field} is {found}: {expected}")]
pub struct ScoringSpecError {
    /// The name of the field, as in the TOML file.
    field: &'static str,
    /// Its value.
    found: Millionths,
    /// The allowed values, in words.
    expected: &'static str,
}

impl Default for ScoringSpec {
    /// Returns the rules of a long run. `examples/pay_model.rs` shows what they pay.
    fn default() -> Self {
        Self {
            eval_lr_factor: Millionths(200_000),
            assigned_sequences: 128,
            common_sequences: 128,
            own_sequences: 64,
            first_improvement: Millionths(100),
            forget_after: 4320,
            snapshot_every: 8,
            penalty: PenaltySpec { factor: Millionths(750_000), all_after: 3, recovery: Millionths(100_000) },
            proof: ProofSpec {
                fraction: Millionths(250_000),
                false_accept: Millionths(10_000),
                false_reject: Millionths(1_000),
                false_change: Millionths(100),
                first_margin: Millionths(1_000_000),
                floor: Millionths(500_000),
            },
            weights: WeightSpec { burn: Millionths::ZERO },
        }
    }
}

/// A check of a value: its field, the value, whether it is fine, and the allowed values in words.
type Check = (&'static str, Millionths, bool, &'static str);

impl ScoringSpec {
    /// Checks the range of each value.
    ///
    /// # Errors
    /// A value is out of range: names the first such field.
    pub fn validate(&self) -> Result<(), ScoringSpecError> {
        let checks = self.measurement_checks().into_iter().chain(self.pay_checks());
        match { checks }.find(|(_, _, fine, _)| !fine) {
            Some((field, found, _, expected)) => Err(ScoringSpecError { field, found, expected }),
            None => Ok(()),
        }
    }

    /// Returns the checks of the rules that measurements follow.
    fn measurement_checks(&self) -> [Check; 4] {
        let sequences = |field, count: u16, least: u16, expected| {
            (field, decimal(count.into()), (least..=4096).contains(&count), expected)
        };
        [
            ("eval_lr_factor", self.eval_lr_factor, is_share(self.eval_lr_factor), POSITIVE),
            sequences("assigned_sequences", self.assigned_sequences, 2, "it must be from 2 to 4096"),
            sequences("common_sequences", self.common_sequences, 2, "it must be from 2 to 4096"),
            sequences("own_sequences", self.own_sequences, 0, "it must be at most 4096"),
        ]
    }

    /// Returns the checks of the rules that pay follows.
    fn pay_checks(&self) -> [Check; 13] {
        let Self { first_improvement, penalty, proof, .. } = *self;
        let (forget_after, snapshot_every) = (self.forget_after, self.snapshot_every);
        let from_0_to_1 =
            |field, number: Millionths| (field, number, number.0 == 0 || is_share(number), FROM_0_TO_1);
        let rate = |field, rate: Millionths| {
            (field, rate, (1..=500_000).contains(&rate.0), "it must be above 0 and at most 0.5")
        };
        let margin = |field, margin: Millionths| {
            (field, margin, (1..=100_000_000).contains(&margin.0), "it must be above 0 and at most 100")
        };
        [
            ("first_improvement", first_improvement, is_share(first_improvement), POSITIVE),
            ("forget_after", decimal(forget_after), forget_after > 0, COUNTED),
            ("snapshot_every", decimal(snapshot_every.into()), snapshot_every > 0, COUNTED),
            from_0_to_1("penalty.factor", penalty.factor),
            ("penalty.all_after", decimal(penalty.all_after.into()), penalty.all_after > 0, COUNTED),
            ("penalty.recovery", penalty.recovery, is_share(penalty.recovery), POSITIVE),
            (
                "proof.fraction",
                proof.fraction,
                (1..1_000_000).contains(&proof.fraction.0),
                "it must be above 0 and below 1",
            ),
            rate("proof.false_accept", proof.false_accept),
            rate("proof.false_reject", proof.false_reject),
            rate("proof.false_change", proof.false_change),
            margin("proof.floor", proof.floor),
            (
                "proof.first_margin",
                proof.first_margin,
                (proof.floor.0..=100_000_000).contains(&proof.first_margin.0),
                "it must be from proof.floor to 100",
            ),
            from_0_to_1("weights.burn", self.weights.burn),
        ]
    }

    /// Checks that the batches of an evaluation have the sizes of the spec.
    ///
    /// # Errors
    /// Names the first batch of another size.
    pub fn check_sequences(&self, miner: Hotkey, evaluation: &Evaluation) -> Result<(), SequencesError> {
        let batches = [
            ("assigned", evaluation.assigned, self.assigned_sequences),
            ("common unassigned", evaluation.common, self.common_sequences),
            ("own unassigned", evaluation.own, self.own_sequences),
        ];
        let wrong = batches.into_iter().find(|(_, found, expected)| found.count != u32::from(*expected));
        wrong.map_or(Ok(()), |(batch, found, expected)| {
            Err(SequencesError { miner, batch, found: found.count, expected })
        })
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.eval_lr_factor.0 as u64);
        to.u16(self.assigned_sequences).u16(self.common_sequences).u16(self.own_sequences);
        to.u64(self.first_improvement.0 as u64).u32(self.forget_after).u16(self.snapshot_every);
        to.u64(self.penalty.factor.0 as u64).u16(self.penalty.all_after).u64(self.penalty.recovery.0 as u64);
        self.proof.write(to);
        to.u64(self.weights.burn.0 as u64);
    }

    /// Reads canonical bytes. [`Self::validate`] checks the values.
    ///
    /// # Errors
    /// The input ends too early.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            eval_lr_factor: Millionths(from.u64("the step of evaluations")? as i64),
            assigned_sequences: from.u16("the assigned sequences")?,
            common_sequences: from.u16("the common sequences")?,
            own_sequences: from.u16("the validator's own sequences")?,
            first_improvement: Millionths(from.u64("the first improvement")? as i64),
            forget_after: from.u32("the windows until a standing is forgotten")?,
            snapshot_every: from.u16("the windows between snapshots")?,
            penalty: PenaltySpec {
                factor: Millionths(from.u64("the factor of a failure")? as i64),
                all_after: from.u16("the failures that leave no credit")?,
                recovery: Millionths(from.u64("the recovery of credit")? as i64),
            },
            proof: ProofSpec::read(from)?,
            weights: WeightSpec { burn: Millionths(from.u64("the burn share")? as i64) },
        })
    }
}

const POSITIVE: &str = "it must be above 0 and at most 1";
const COUNTED: &str = "it must be at least 1";
const FROM_0_TO_1: &str = "it must be from 0 to 1";

/// Checks whether a number is above 0 and at most 1.
fn is_share(number: Millionths) -> bool {
    (1..=Millionths::ONE.0).contains(&number.0)
}

/// Returns a count as a number with decimals.
fn decimal(count: u32) -> Millionths {
    Millionths(i64::from(count) * Millionths::ONE.0)
}

#[cfg(test)]
mod tests;

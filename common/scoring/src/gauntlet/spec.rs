//! [`ScoringSpec`], the scoring part of a run spec.

use super::proof::{MovingAverage, ProofSpec};
use base::{
    Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The rules by which miners are evaluated, rated and paid: the same for every validator of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringSpec {
    /// Factor of sigma in `rating = mu - z sigma`: 3 for long runs; 1 for short runs, where sigma stays
    /// large.
    pub z: Millionths,
    /// Step of a trial as a share of the outer learning rate. Small steps keep ranks consistent.
    pub eval_lr_factor: Millionths,
    /// Number of assigned sequences on which a miner's update is tried.
    pub assigned_sequences: u16,
    /// Number of unassigned sequences on which all updates of a window are tried.
    pub unassigned_sequences: u16,
    /// The cost of a failed submission.
    pub penalty: PenaltySpec,
    /// The rule by which windows add up to a proof of computation.
    pub proof: ProofSpec,
    /// The rules that turn scores into weights.
    pub weights: WeightSpec,
    /// Number of windows between two score logs that carry a snapshot of all standings.
    pub snapshot_every: u16,
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
    /// Maximum number of paid miners, the best first (`G`).
    pub top: u16,
    /// Exponent of the score in a weight: 2 pays one strong miner more than two that are half as good.
    pub power: u8,
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
    /// Returns the rules of a long run, as in Covenant-72B: 15 paid miners, half of the weight burnt,
    /// and a failure that leaves three quarters of a score.
    fn default() -> Self {
        Self {
            z: Millionths(3_000_000),
            eval_lr_factor: Millionths(200_000),
            assigned_sequences: 64,
            unassigned_sequences: 64,
            penalty: PenaltySpec { factor: Millionths(750_000), all_after: 3, recovery: Millionths(100_000) },
            proof: ProofSpec::MovingAverage(MovingAverage {
                memory: 20,
                decide_after: 20,
                threshold: Millionths(500_000),
            }),
            weights: WeightSpec { top: 15, power: 2, burn: Millionths(500_000) },
            snapshot_every: 8,
        }
    }
}

impl ScoringSpec {
    /// Checks the range of each value.
    ///
    /// # Errors
    /// A value is out of range: names the first such field.
    pub fn validate(&self) -> Result<(), ScoringSpecError> {
        let ProofSpec::MovingAverage(proof) = self.proof;
        let decimal = |count: u16| Millionths(i64::from(count) * Millionths::ONE.0);
        let share = |number: Millionths| (1..=Millionths::ONE.0).contains(&number.0);
        let positive = "it must be above 0 and at most 1";
        let counted = "it must be at least 1";
        let from_0_to_1 = "it must be from 0 to 1";
        let penalty = self.penalty;
        let burn = self.weights.burn;
        let power = self.weights.power;
        let checks = [
            ("z", self.z, (0..=10_000_000).contains(&self.z.0), "it must be from 0 to 10"),
            ("eval_lr_factor", self.eval_lr_factor, share(self.eval_lr_factor), positive),
            (
                "assigned_sequences",
                decimal(self.assigned_sequences),
                (1..=4096).contains(&self.assigned_sequences),
                "it must be from 1 to 4096",
            ),
            (
                "unassigned_sequences",
                decimal(self.unassigned_sequences),
                (1..=4096).contains(&self.unassigned_sequences),
                "it must be from 1 to 4096",
            ),
            (
                "penalty.factor",
                penalty.factor,
                (0..=Millionths::ONE.0).contains(&penalty.factor.0),
                from_0_to_1,
            ),
            ("penalty.all_after", decimal(penalty.all_after), penalty.all_after > 0, counted),
            ("penalty.recovery", penalty.recovery, share(penalty.recovery), positive),
            ("proof.memory", decimal(proof.memory), proof.memory > 0, counted),
            ("proof.decide_after", decimal(proof.decide_after), proof.decide_after > 0, counted),
            ("proof.threshold", proof.threshold, share(proof.threshold), positive),
            ("weights.top", decimal(self.weights.top), self.weights.top > 0, counted),
            ("weights.power", decimal(power.into()), (1..=3).contains(&power), "it must be 1, 2 or 3"),
            ("weights.burn", burn, (0..=Millionths::ONE.0).contains(&burn.0), from_0_to_1),
            ("snapshot_every", decimal(self.snapshot_every), self.snapshot_every > 0, counted),
        ];
        match checks.into_iter().find(|(_, _, good, _)| !good) {
            Some((field, found, _, expected)) => Err(ScoringSpecError { field, found, expected }),
            None => Ok(()),
        }
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.z.0 as u64).u64(self.eval_lr_factor.0 as u64);
        to.u16(self.assigned_sequences).u16(self.unassigned_sequences);
        to.u64(self.penalty.factor.0 as u64).u16(self.penalty.all_after).u64(self.penalty.recovery.0 as u64);
        self.proof.write(to);
        to.u16(self.weights.top).u8(self.weights.power).u64(self.weights.burn.0 as u64);
        to.u16(self.snapshot_every);
    }

    /// Reads canonical bytes. [`Self::validate`] checks the values.
    ///
    /// # Errors
    /// The input ends too early, or the proof's rule is unknown.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            z: Millionths(from.u64("the z of ratings")? as i64),
            eval_lr_factor: Millionths(from.u64("the step of evaluations")? as i64),
            assigned_sequences: from.u16("the assigned sequences")?,
            unassigned_sequences: from.u16("the unassigned sequences")?,
            penalty: PenaltySpec {
                factor: Millionths(from.u64("the factor of a failure")? as i64),
                all_after: from.u16("the failures that leave no credit")?,
                recovery: Millionths(from.u64("the recovery of credit")? as i64),
            },
            proof: ProofSpec::read(from)?,
            weights: WeightSpec {
                top: from.u16("the number of paid miners")?,
                power: from.u8("the power of weights")?,
                burn: Millionths(from.u64("the burn share")? as i64),
            },
            snapshot_every: from.u16("the windows between snapshots")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(spec: &ScoringSpec) -> Vec<u8> {
        let mut writer = Writer::new();
        spec.write(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn toml_names_each_field_and_takes_no_other() {
        let text = toml::to_string(&ScoringSpec::default()).unwrap();
        let proof = "[proof]\nrule = \"moving-average\"\nmemory = 20\ndecide_after = 20\nthreshold = 0.5\n";
        assert!(text.contains(proof), "{text}");
        assert_eq!(toml::from_str::<ScoringSpec>(&text).unwrap(), ScoringSpec::default());
        for (from, to) in [("z =", "zz ="), ("memory", "rate"), ("moving-average", "sprt")] {
            assert!(toml::from_str::<ScoringSpec>(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(toml::from_str::<ScoringSpec>(&format!("more = 1\n{text}")).is_err());
    }

    #[test]
    fn each_value_out_of_range_is_named() {
        let refusal = |change: fn(&mut ScoringSpec)| {
            let mut spec = ScoringSpec::default();
            change(&mut spec);
            spec.validate().unwrap_err().to_string()
        };
        assert_eq!(ScoringSpec::default().validate(), Ok(()));
        assert_eq!(refusal(|s| s.weights.power = 4), "scoring.weights.power is 4: it must be 1, 2 or 3");
        assert_eq!(
            refusal(|s| s.weights.burn.0 = 1_200_000),
            "scoring.weights.burn is 1.2: it must be from 0 to 1"
        );
        assert_eq!(refusal(|s| s.z.0 = -1), "scoring.z is -0.000001: it must be from 0 to 10");
        assert_eq!(refusal(|s| s.weights.top = 0), "scoring.weights.top is 0: it must be at least 1");
        assert!(refusal(|s| s.snapshot_every = 0).starts_with("scoring.snapshot_every"));
    }

    proptest! {
        #[test]
        fn canonical_bytes_come_back(z: i64, a: u16, b: u16, factor: i64, top: u16, power: u8, burn: i64) {
            let mut spec = ScoringSpec::default();
            (spec.z.0, spec.assigned_sequences, spec.unassigned_sequences) = (z, a, b);
            spec.penalty.factor.0 = factor;
            spec.weights = WeightSpec { top, power, burn: Millionths(burn) };
            let written = bytes(&spec);
            prop_assert_eq!(ScoringSpec::read(&mut Reader::new(&written)), Ok(spec));
            for cut in 0..written.len() {
                prop_assert!(ScoringSpec::read(&mut Reader::new(&written[..cut])).is_err());
            }
        }
    }
}

//! The proof of computation: tests whether a miner's updates help more on its assigned data than on
//! other data.
//!
//! A miner that trained on its assigned data lowers the loss on it more than on unassigned data. A
//! miner that copied, or trained on other data, does not. One window proves little, so a rule combines
//! the signs of many windows. [`ProofSpec`] names the rule. Each rule has its own [`Proof`] and gives a
//! [`Verdict`]. Better rules, for instance a sequential test on margins, can be added to [`ProofSpec`].

use base::{
    Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The rule that combines the windows of a miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum ProofSpec {
    /// A moving average of signs.
    MovingAverage(MovingAverage),
}

/// Templar's rule with a stricter threshold: a moving average of +1 (assigned data improved more) and
/// -1 (it did not).
///
/// The average is the plain mean of the first `memory` windows; each further window weighs
/// `1 / memory`. Templar's own values (memory 20, threshold 0.1, start at 0) let a miner without any signal
/// pass in 27 % of the windows. With threshold 0.5 such a miner passes in 2.1 % of the first decisions,
/// and in 0.1 % of the windows in the long run. A miner that wins nine windows of ten passes in 99.5 %
/// of them (see the tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MovingAverage {
    /// Number of windows that the average remembers, at least 1.
    pub memory: u16,
    /// Number of evaluated windows before the first verdict, at least 1.
    pub decide_after: u16,
    /// Minimum average of a miner that passes, above 0 and at most 1.
    pub threshold: Millionths,
}

/// The state of the proof of one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The state of [`MovingAverage`].
    MovingAverage {
        /// Number of windows seen.
        windows: u32,
        /// Sum of the signs. Once the memory is full, each further window first subtracts `sum / memory`.
        sum: Millionths,
    },
}

/// The decision of a rule after the windows so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Too few windows.
    Undecided,
    /// The miner trained on its data. Holds the factor of its score.
    Passed(Millionths),
    /// The miner shows no sign of training on its data.
    Failed,
}

impl Verdict {
    /// Returns the factor of the score: 0.5 until there is a verdict, 0 after a failure.
    #[must_use]
    pub fn factor(self) -> Millionths {
        match self {
            Self::Undecided => Millionths(500_000),
            Self::Passed(factor) => factor,
            Self::Failed => Millionths::ZERO,
        }
    }
}

impl ProofSpec {
    /// Returns the state of a miner without any window.
    #[must_use]
    pub fn start(&self) -> Proof {
        match self {
            Self::MovingAverage(_) => Proof::MovingAverage { windows: 0, sum: Millionths::ZERO },
        }
    }

    /// Returns the state after one more window, in which assigned data improved by `margin` more than
    /// unassigned data (relative to the losses before).
    #[must_use]
    pub fn observe(&self, proof: Proof, margin: f64) -> Proof {
        let Self::MovingAverage(spec) = self;
        let Proof::MovingAverage { windows, sum } = proof;
        let windows = windows.saturating_add(1);
        let sign = if margin > 0.0 { Millionths::ONE.0 } else { -Millionths::ONE.0 };
        let forgotten = if windows > spec.memory() { sum.0 / i64::from(spec.memory()) } else { 0 };
        Proof::MovingAverage { windows, sum: Millionths(sum.0 - forgotten + sign) }
    }

    /// Returns the verdict of the windows so far.
    #[must_use]
    pub fn verdict(&self, proof: Proof) -> Verdict {
        let Self::MovingAverage(spec) = self;
        let Proof::MovingAverage { windows, sum } = proof;
        if windows < u32::from(spec.decide_after) {
            return Verdict::Undecided;
        }
        let average = Millionths(sum.0 / i64::from(windows.clamp(1, spec.memory()))).min(Millionths::ONE);
        if average >= spec.threshold { Verdict::Passed(average) } else { Verdict::Failed }
    }

    /// Appends the rule's canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        let Self::MovingAverage(spec) = self;
        to.u8(MOVING_AVERAGE).u16(spec.memory).u16(spec.decide_after).u64(spec.threshold.0 as u64);
    }

    /// Reads a rule.
    ///
    /// # Errors
    /// The input ends too early, or the rule is unknown.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        rule(from)?;
        Ok(Self::MovingAverage(MovingAverage {
            memory: from.u16("the memory of the proof")?,
            decide_after: from.u16("the windows before a verdict")?,
            threshold: Millionths(from.u64("the threshold of the proof")? as i64),
        }))
    }
}

impl MovingAverage {
    /// Returns the number of remembered windows: at least 1, for any spec.
    fn memory(&self) -> u32 {
        u32::from(self.memory.max(1))
    }
}

impl Proof {
    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        let Self::MovingAverage { windows, sum } = self;
        to.u8(MOVING_AVERAGE).u32(*windows).u64(sum.0 as u64);
    }

    /// Reads the state of a miner.
    ///
    /// # Errors
    /// The input ends too early, the rule is unknown, or the sum is larger than the number of signs.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        rule(from)?;
        let windows = from.u32("the windows of a proof")?;
        let what = "the sum of a proof";
        let offset = from.offset();
        let sum = from.u64(what)?;
        let most = u64::from(windows.min(u16::MAX.into())) * Millionths::ONE.0.unsigned_abs();
        if (sum as i64).unsigned_abs() > most {
            let expected = "a sum of signs is not above their number";
            return Err(WireError::Value { what, offset, found: sum, expected });
        }
        Ok(Self::MovingAverage { windows, sum: Millionths(sum as i64) })
    }
}

/// The number of [`ProofSpec::MovingAverage`] in all formats.
const MOVING_AVERAGE: u8 = 1;

/// Reads the number of the rule, and checks that it is the only known one.
fn rule(from: &mut Reader<'_>) -> Result<(), WireError> {
    let what = "the rule of a proof";
    let offset = from.offset();
    match from.u8(what)? {
        MOVING_AVERAGE => Ok(()),
        found => {
            Err(WireError::Value { what, offset, found: found.into(), expected: "1 is the moving average" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPEC: ProofSpec = ProofSpec::MovingAverage(MovingAverage {
        memory: 20,
        decide_after: 20,
        threshold: Millionths(500_000),
    });

    /// Returns margins of windows that are won with probability `wins` / 1000. The same seed gives the
    /// same windows.
    fn windows(seed: u64, wins: u64) -> impl Iterator<Item = f64> {
        let mut random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        std::iter::from_fn(move || {
            let mut bytes = [0u8; 8];
            random.fill(&mut bytes);
            Some(if u64::from_le_bytes(bytes) % 1000 < wins { 1e-3 } else { -1e-3 })
        })
    }

    /// Returns the share of miners that pass at the first verdict, and the share of windows with a
    /// passed verdict among all windows that have one.
    fn passing(wins: u64) -> (f64, f64) {
        const MINERS: u64 = 1000;
        const WINDOWS: usize = 200;
        let (mut first, mut all, mut judged) = (0, 0, 0);
        for miner in 0..MINERS {
            let mut proof = SPEC.start();
            for (index, margin) in windows(miner, wins).take(WINDOWS).enumerate() {
                proof = SPEC.observe(proof, margin);
                let passed = u32::from(matches!(SPEC.verdict(proof), Verdict::Passed(_)));
                first += if index == 19 { passed } else { 0 };
                all += passed;
                judged += u32::from(index >= 19);
            }
        }
        (f64::from(first) / MINERS as f64, f64::from(all) / f64::from(judged))
    }

    #[test]
    fn thresholds_tell_training_from_luck() {
        let (first, all) = passing(500); // no signal: a coin
        assert!(first < 0.04 && all < 0.003, "no signal passes {first} at first, {all} in all");
        let (first, all) = passing(900);
        assert!(first > 0.96 && all > 0.985, "nine of ten passes {first} at first, {all} in all");
    }

    #[test]
    fn half_until_decided_then_the_average_or_nothing() {
        let mut proof = SPEC.start();
        for _ in 0..19 {
            proof = SPEC.observe(proof, 1e-3);
            assert_eq!(SPEC.verdict(proof).factor(), Millionths(500_000));
        }
        proof = SPEC.observe(proof, 1e-3);
        assert_eq!(SPEC.verdict(proof), Verdict::Passed(Millionths::ONE));
        for _ in 0..14 {
            proof = SPEC.observe(proof, 0.0); // An equal improvement counts against the miner.
        }
        assert_eq!(SPEC.verdict(proof), Verdict::Failed);
        assert_eq!(SPEC.verdict(proof).factor(), Millionths::ZERO);
    }

    #[test]
    fn a_margin_that_is_no_number_counts_against() {
        let proof = SPEC.observe(SPEC.start(), f64::NAN);
        assert_eq!(proof, Proof::MovingAverage { windows: 1, sum: Millionths(-1_000_000) });
    }

    proptest! {
        #[test]
        fn averages_stay_averages_and_survive_their_bytes(margins in prop::collection::vec(-1.0..1.0f64, 0..300)) {
            let mut proof = SPEC.start();
            for margin in margins {
                proof = SPEC.observe(proof, margin);
                let Proof::MovingAverage { sum, .. } = proof;
                prop_assert!(sum.0.abs() <= 20_000_000);
                let mut writer = Writer::new();
                proof.write(&mut writer);
                prop_assert_eq!(Proof::read(&mut Reader::new(&writer.into_bytes())), Ok(proof));
            }
        }
    }

    #[test]
    fn an_average_is_at_most_1_even_where_another_memory_summed_it() {
        let proof = Proof::MovingAverage { windows: 60_000, sum: Millionths(60_000_000_000) };
        assert_eq!(SPEC.verdict(proof), Verdict::Passed(Millionths::ONE));
        let none = ProofSpec::MovingAverage(MovingAverage {
            memory: 0,
            decide_after: 0,
            threshold: Millionths::ONE,
        });
        assert_eq!(none.verdict(none.start()), Verdict::Failed);
        assert_eq!(
            none.verdict(none.observe(none.observe(none.start(), 1.0), 1.0)),
            Verdict::Passed(Millionths::ONE)
        );
    }

    #[test]
    fn other_rules_and_impossible_sums_are_refused() {
        let error = Proof::read(&mut Reader::new(&[9])).unwrap_err().to_string();
        assert_eq!(error, "the rule of a proof at offset 0 is 9: 1 is the moving average");
        let mut writer = Writer::new();
        writer.u8(1).u32(1).u64(1_000_001);
        assert!(matches!(Proof::read(&mut Reader::new(&writer.into_bytes())), Err(WireError::Value { .. })));
    }
}

//! The proof of computation: a sequential test of whether a miner trains on the data that it was assigned.
//!
//! A miner that trained on its assigned data lowers the loss on it more than on unassigned data. The margin
//! of a window is this difference in standard errors. It has a standard deviation of about 1. For a miner
//! that trains on all of its data, its mean is the field's: the margin of the miners that have passed. For a
//! miner that trained on other data, it is 0. For one that trained on a part of its data, as each of two
//! hotkeys that share one training run, it is about that part of the field's.
//!
//! The test compares two hypotheses: the mean is the field's margin `f`, or it is `q f`, with the run spec's
//! `fraction` q. The evidence of a window is the logarithm of the likelihood ratio:
//! `(1 - q) f (margin - (1 + q) f / 2)`. Evidence adds up (Wald's sequential probability ratio test):
//!
//! * *Undecided* until the sum reaches `ln(1 / false_accept)` (passed) or `-ln(1 / false_reject)` (failed).
//!   The likelihood ratio of a miner with mean at most `q f` is a supermartingale, as `f` is known before the
//!   window. So it ever passes with at most probability `false_accept`, no matter when one looks (Ville's
//!   inequality). The other bound holds for a miner with the field's margin in the same way.
//! * *Passed* until an alarm: a sum of evidence against the miner, never below 0 (Page's CUSUM). For a miner
//!   with the field's margin, the mean time until a false alarm is at least `1 / false_change` windows
//!   (Lorden).
//! * *Failed* until a sum of evidence for the miner, never below 0, recovers it, with the same bound.
//!
//! Evidence for a change is cut to half of its threshold. So no single window passes, revokes or recovers a
//! miner, and the bounds stay valid, since a cut only makes a change later.

use base::{
    Millionths,
    wire::{Reader, WireError, Writer},
};
use serde::{Deserialize, Serialize};

/// The error rates and hypotheses of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofSpec {
    /// Margin of a miner that must fail, as a share of the field's (q): above 0 and below 1.
    pub fraction: Millionths,
    /// Largest probability with which a miner with this share of the field's margin ever passes at first.
    pub false_accept: Millionths,
    /// Largest probability with which a miner with the field's margin ever fails at first.
    pub false_reject: Millionths,
    /// Largest rate of later false changes, passed to failed and back, per window.
    pub false_change: Millionths,
    /// Margin in standard errors that is expected before any miner has passed.
    pub first_margin: Millionths,
    /// Margin of the field, in standard errors, below which windows are no evidence.
    pub floor: Millionths,
}

/// The state of the proof of one miner. Evidence is in millionths of a nat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// No verdict so far. Holds the logarithm of the likelihood ratio.
    Undecided(Millionths),
    /// The miner has passed. Holds the evidence against it, at least 0.
    Passed(Millionths),
    /// The miner has failed. Holds the evidence for it, at least 0.
    Failed(Millionths),
}

/// The verdict of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The miner trains on its data.
    Passed,
    /// The miner does not train on its data, or on too little of it.
    Failed,
    /// The evidence is not sufficient.
    Undecided {
        /// Whether the evidence so far is for the miner.
        favoured: bool,
    },
    /// Even the field's margin is below the floor, so there is no further evidence about this miner. More
    /// sequences are necessary.
    NotMeasurable {
        /// Whether the evidence so far is for the miner.
        favoured: bool,
    },
}

/// The sums of evidence at which a verdict changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Undecided to passed: `ln(1 / false_accept)`.
    pub pass: Millionths,
    /// Undecided to failed, against the miner: `ln(1 / false_reject)`.
    pub fail: Millionths,
    /// Passed to failed, and failed to passed: `ln(1 / false_change)`.
    pub change: Millionths,
}

/// The two verdicts to which a proof can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextVerdict {
    /// The miner passes, at first or again.
    Passed,
    /// The miner fails, at first or by an alarm.
    Failed,
}

/// The next change of a proof, if each further window brings the same evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Outlook {
    /// The verdict to come.
    pub next: NextVerdict,
    /// The evidence that is missing until then, in nats.
    pub missing: Millionths,
    /// Number of windows until then, or `None` if the evidence is unknown or never brings the change: not
    /// within 1000 windows.
    pub windows: Option<u32>,
}

impl Verdict {
    /// Returns the factor of pay: 1 for a miner that has passed, half while the evidence favours an undecided
    /// miner, else 0. At half for all undecided miners, new hotkeys without work would earn half.
    #[must_use]
    pub fn factor(self) -> Millionths {
        match self {
            Self::Passed => Millionths::ONE,
            Self::Undecided { favoured: true } | Self::NotMeasurable { favoured: true } => {
                Millionths(500_000)
            }
            _ => Millionths::ZERO,
        }
    }
}

impl ProofSpec {
    /// Returns the thresholds. Logarithms are rounded to millionths, since they differ between machines.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        let threshold = |rate: Millionths| {
            Millionths::rounded((1.0 / rate.get()).ln()).unwrap_or(Millionths(i64::from(i32::MAX)))
        };
        Thresholds {
            pass: threshold(self.false_accept),
            fail: threshold(self.false_reject),
            change: threshold(self.false_change),
        }
    }

    /// Returns the evidence of a window for a miner with this `margin`, where `expected` is the field's. Both
    /// are in standard errors, the evidence is in nats.
    #[must_use]
    pub fn evidence(&self, margin: f64, expected: Millionths) -> Millionths {
        let (q, f) = (self.fraction.get(), expected.get());
        let evidence = (1.0 - q) * f * (margin - (1.0 + q) * f / 2.0);
        // A margin beyond this bound, or one that is no number, is no measurement of a real update.
        Millionths::rounded(evidence.clamp(-MOST_EVIDENCE, MOST_EVIDENCE)).unwrap_or_default()
    }

    /// Returns the state after one more window with this evidence.
    #[must_use]
    pub fn observe(&self, proof: Proof, evidence: Millionths) -> Proof {
        let thresholds = self.thresholds();
        match proof {
            Proof::Undecided(sum) => {
                let sum = Millionths(sum.0 + evidence.0.min(thresholds.pass.0 / 2));
                if sum >= thresholds.pass {
                    Proof::Passed(Millionths::ZERO)
                } else if sum.0 <= -thresholds.fail.0 {
                    Proof::Failed(Millionths::ZERO)
                } else {
                    Proof::Undecided(sum)
                }
            }
            Proof::Passed(sum) => match thresholds.change_after(sum, Millionths(-evidence.0)) {
                Some(sum) => Proof::Passed(sum),
                None => Proof::Failed(Millionths::ZERO),
            },
            Proof::Failed(sum) => match thresholds.change_after(sum, evidence) {
                Some(sum) => Proof::Failed(sum),
                None => Proof::Passed(Millionths::ZERO),
            },
        }
    }

    /// Returns the next change of a proof if each further window brings this evidence. Without any, an
    /// undecided miner is on its way to pass.
    #[must_use]
    pub fn outlook(&self, proof: Proof, evidence: Option<Millionths>) -> Outlook {
        let (next, missing) = match proof {
            Proof::Undecided(sum) if evidence.is_some_and(|evidence| evidence.0 < 0) => {
                (NextVerdict::Failed, Millionths(self.thresholds().fail.0 + sum.0))
            }
            Proof::Undecided(_) | Proof::Failed(_) => (NextVerdict::Passed, proof.missing(self)),
            Proof::Passed(_) => (NextVerdict::Failed, proof.missing(self)),
        };
        let windows = evidence.and_then(|evidence| self.windows_until_change(proof, evidence));
        Outlook { next, missing, windows }
    }

    fn windows_until_change(&self, proof: Proof, evidence: Millionths) -> Option<u32> {
        let mut last = proof;
        for window in 1..=MOST_WINDOWS {
            let next = self.observe(last, evidence);
            if std::mem::discriminant(&next) != std::mem::discriminant(&proof) {
                return Some(window);
            }
            if next == last {
                return None;
            }
            last = next;
        }
        None
    }

    /// Returns the margin above which evidence is for a miner, as a share of the field's: `(1 + q) / 2`.
    #[must_use]
    pub fn neutral_share(&self) -> Millionths {
        Millionths((Millionths::ONE.0 + self.fraction.0) / 2)
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        for number in self.numbers() {
            to.u64(number.0 as u64);
        }
    }

    /// Reads the canonical bytes.
    ///
    /// # Errors
    /// The input ends too early.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut next = |what| from.u64(what).map(|number| Millionths(number as i64));
        Ok(Self {
            fraction: next("the fraction of the proof")?,
            false_accept: next("the rate of false accepts")?,
            false_reject: next("the rate of false rejects")?,
            false_change: next("the rate of false changes")?,
            first_margin: next("the first margin")?,
            floor: next("the floor of margins")?,
        })
    }

    /// Returns all numbers in their order in bytes.
    fn numbers(&self) -> [Millionths; 6] {
        let Self { fraction, false_accept, false_reject, false_change, first_margin, floor } = *self;
        [fraction, false_accept, false_reject, false_change, first_margin, floor]
    }
}

impl Thresholds {
    /// Returns the sum for a change after more evidence for it, or `None` if the change is due.
    fn change_after(&self, sum: Millionths, evidence: Millionths) -> Option<Millionths> {
        let sum = (sum.0 + evidence.0.min(self.change.0 / 2)).max(0);
        (sum < self.change.0).then_some(Millionths(sum))
    }
}

/// Most windows that an [`Outlook`] looks ahead.
const MOST_WINDOWS: u32 = 1000;

/// Bound of the evidence of one window, in nats.
const MOST_EVIDENCE: f64 = 1000.0;

/// Bound of all sums of evidence, in millionths: above every threshold and its steps.
const MOST_SUM: u64 = 2_000_000_000;

impl Default for Proof {
    fn default() -> Self {
        Self::Undecided(Millionths::ZERO)
    }
}

impl Proof {
    /// Number of bytes in every format.
    pub const BYTES: usize = 1 + 8;

    /// Returns the verdict. `measurable` says whether the field's margin is above the floor.
    #[must_use]
    pub fn verdict(self, measurable: bool) -> Verdict {
        match self {
            Self::Passed(_) => Verdict::Passed,
            Self::Failed(_) => Verdict::Failed,
            Self::Undecided(sum) if measurable => Verdict::Undecided { favoured: sum.0 > 0 },
            Self::Undecided(sum) => Verdict::NotMeasurable { favoured: sum.0 > 0 },
        }
    }

    /// Checks whether the miner has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        matches!(self, Self::Passed(_))
    }

    /// Checks whether the miner has failed.
    #[must_use]
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Returns the evidence that is still missing until the verdict changes, in nats. For an undecided
    /// miner it is the evidence until it passes.
    #[must_use]
    pub fn missing(self, spec: &ProofSpec) -> Millionths {
        let thresholds = spec.thresholds();
        match self {
            Self::Undecided(sum) => Millionths(thresholds.pass.0 - sum.0),
            Self::Passed(sum) | Self::Failed(sum) => Millionths(thresholds.change.0 - sum.0),
        }
    }

    /// Appends the canonical bytes.
    pub fn write(self, to: &mut Writer) {
        let (kind, sum) = match self {
            Self::Undecided(sum) => (UNDECIDED, sum),
            Self::Passed(sum) => (PASSED, sum),
            Self::Failed(sum) => (FAILED, sum),
        };
        to.u8(kind).u64(sum.0 as u64);
    }

    /// Reads the state of a miner.
    ///
    /// # Errors
    /// The input ends too early, the state is unknown, or the evidence is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (what, offset) = ("the state of a proof", from.offset());
        let kind = from.u8(what)?;
        if !(UNDECIDED..=FAILED).contains(&kind) {
            let expected = "0 is undecided, 1 passed, 2 failed";
            return Err(WireError::Value { what, offset, found: kind.into(), expected });
        }
        let (what, offset) = ("the evidence of a proof", from.offset());
        let found = from.u64(what)?;
        let sum = Millionths(found as i64);
        if sum.0.unsigned_abs() > MOST_SUM || (kind != UNDECIDED && sum.0 < 0) {
            let expected = "evidence is within 2000 nats, and not negative after a verdict";
            return Err(WireError::Value { what, offset, found, expected });
        }
        Ok(match kind {
            UNDECIDED => Self::Undecided(sum),
            PASSED => Self::Passed(sum),
            _ => Self::Failed(sum),
        })
    }
}

/// The numbers of states in all formats.
const UNDECIDED: u8 = 0;
const PASSED: u8 = 1;
const FAILED: u8 = 2;

#[cfg(test)]
mod tests;

//! [`Standing`], a validator's record of one miner.

use super::{Fault, Penalty, ScoringSpec, contribution::Contribution, proof::Proof};
use crate::{pay::Score, ratings::Rating};
use base::{
    Millionths, Window,
    wire::{Reader, WireError, Writer},
};

/// A validator's record of one miner.
///
/// It belongs to a hotkey. A new registration of the same hotkey continues it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The rating of its skill. It orders miners, and does not determine pay.
    pub rating: Rating,
    /// The proof that it trains on its assigned data.
    pub proof: Proof,
    /// Its improvements in the last windows, relative to the field's.
    pub contribution: Contribution,
    /// The factor, 0 to 1, that failures leave of its score. Each judged window restores a part of it.
    pub credit: Millionths,
    /// Number of failures in a row.
    pub failures: u16,
    /// Number of windows in which an update of this miner was judged.
    pub judged: u32,
    /// The last window in which it made a claim.
    pub seen: Window,
}

impl Standing {
    /// Number of bytes in every format.
    pub const BYTES: usize = Rating::BYTES + Proof::BYTES + Contribution::BYTES + 4 + 2 + 4 + 8;

    /// Creates the standing of a new miner.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rating: Rating::default(),
            proof: Proof::default(),
            contribution: Contribution::default(),
            credit: Millionths::ONE,
            failures: 0,
            judged: 0,
            seen: Window(0),
        }
    }

    /// Returns the score. `measurable` says whether the field's margin is above the floor.
    #[must_use]
    pub fn score(&self, measurable: bool) -> Score {
        let factor = self.proof.verdict(measurable).factor();
        Score::of(self.contribution.mean(), factor, self.credit)
    }

    /// Returns the standing after a window in which an update was judged.
    pub(super) fn judged(self, spec: &ScoringSpec, judged: &Judged) -> Self {
        let credit = Millionths(self.credit.0 + spec.penalty.recovery.0).min(Millionths::ONE);
        Self {
            rating: judged.rating,
            proof: judged.evidence.map_or(self.proof, |evidence| spec.proof.observe(self.proof, evidence)),
            contribution: self.contribution.after(judged.relative),
            credit,
            failures: 0,
            judged: self.judged.saturating_add(1),
            seen: judged.window,
        }
    }

    /// Returns the standing after a window in which the miner failed.
    pub(super) fn failed(self, spec: &ScoringSpec, fault: Fault, window: Window) -> Self {
        let failures = self.failures.saturating_add(1);
        let all = fault.penalty() == Penalty::All || failures >= spec.penalty.all_after;
        let credit = if all { Millionths::ZERO } else { self.credit.times(spec.penalty.factor) };
        let contribution = self.contribution.after(Millionths::ZERO);
        let seen = if fault == Fault::Absent { self.seen } else { window };
        Self { contribution, credit, failures, seen, ..self }
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        self.rating.write(to);
        self.proof.write(to);
        self.contribution.write(to);
        to.u32(self.credit.0 as u32).u16(self.failures).u32(self.judged).u64(self.seen.0);
    }

    /// Reads a standing.
    ///
    /// # Errors
    /// The input ends too early, or a part is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            rating: Rating::read(from)?,
            proof: Proof::read(from)?,
            contribution: Contribution::read(from)?,
            credit: read_credit(from)?,
            failures: from.u16("the failures in a row")?,
            judged: from.u32("the judged windows")?,
            seen: Window(from.u64("the last window with a claim")?),
        })
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::new()
    }
}

/// The results of a window for a judged miner.
pub(super) struct Judged {
    pub(super) window: Window,
    pub(super) rating: Rating,
    /// The evidence for the proof, or `None` if the window is no evidence.
    pub(super) evidence: Option<Millionths>,
    pub(super) relative: Millionths,
}

/// Reads a credit, from 0 to 1.
fn read_credit(from: &mut Reader<'_>) -> Result<Millionths, WireError> {
    let what = "the credit of a miner";
    let offset = from.offset();
    match from.u32(what)? {
        credit @ 0..=1_000_000 => Ok(Millionths(credit.into())),
        found => Err(WireError::Value {
            what,
            offset,
            found: found.into(),
            expected: "a credit is at most 1000000",
        }),
    }
}

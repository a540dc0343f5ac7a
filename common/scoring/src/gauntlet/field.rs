//! The field: the miners that have passed the proof. What they achieve is the measure for all.
//!
//! Miners that have not passed are no part of it. Otherwise idle claimants would lower its medians until
//! every miner passes.

use super::{Judgement, ScoringSpec, proof::ProofSpec};
use base::{
    Hotkey, Millionths,
    wire::{Reader, WireError, Writer},
};
use std::collections::BTreeMap;

/// Number of windows that the field remembers.
pub const WINDOWS: usize = 20;
/// Number of windows over which the margin is averaged at least. The missing ones count with the run spec's
/// first margin, so that the few miners that pass first do not set the measure alone.
const LEAST_WINDOWS: usize = 5;
/// Lowest reference, as a share of the median over the remembered windows. A window in which the field hardly
/// improves the model thus does not multiply the contribution of others.
const FLOOR_SHARE: f64 = 0.5;
/// The unit of stored improvements: a relative improvement of 1e-12.
const UNITS: f64 = 1e12;

/// The field's medians in the last windows in which it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// The windows, the oldest first. At most [`WINDOWS`].
    windows: Vec<FieldWindow>,
}

/// The field's medians in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldWindow {
    /// Median improvement, in units of 1e-12.
    improvement: u64,
    /// Median margin, in standard errors.
    margin: Millionths,
}

/// The measure by which a window is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// The improvement that counts as a contribution of 1.
    pub improvement: f64,
    /// The margin that a miner that trains on all of its data is expected to have, in standard errors.
    pub margin: Millionths,
    /// Whether the window is evidence for the proofs.
    pub measurable: bool,
}

impl FieldWindow {
    /// Number of bytes in every format.
    pub const BYTES: usize = 8 + 8;

    /// Returns the medians of the judged miners of the field, or `None` without any.
    fn of(judged: &[Judgement]) -> Option<Self> {
        let improvement = median(judged.iter().map(|judgement| judgement.improvement))?;
        let margin = median(judged.iter().map(|judgement| judgement.margin))?;
        let margin = Millionths::rounded(margin.clamp(-MOST_MARGIN, MOST_MARGIN)).unwrap_or_default();
        Some(Self { improvement: (improvement * UNITS).round().clamp(1.0, UNITS) as u64, margin })
    }

    /// Returns the median improvement.
    #[must_use]
    pub fn improvement(&self) -> f64 {
        self.improvement as f64 / UNITS
    }

    /// Returns the median margin, in standard errors.
    #[must_use]
    pub fn margin(&self) -> Millionths {
        self.margin
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        to.u64(self.improvement).u64(self.margin.0 as u64);
    }

    /// Reads the medians of a window.
    ///
    /// # Errors
    /// The input ends too early, or a median is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (what, offset) = ("the field's improvement", from.offset());
        let improvement = from.u64(what)?;
        if !(1..=UNITS as u64).contains(&improvement) {
            let expected = "it is above 0 and at most 1000000000000";
            return Err(WireError::Value { what, offset, found: improvement, expected });
        }
        let (what, offset) = ("the field's margin", from.offset());
        let found = from.u64(what)?;
        let margin = Millionths(found as i64);
        if margin.get().abs() > MOST_MARGIN {
            return Err(WireError::Value { what, offset, found, expected: "it is within 1000 of 0" });
        }
        Ok(Self { improvement, margin })
    }
}

/// Bound of the field's margin, in standard errors.
const MOST_MARGIN: f64 = 1000.0;

impl Field {
    /// Creates a field from its windows, the oldest first. Keeps the last [`WINDOWS`].
    #[must_use]
    pub fn new(mut windows: Vec<FieldWindow>) -> Self {
        windows.drain(..windows.len().saturating_sub(WINDOWS));
        Self { windows }
    }

    /// Returns the medians of the remembered windows, the oldest first.
    #[must_use]
    pub fn windows(&self) -> &[FieldWindow] {
        &self.windows
    }

    /// Returns the margin that is expected of a miner that trains on all of its data: the mean of the field's
    /// medians. It is known before a window, so no miner's luck in the window changes its own measure.
    #[must_use]
    pub fn margin(&self, spec: &ProofSpec) -> Millionths {
        let missing = LEAST_WINDOWS.saturating_sub(self.windows.len()) as i64;
        let sum: i64 = self.windows.iter().map(|window| window.margin.0).sum();
        Millionths((sum + missing * spec.first_margin.0) / (self.windows.len() as i64 + missing))
    }

    /// Checks whether margins are large enough to tell miners apart.
    #[must_use]
    pub fn is_measurable(&self, spec: &ProofSpec) -> bool {
        self.margin(spec) >= spec.floor
    }

    /// Returns the measure for a window, and the field after it. `judged` are the judgements of all miners of
    /// the window, and `has_passed` says which of them had passed before it.
    #[must_use]
    pub fn reference(
        &self,
        spec: &ScoringSpec,
        judged: &BTreeMap<Hotkey, Judgement>,
        has_passed: impl Fn(&Hotkey) -> bool,
    ) -> (Reference, Self) {
        let field: Vec<_> = judged.iter().filter(|(miner, _)| has_passed(miner)).map(|(_, j)| *j).collect();
        let window = FieldWindow::of(&field);
        let reference = Reference {
            improvement: self.improvement(spec, window, judged),
            margin: self.margin(&spec.proof),
            measurable: self.is_measurable(&spec.proof)
                && window.is_none_or(|window| window.margin >= spec.proof.floor),
        };
        (reference, Self::new(self.windows.iter().copied().chain(window).collect()))
    }

    /// Appends the canonical bytes: the number of windows, and the medians of each.
    pub fn write(&self, to: &mut Writer) {
        to.u8(self.windows.len() as u8);
        for window in &self.windows {
            window.write(to);
        }
    }

    /// Reads the canonical bytes.
    ///
    /// # Errors
    /// The input ends too early, there are too many windows, or a median is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (what, offset) = ("the number of the field's windows", from.offset());
        let count = from.u8(what)?;
        if usize::from(count) > WINDOWS {
            return Err(WireError::Value { what, offset, found: count.into(), expected: "at most 20" });
        }
        let windows = (0..count).map(|_| FieldWindow::read(from)).collect::<Result<_, _>>()?;
        Ok(Self { windows })
    }

    /// Returns the improvement that counts as 1: the field's median, with a floor from its last windows.
    /// Before any miner has passed, it is the median of all judged miners, with a floor from the run spec.
    fn improvement(
        &self,
        spec: &ScoringSpec,
        window: Option<FieldWindow>,
        judged: &BTreeMap<Hotkey, Judgement>,
    ) -> f64 {
        let last = median(self.windows.iter().map(FieldWindow::improvement));
        let all = || median(judged.values().map(|judgement| judgement.improvement));
        match (window.map(|window| window.improvement()), last) {
            (Some(now), Some(last)) => now.max(FLOOR_SHARE * last),
            (Some(now), None) => now.max(spec.first_improvement.get()),
            (None, Some(last)) => last,
            (None, None) => all().unwrap_or_default().max(spec.first_improvement.get()),
        }
    }
}

/// Returns the median, the mean of the two middle numbers of an even count, or `None` without numbers.
fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len().is_multiple_of(2) { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
mod tests;

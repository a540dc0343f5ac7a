//! [`Standings`], a validator's record of all miners, and its update by one window.

use super::{
    Evaluation, Fault, Field, Judgement, Reference, ScoringSpec, SequencesError, Standing, contribution,
    drawn, proof::Verdict, standing::Judged,
};
use crate::{
    pay::Score,
    ratings::{self, Entrant},
};
use base::{
    BlockHash, Hotkey, Window,
    digest::StandingsHash,
    wire::{Reader, WireError, Writer},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Most miners in the standings: 16 times the uids of a subnet of 256. If there are more, those are
/// forgotten whose last claim is the oldest.
pub const MOST_STANDINGS: usize = 4096;

/// The outcome of a window for one miner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Its update was tried.
    Evaluated(Evaluation),
    /// The miner failed by its own fault.
    Failed(Fault),
    /// The miner was not evaluated: the time budget was spent, the validator could not evaluate it, or
    /// its absence is [excused](Availability::Excused).
    Skipped,
    /// Its hotkey is not registered. It counts as absent.
    Gone,
}

/// Whether failures to make a submission available count in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Availability {
    /// They are the miners' faults.
    #[default]
    Counts,
    /// They are excused: the validator's own line failed it in the window before, so that it had to get an
    /// accepted object from custodians.
    Excused,
}

impl Outcome {
    /// Returns the outcome of a miner whose registration stands: of its evaluation, else of its fault.
    #[must_use]
    pub fn of(evaluation: Option<Evaluation>, fault: Option<Fault>, availability: Availability) -> Self {
        match (evaluation, fault) {
            (Some(evaluation), _) => Self::Evaluated(evaluation),
            (None, Some(fault)) if availability == Availability::Excused && fault.is_unavailable() => {
                Self::Skipped
            }
            (None, Some(fault)) => Self::Failed(fault),
            (None, None) => Self::Skipped,
        }
    }
}

/// The observations of one validator in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The window.
    pub window: Window,
    /// Hash of the finalized block that seeded the evaluations.
    pub seed: BlockHash,
    /// The outcome for each claimant and each miner with a standing.
    pub outcomes: BTreeMap<Hotkey, Outcome>,
}

/// An error in the observations of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// A batch of another size than the run spec says.
    #[error(transparent)]
    Sequences(#[from] SequencesError),
    /// A miner with a standing and without an outcome.
    #[error("{0} has a standing, but the window has no outcome for it")]
    Unaccounted(Hotkey),
}

/// A validator's record of all miners that it has judged, or of which it has seen a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    field: Field,
    miners: BTreeMap<Hotkey, Standing>,
}

impl Standings {
    /// Creates standings from their parts.
    #[must_use]
    pub fn new(field: Field, miners: BTreeMap<Hotkey, Standing>) -> Self {
        Self { field, miners }
    }

    /// Returns the standing of a miner, or `None` if there is no record of it.
    #[must_use]
    pub fn get(&self, miner: &Hotkey) -> Option<&Standing> {
        self.miners.get(miner)
    }

    /// Returns all miners with their standings, in the order of hotkeys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Hotkey, &Standing)> {
        self.miners.iter()
    }

    /// Returns the record of the field.
    #[must_use]
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// Checks whether a miner has passed the proof.
    #[must_use]
    pub fn has_passed(&self, miner: &Hotkey) -> bool {
        self.get(miner).is_some_and(|standing| standing.proof.has_passed())
    }

    /// Checks whether a miner has failed the proof.
    #[must_use]
    pub fn has_failed(&self, miner: &Hotkey) -> bool {
        self.get(miner).is_some_and(|standing| standing.proof.has_failed())
    }

    /// Returns the verdict on a miner's proof.
    #[must_use]
    pub fn verdict(&self, spec: &ScoringSpec, miner: &Hotkey) -> Verdict {
        let proof = self.get(miner).map(|standing| standing.proof).unwrap_or_default();
        proof.verdict(self.field.is_measurable(&spec.proof))
    }

    /// Returns the score of each miner.
    #[must_use]
    pub fn scores(&self, spec: &ScoringSpec) -> BTreeMap<Hotkey, Score> {
        let measurable = self.field.is_measurable(&spec.proof);
        self.iter().map(|(&miner, standing)| (miner, standing.score(measurable))).collect()
    }

    /// Returns the standings after a window.
    ///
    /// The judged miners play one match, and are measured by the field. Failed miners are not part of it:
    /// they lose credit, and their contribution of the window is 0. Hotkeys that are not registered count as
    /// absent. Miners that were skipped keep their standing. Miners without a claim for `forget_after`
    /// windows are forgotten.
    ///
    /// # Errors
    /// A batch has a wrong size, or a miner with a standing has no outcome.
    pub fn after(&self, spec: &ScoringSpec, observed: &Observed) -> Result<Self, RateError> {
        if let Some(miner) = self.miners.keys().find(|miner| !observed.outcomes.contains_key(miner)) {
            return Err(RateError::Unaccounted(*miner));
        }
        let Sorted { judged, failed } = Sorted::of(spec, observed)?;
        let judgements = judged.iter().map(|(&miner, (_, judgement))| (miner, *judgement)).collect();
        let (reference, field) = self.field.reference(spec, &judgements, |miner| self.has_passed(miner));
        let mut miners = self.miners.clone();
        for (miner, rating) in ratings::play(&self.entrants(observed.seed, &judgements)) {
            let (evaluation, judgement) = &judged[&miner];
            let judged = Judged {
                window: observed.window,
                rating,
                evidence: reference
                    .measurable
                    .then(|| spec.proof.evidence(judgement.margin, reference.margin)),
                relative: relative(evaluation, judgement, &reference),
            };
            miners.insert(miner, self.standing(&miner).judged(spec, &judged));
        }
        for (miner, fault) in failed {
            // Absence is no reason to begin a record.
            if fault != Fault::Absent || self.miners.contains_key(&miner) {
                miners.insert(miner, self.standing(&miner).failed(spec, fault, observed.window));
            }
        }
        forget(&mut miners, spec, observed.window);
        Ok(Self { field, miners })
    }

    fn standing(&self, miner: &Hotkey) -> Standing {
        self.get(miner).copied().unwrap_or_default()
    }

    /// Returns the match of a window: the largest improvement takes place 1.
    fn entrants(&self, seed: BlockHash, judged: &BTreeMap<Hotkey, Judgement>) -> BTreeMap<Hotkey, Entrant> {
        let entrant = |(index, miner): (usize, Hotkey)| {
            (miner, Entrant { rating: self.standing(&miner).rating, place: index + 1 })
        };
        order(seed, judged).into_iter().enumerate().map(entrant).collect()
    }

    /// Returns the hash of the canonical bytes.
    #[must_use]
    pub fn hash(&self) -> StandingsHash {
        let mut writer = Writer::new();
        self.write(&mut writer);
        StandingsHash::of(&[&writer.into_bytes()])
    }

    /// Appends the canonical bytes: the field's windows, then all miners in the order of hotkeys.
    pub fn write(&self, to: &mut Writer) {
        self.field.write(to);
        to.u32(self.miners.len() as u32);
        for (miner, standing) in &self.miners {
            to.raw(miner.as_bytes());
            standing.write(to);
        }
    }

    /// Reads the canonical bytes.
    ///
    /// # Errors
    /// The input ends too early, a part is out of bounds, or hotkeys do not rise.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let field = Field::read(from)?;
        let (what, offset) = ("the number of standings", from.offset());
        let count = from.u32(what)?;
        if count as usize > MOST_STANDINGS {
            let expected = "there are at most 4096";
            return Err(WireError::Value { what, offset, found: count.into(), expected });
        }
        let mut miners = BTreeMap::new();
        for index in 0..count {
            let offset = from.offset();
            let miner = Hotkey(from.array("the hotkey of a standing")?);
            if miners.last_key_value().is_some_and(|(last, _)| *last >= miner) {
                let (what, expected) = ("the place of a hotkey", "hotkeys rise");
                return Err(WireError::Value { what, offset, found: index.into(), expected });
            }
            miners.insert(miner, Standing::read(from)?);
        }
        Ok(Self { field, miners })
    }
}

/// Returns the relative improvement of a judged miner.
fn relative(evaluation: &Evaluation, judgement: &Judgement, reference: &Reference) -> base::Millionths {
    let uniqueness = evaluation.overlap.uniqueness();
    contribution::relative(judgement.improvement, reference.improvement, evaluation.share, uniqueness)
}

/// Removes the miners without a claim for too long, and the oldest of too many.
fn forget(miners: &mut BTreeMap<Hotkey, Standing>, spec: &ScoringSpec, window: Window) {
    miners.retain(|_, standing| window.0.saturating_sub(standing.seen.0) < u64::from(spec.forget_after));
    let over = miners.len().saturating_sub(MOST_STANDINGS);
    if over > 0 {
        let mut oldest: Vec<_> = miners.iter().map(|(miner, standing)| (standing.seen, *miner)).collect();
        oldest.sort_unstable();
        let oldest: BTreeSet<_> = oldest.into_iter().take(over).map(|(_, miner)| miner).collect();
        miners.retain(|miner, _| !oldest.contains(miner));
    }
}

/// The miners of a window, sorted into judged and failed ones.
struct Sorted {
    judged: BTreeMap<Hotkey, (Evaluation, Judgement)>,
    failed: BTreeMap<Hotkey, Fault>,
}

impl Sorted {
    /// Sorts the miners. A fault that the measurements show counts as a failure too.
    fn of(spec: &ScoringSpec, observed: &Observed) -> Result<Self, RateError> {
        let (mut judged, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for (&miner, outcome) in &observed.outcomes {
            match outcome {
                Outcome::Evaluated(evaluation) => {
                    spec.check_sequences(miner, evaluation)?;
                    match evaluation.judge() {
                        Ok(judgement) => drop(judged.insert(miner, (*evaluation, judgement))),
                        Err(fault) => drop(failed.insert(miner, fault)),
                    }
                }
                Outcome::Failed(fault) => drop(failed.insert(miner, *fault)),
                Outcome::Gone => drop(failed.insert(miner, Fault::Absent)),
                Outcome::Skipped => {}
            }
        }
        Ok(Self { judged, failed })
    }
}

/// Returns the judged miners of a window by improvement, the largest first. A draw from the window's `seed`
/// orders equal improvements, since ties would raise ratings.
#[must_use]
pub fn order(seed: BlockHash, judged: &BTreeMap<Hotkey, Judgement>) -> Vec<Hotkey> {
    let lot = |miner: &Hotkey| drawn("muster v1 equal improvements", seed, *miner);
    let mut order: Vec<_> = judged.iter().map(|(miner, j)| (*miner, j.improvement, lot(miner))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
    order.into_iter().map(|(miner, ..)| miner).collect()
}

/// Returns the miners by score, the best first, and by hotkey among equals.
#[must_use]
pub fn ranking(scores: &BTreeMap<Hotkey, Score>) -> Vec<(Hotkey, Score)> {
    let mut ranking: Vec<_> = scores.iter().map(|(&miner, &score)| (miner, score)).collect();
    ranking.sort_by_key(|&(miner, score)| (Reverse(score), miner));
    ranking
}

#[cfg(test)]
mod tests;

//! [`Standings`], a validator's record of all miners, and its update by one window.

use super::{BaseLossError, Evaluation, Fault, Judgement, Penalty, ScoringSpec, drawn, proof::Proof};
use crate::ratings::{self, Entrant, Rating};
use base::{
    BlockHash, Millionths, NeuronId,
    digest::StandingsHash,
    wire::{Reader, WireError, Writer},
};
use std::{cmp::Reverse, collections::BTreeMap};

/// A validator's record of one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The rating of its skill.
    pub rating: Rating,
    /// The proof that it trains on its assigned data.
    pub proof: Proof,
    /// The factor, 0 to 1, that failures leave of its score. Each judged window restores a part of it.
    pub credit: Millionths,
    /// Number of failures in a row.
    pub failures: u16,
    /// Number of windows in which an update of this miner was judged.
    pub judged: u32,
}

/// The score by which a miner is paid: rating times proof times credit, in millionths of millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub u64);

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
    /// Its registration has ended.
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
    /// Hash of the finalized block that seeded the evaluations.
    pub seed: BlockHash,
    /// The loss on unassigned data before any update, in nats.
    pub unassigned_before: f64,
    /// The outcome for each claimant and each rated miner.
    pub outcomes: BTreeMap<NeuronId, Outcome>,
}

/// An error in the observations of a window.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RateError {
    /// An impossible measurement.
    #[error(transparent)]
    BaseLoss(#[from] BaseLossError),
    /// A rated miner without an outcome.
    #[error("{0} is rated, but the window has no outcome for it")]
    Unaccounted(NeuronId),
}

/// A validator's record of all miners that it has judged, or of which it has seen a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings(BTreeMap<NeuronId, Standing>);

impl Standing {
    /// Creates the standing of a new miner.
    #[must_use]
    pub fn new(spec: &ScoringSpec) -> Self {
        let rating = Rating::default();
        let credit = Millionths::ONE;
        Self { rating, proof: spec.proof.start(), credit, failures: 0, judged: 0 }
    }

    /// Returns the score: the rating, at least 0, times proof times credit. It is 0 for a miner that
    /// was never judged.
    #[must_use]
    pub fn score(&self, spec: &ScoringSpec) -> Score {
        if self.judged == 0 {
            return Score(0);
        }
        let rating = self.rating.value(spec.z).max(Millionths::ZERO);
        let factor = spec.proof.verdict(self.proof).factor().times(self.credit);
        Score(rating.0.unsigned_abs() * factor.0.unsigned_abs())
    }

    fn judged(self, spec: &ScoringSpec, rating: Rating, margin: f64) -> Self {
        let proof = spec.proof.observe(self.proof, margin);
        let credit = Millionths(self.credit.0 + spec.penalty.recovery.0).min(Millionths::ONE);
        Self { rating, proof, credit, failures: 0, judged: self.judged.saturating_add(1) }
    }

    fn failed(self, spec: &ScoringSpec, fault: Fault) -> Self {
        let failures = self.failures.saturating_add(1);
        let all = fault.penalty() == Penalty::All || failures >= spec.penalty.all_after;
        let credit = if all { Millionths::ZERO } else { self.credit.times(spec.penalty.factor) };
        Self { credit, failures, ..self }
    }

    /// Appends the canonical bytes.
    pub fn write(&self, to: &mut Writer) {
        self.rating.write(to);
        self.proof.write(to);
        to.u32(self.credit.0 as u32).u16(self.failures).u32(self.judged);
    }

    /// Reads a standing.
    ///
    /// # Errors
    /// The input ends too early, or a part is out of bounds.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            rating: Rating::read(from)?,
            proof: Proof::read(from)?,
            credit: read_credit(from)?,
            failures: from.u16("the failures in a row")?,
            judged: from.u32("the judged windows")?,
        })
    }
}

impl Standings {
    /// Returns the standing of a miner, or `None` if the miner was never seen.
    #[must_use]
    pub fn get(&self, miner: &NeuronId) -> Option<&Standing> {
        self.0.get(miner)
    }

    /// Returns all miners with their standings, in the order of hotkeys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NeuronId, &Standing)> {
        self.0.iter()
    }

    /// Returns the hash of all standings.
    #[must_use]
    pub fn hash(&self) -> StandingsHash {
        let mut writer = Writer::new();
        for (miner, standing) in &self.0 {
            miner.write(&mut writer);
            standing.write(&mut writer);
        }
        StandingsHash::of(&[&writer.into_bytes()])
    }

    /// Returns the score of each miner.
    #[must_use]
    pub fn scores(&self, spec: &ScoringSpec) -> BTreeMap<NeuronId, Score> {
        self.iter().map(|(&miner, standing)| (miner, standing.score(spec))).collect()
    }

    /// Returns the standings after a window.
    ///
    /// The judged miners play one match. Failed miners are not part of it and lose credit. Miners that
    /// were cut keep their standing. Miners that are gone are removed.
    ///
    /// # Errors
    /// A measurement is impossible, or a rated miner has no outcome.
    pub fn after(&self, spec: &ScoringSpec, window: &Observed) -> Result<Self, RateError> {
        if let Some(miner) = self.0.keys().find(|miner| !window.outcomes.contains_key(miner)) {
            return Err(RateError::Unaccounted(*miner));
        }
        let (judged, failed) = sort_out(window)?;
        let field = self.field(spec, window.seed, &judged);
        let mut next = self.0.clone();
        for (miner, rating) in ratings::play(&field) {
            let margin = judged[&miner].margin;
            next.insert(miner, self.standing(spec, miner).judged(spec, rating, margin));
        }
        for (miner, fault) in failed {
            next.insert(miner, self.standing(spec, miner).failed(spec, fault));
        }
        next.retain(|miner, _| window.outcomes.get(miner) != Some(&Outcome::Gone));
        Ok(Self(next))
    }

    fn standing(&self, spec: &ScoringSpec, miner: NeuronId) -> Standing {
        self.get(&miner).copied().unwrap_or_else(|| Standing::new(spec))
    }

    /// Returns the match of a window: the largest improvement takes place 1. A draw orders equal
    /// improvements, since ties would raise ratings.
    fn field(
        &self,
        spec: &ScoringSpec,
        seed: BlockHash,
        judged: &BTreeMap<NeuronId, Judgement>,
    ) -> BTreeMap<NeuronId, Entrant> {
        let lot = |miner| drawn("muster v1 equal improvements", seed, miner);
        let mut order: Vec<_> = judged.iter().map(|(&miner, j)| (miner, j.improvement, lot(miner))).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.2.cmp(&b.2)));
        let entrant = |(index, (miner, ..)): (usize, (NeuronId, f64, [u8; 32]))| {
            (miner, Entrant { rating: self.standing(spec, miner).rating, place: index + 1 })
        };
        order.into_iter().enumerate().map(entrant).collect()
    }
}

impl FromIterator<(NeuronId, Standing)> for Standings {
    fn from_iter<I: IntoIterator<Item = (NeuronId, Standing)>>(standings: I) -> Self {
        Self(standings.into_iter().collect())
    }
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

/// Sorts the miners into judged and failed ones. A fault that the measurements show counts as a failure
/// too.
#[expect(clippy::type_complexity, reason = "two maps, taken apart at once")]
fn sort_out(
    window: &Observed,
) -> Result<(BTreeMap<NeuronId, Judgement>, BTreeMap<NeuronId, Fault>), RateError> {
    let (mut judged, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for (&miner, outcome) in &window.outcomes {
        let result = match outcome {
            Outcome::Evaluated(evaluation) => evaluation.judge(miner, window.unassigned_before)?,
            Outcome::Failed(fault) => Err(*fault),
            Outcome::Skipped | Outcome::Gone => continue,
        };
        match result {
            Ok(judgement) => drop(judged.insert(miner, judgement)),
            Err(fault) => drop(failed.insert(miner, fault)),
        }
    }
    Ok((judged, failed))
}

/// Returns the miners by score, the best first. Of equal scores the older registration comes first.
#[must_use]
pub fn ranking(scores: &BTreeMap<NeuronId, Score>) -> Vec<(NeuronId, Score)> {
    let mut ranking: Vec<_> = scores.iter().map(|(&miner, &score)| (miner, score)).collect();
    ranking.sort_by_key(|&(miner, score)| (Reverse(score), miner.registered, miner.hotkey));
    ranking
}

#[cfg(test)]
mod tests;

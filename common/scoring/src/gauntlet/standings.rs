//! What a validator knows of all miners, and what one window makes of it.

use super::{BaseLossError, Evaluation, Fault, Judgement, Penalty, ScoringSpec, drawn, proof::Proof};
use crate::ratings::{self, Entrant, Rating};
use base::{
    BlockHash, Millionths, NeuronId,
    digest::StandingsHash,
    wire::{Reader, WireError, Writer},
};
use std::{cmp::Reverse, collections::BTreeMap};

/// What a validator knows of one miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Its skill.
    pub rating: Rating,
    /// Whether it trains on its data.
    pub proof: Proof,
    /// Its credit, 0 to 1: what failures leave of its score. It comes back with the windows in which it is judged.
    pub credit: Millionths,
    /// Failures in a row.
    pub failures: u16,
    /// Windows in which an update of it was judged.
    pub judged: u32,
}

/// What a miner is paid by: rating times proof times credit, in millionths of millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub u64);

/// What became of a miner in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// Its update was tried out.
    Evaluated(Evaluation),
    /// It failed by its own fault.
    Failed(Fault),
    /// Time was out, or the validator could not do it: nothing is known of it.
    Cut,
    /// Its registration has ended.
    Gone,
}

/// A window as one validator saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The finalized block that seeded the evaluations.
    pub seed: BlockHash,
    /// The loss on unassigned data before any update, in nats.
    pub unassigned_before: f64,
    /// What became of each claimant and of each rated miner.
    pub outcomes: BTreeMap<NeuronId, Outcome>,
}

/// Why a window cannot be rated.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RateError {
    /// A measurement that a validator cannot have made.
    #[error(transparent)]
    BaseLoss(#[from] BaseLossError),
    /// A rated miner is left out.
    #[error("{0} is rated, but nothing is said of what became of it in the window")]
    Unaccounted(NeuronId),
}

/// What a validator knows of all miners that it ever judged, or whose failure it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings(BTreeMap<NeuronId, Standing>);

impl Standing {
    /// A miner of whom nothing is known.
    #[must_use]
    pub fn new(spec: &ScoringSpec) -> Self {
        let (rating, credit) = (Rating::default(), Millionths::ONE);
        Self { rating, proof: spec.proof.start(), credit, failures: 0, judged: 0 }
    }

    /// Rating, where it is positive, times proof times credit. 0 for who was never judged.
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
    /// The input ends within it, or a part is out of bounds.
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
    /// What is known of a miner; `None` if it was never seen.
    #[must_use]
    pub fn get(&self, miner: &NeuronId) -> Option<&Standing> {
        self.0.get(miner)
    }

    /// All miners, in the order of their hotkeys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&NeuronId, &Standing)> {
        self.0.iter()
    }

    /// The hash of all of it.
    #[must_use]
    pub fn hash(&self) -> StandingsHash {
        let mut writer = Writer::new();
        for (miner, standing) in &self.0 {
            miner.write(&mut writer);
            standing.write(&mut writer);
        }
        StandingsHash::of(&[&writer.into_bytes()])
    }

    /// The score of each miner.
    #[must_use]
    pub fn scores(&self, spec: &ScoringSpec) -> BTreeMap<NeuronId, Score> {
        self.iter().map(|(&miner, standing)| (miner, standing.score(spec))).collect()
    }

    /// What is known after a window. The judged play one match; failures cost credit, outside of it; who was cut stays as it
    /// was, who is gone is forgotten.
    ///
    /// # Errors
    /// A measurement is impossible, or a rated miner is left out.
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

    /// The match of a window: the largest improvement takes place 1. Equal ones are drawn by lot, since ties raise ratings.
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

/// A credit, from 0 to 1.
fn read_credit(from: &mut Reader<'_>) -> Result<Millionths, WireError> {
    let (what, offset) = ("the credit of a miner", from.offset());
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

/// Who can be ranked, and who failed: what was found while measuring fails as well.
#[expect(clippy::type_complexity, reason = "two maps, taken apart at once")]
fn sort_out(
    window: &Observed,
) -> Result<(BTreeMap<NeuronId, Judgement>, BTreeMap<NeuronId, Fault>), RateError> {
    let (mut judged, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for (&miner, outcome) in &window.outcomes {
        let result = match outcome {
            Outcome::Evaluated(evaluation) => evaluation.judge(miner, window.unassigned_before)?,
            Outcome::Failed(fault) => Err(*fault),
            Outcome::Cut | Outcome::Gone => continue,
        };
        match result {
            Ok(judgement) => drop(judged.insert(miner, judgement)),
            Err(fault) => drop(failed.insert(miner, fault)),
        }
    }
    Ok((judged, failed))
}

/// The miners by score, the best first; of equal scores the older registration comes first.
#[must_use]
pub fn ranking(scores: &BTreeMap<NeuronId, Score>) -> Vec<(NeuronId, Score)> {
    let mut ranking: Vec<_> = scores.iter().map(|(&miner, &score)| (miner, score)).collect();
    ranking.sort_by_key(|&(miner, score)| (Reverse(score), miner.registered, miner.hotkey));
    ranking
}

#[cfg(test)]
mod tests;

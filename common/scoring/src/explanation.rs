//! The explanation of a miner's pay: all that a validator's log of one window says about the miner, and the
//! changes that would raise its pay.
//!
//! [`Explained::new`] takes a log and the results of its replay, [`Explained::miner`] explains one miner. The
//! computation is pure, so every reader of the same logs gets the same explanation. `miner why` and
//! `auditor window` show it. Its serialized field names are stable: `miner/WHY.md` lists them.

mod advice;
mod parts;

pub use parts::{Measured, OutcomeKind, Overlapping, ProofPart, StandingPart, VerdictName};

use crate::{
    gauntlet::{self, Evaluation, Fault, Judgement, Outcome, ScoringSpec, order},
    score_log::{MinerLine, Results, ScoreLog},
    weights::Weights,
};
use base::{Hotkey, Uid};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Number of newest logs over which the margin of a miner is averaged. The margin of one window has a
/// standard error of 1.
pub const RECENT: usize = 4;

/// A log with the results of its replay, prepared to explain miners.
#[derive(Clone, Debug)]
pub struct Explained<'a> {
    spec: &'a ScoringSpec,
    log: &'a ScoreLog,
    results: &'a Results,
    /// The logs of which margins are averaged, the newest first.
    recent: Vec<&'a ScoreLog>,
    /// The judged miners, and the place of each in the order of improvements, from 1.
    judged: BTreeMap<Hotkey, (usize, Judgement)>,
}

/// The explanation of a miner's pay by one validator in one window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The miner.
    pub hotkey: Hotkey,
    /// Its uid, or its last uid if its hotkey is not registered.
    pub uid: Uid,
    /// Whether its update was judged, and if not, the kind of reason.
    pub outcome: OutcomeKind,
    /// The fault of its submission, if it failed.
    #[serde(serialize_with = "fault_text")]
    pub fault: Option<Fault>,
    /// The measurements of its update, if it was judged.
    pub measured: Option<Measured>,
    /// The updates that its update overlaps with, the largest cosine first.
    pub overlaps: Vec<Overlapping>,
    /// Its standing after the window, if it has one.
    pub standing: Option<StandingPart>,
    /// Its score: contribution squared, times factor of the proof, times credit.
    pub score: f64,
    /// Its weight in the log, 0 to 65535. `None` if the log sets no weights or the hotkey is not registered.
    pub weight: Option<u16>,
    /// The share of its weight in all weights of the log.
    pub weight_share: Option<f64>,
    /// Its incentive on chain now, in 65535ths. `None` if its hotkey is not registered now.
    pub incentive: Option<u16>,
    /// The changes that would raise its pay, in sentences.
    pub advice: Vec<String>,
}

impl<'a> Explained<'a> {
    /// Prepares a log whose replay gave these results. `earlier` are earlier logs of the same validator, the
    /// newest first; the first three count.
    #[must_use]
    pub fn new(
        spec: &'a ScoringSpec,
        log: &'a ScoreLog,
        results: &'a Results,
        earlier: impl IntoIterator<Item = &'a ScoreLog>,
    ) -> Self {
        let judgement = |(miner, line): (&Hotkey, &MinerLine)| Some((*miner, judgement(line)?));
        let judgements: BTreeMap<_, _> = log.miners.iter().filter_map(judgement).collect();
        let places = order(log.header.seed, &judgements).into_iter().zip(1..);
        let judged = places.map(|(miner, place)| (miner, (place, judgements[&miner]))).collect();
        let recent = std::iter::once(log).chain(earlier).take(RECENT).collect();
        Self { spec, log, results, recent, judged }
    }

    /// Returns the miners of the log, in the order of hotkeys.
    pub fn miners(&self) -> impl Iterator<Item = Hotkey> {
        self.log.miners.keys().copied()
    }

    /// Explains the pay of a miner. `incentive` is its incentive on chain now, in 65535ths. Returns `None` if
    /// the log does not name the miner: it made no claim and has no standing.
    #[must_use]
    pub fn miner(&self, miner: &Hotkey, incentive: Option<u16>) -> Option<Explanation> {
        let line = self.log.miners.get(miner)?;
        let (outcome, fault) = outcome(line);
        let weight = self.weight(line);
        let mut explanation = Explanation {
            hotkey: *miner,
            uid: line.uid,
            outcome,
            fault,
            measured: self.measured(miner, line),
            overlaps: self.overlaps(miner, line),
            standing: self.standing(miner),
            score: self.results.scores.get(miner).map_or(0.0, |score| score.get()),
            weight: weight.map(|(weight, _)| weight),
            weight_share: weight.map(|(_, share)| share),
            incentive,
            advice: Vec::new(),
        };
        explanation.advice = advice::of(self.spec, &explanation);
        Some(explanation)
    }

    fn measured(&self, miner: &Hotkey, line: &MinerLine) -> Option<Measured> {
        let (place, judgement) = self.judged.get(miner)?;
        let evaluation = evaluation(line)?;
        let advantage = evaluation.advantage();
        let standing = self.results.standings.get(miner)?;
        Some(Measured {
            place: *place,
            places: self.judged.len(),
            improvement: judgement.improvement,
            relative: standing.contribution.last(),
            difference: advantage.difference,
            error: advantage.error,
            margin: judgement.margin,
            share: evaluation.share,
            uniqueness: evaluation.overlap.uniqueness(),
        })
    }

    /// Returns the largest overlap that the miner's line names, and those of other miners of the window whose
    /// lines name this miner. A log holds only the largest overlap of each update.
    fn overlaps(&self, miner: &Hotkey, line: &MinerLine) -> Vec<Overlapping> {
        let mut overlaps = BTreeMap::new();
        for (other, line) in &self.log.miners {
            if let Some(overlap) = evaluation(line).and_then(|it| Overlapping::named_by(other, &it, miner)) {
                overlaps.insert(overlap.hotkey, overlap);
            }
        }
        let own = evaluation(line).and_then(|it| Overlapping::nearest(&it));
        overlaps.extend(own.map(|overlap| (overlap.hotkey, overlap)));
        let mut overlaps: Vec<_> = overlaps.into_values().collect();
        overlaps.sort_by_key(|overlap| std::cmp::Reverse(overlap.cosine));
        overlaps
    }

    fn standing(&self, miner: &Hotkey) -> Option<StandingPart> {
        let standings = &self.results.standings;
        let gauntlet::Standing { rating, proof, contribution, credit, failures, judged, .. } =
            *standings.get(miner)?;
        Some(StandingPart {
            rating: rating.ordinal(),
            proof: ProofPart::of(self.spec, standings, miner, proof, self.margins(miner)),
            credit,
            failures,
            judged,
            contribution: contribution.mean(),
        })
    }

    /// Returns the margins of a miner in the newest logs in which it was judged.
    fn margins(&self, miner: &Hotkey) -> Vec<f64> {
        let margin = |log: &&ScoreLog| Some(judgement(log.miners.get(miner)?)?.margin);
        self.recent.iter().filter_map(margin).collect()
    }

    /// Returns the weight of a line's miner, and its share in all weights.
    fn weight(&self, line: &MinerLine) -> Option<(u16, f64)> {
        let weights: &Weights = self.results.weights.as_ref().ok()?;
        if line.outcome == Outcome::Gone {
            return None;
        }
        let sum: u64 = weights.values().map(|&weight| u64::from(weight)).sum();
        let weight = weights.get(&line.uid).copied().unwrap_or_default();
        Some((weight, f64::from(weight) / sum.max(1) as f64))
    }
}

fn evaluation(line: &MinerLine) -> Option<Evaluation> {
    match line.outcome {
        Outcome::Evaluated(evaluation) => Some(evaluation),
        _ => None,
    }
}

fn judgement(line: &MinerLine) -> Option<Judgement> {
    evaluation(line)?.judge().ok()
}

/// Returns the kind of a line's outcome, and the fault if there is one.
fn outcome(line: &MinerLine) -> (OutcomeKind, Option<Fault>) {
    match &line.outcome {
        Outcome::Evaluated(evaluation) => match evaluation.judge() {
            Ok(_) => (OutcomeKind::Judged, None),
            Err(fault) => (OutcomeKind::Failed, Some(fault)),
        },
        Outcome::Failed(fault) => (OutcomeKind::Failed, Some(*fault)),
        Outcome::Skipped => (OutcomeKind::Cut, None),
        Outcome::Gone => (OutcomeKind::Gone, None),
    }
}

fn fault_text<S: Serializer>(fault: &Option<Fault>, to: S) -> Result<S::Ok, S::Error> {
    fault.map(|fault| fault.to_string()).serialize(to)
}

#[cfg(test)]
mod tests;

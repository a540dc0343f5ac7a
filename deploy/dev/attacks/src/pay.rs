//! The pay of miners: the shipped rules of scoring, applied to the trials of a window.

use crate::{
    lab::Lab,
    validator::{Trial, Trials},
};
use anyhow::Result;
use base::{BlockHash, Hotkey, Millionths, NeuronId, Uid, Window};
use codec::sparse::SparseTensor;
use scoring::{
    gauntlet::{Evaluation, Fault, Improvements, Observed, Outcome, ScoringSpec, Standings, proof::Verdict},
    uniqueness::{ChunkSample, Fingerprint, Overlap, Updates, overlaps},
    weights::{Subnet, Weights, WeightsError, weights},
};
use std::collections::{BTreeMap, BTreeSet};

/// The sent values of all valid updates of a window, by hotkey.
pub(crate) type Sent = BTreeMap<Hotkey, Vec<SparseTensor>>;

/// A validator's record of all miners, and their shares of the pay.
pub(crate) struct Ledger {
    /// The rules of scoring. Their numbers of sequences are those of the trials.
    scoring: ScoringSpec,
    standings: Standings,
    /// The updates of the last two windows, the newer ones first.
    before: [Sent; 2],
    /// The hotkeys whose updates the last outer step applied.
    applied: BTreeSet<Hotkey>,
    /// The shares of the last weights, by hotkey.
    pub(crate) shares: BTreeMap<Hotkey, f64>,
    /// The last weights. Uids are the places of hotkeys in their order.
    pub(crate) weights: Weights,
}

impl Ledger {
    /// Creates an empty record by these rules.
    pub(crate) fn new(scoring: ScoringSpec) -> Self {
        Self {
            scoring,
            standings: Standings::default(),
            before: [Sent::new(), Sent::new()],
            applied: BTreeSet::new(),
            shares: BTreeMap::new(),
            weights: Weights::new(),
        }
    }

    /// Returns the rules of scoring.
    pub(crate) fn scoring(&self) -> &ScoringSpec {
        &self.scoring
    }

    /// Judges a window. `registered` are all hotkeys of the subnet.
    pub(crate) fn judge(
        &mut self,
        lab: &Lab,
        (window, seed): (Window, BlockHash),
        trials: &Trials,
        sent: &Sent,
        registered: &BTreeSet<NeuronId>,
    ) -> Result<()> {
        let overlaps = self.overlaps(lab, seed, sent);
        let mut outcomes = BTreeMap::new();
        for (miner, trial) in &trials.of {
            let overlap = overlaps.get(&miner.hotkey).copied().unwrap_or_default();
            outcomes.insert(miner.hotkey, outcome(lab, &self.scoring, trials, (trial.as_ref(), overlap))?);
        }
        let hotkeys: BTreeSet<Hotkey> = registered.iter().map(|miner| miner.hotkey).collect();
        for (miner, _) in self.standings.iter() {
            let absent = if hotkeys.contains(miner) { Outcome::Failed(Fault::Absent) } else { Outcome::Gone };
            outcomes.entry(*miner).or_insert(absent);
        }
        self.standings = self.standings.after(&self.scoring, &Observed { window, seed, outcomes })?;
        self.pay(&hotkeys)
    }

    /// Notes the updates of a window, and those of them that were applied. The next windows compare with
    /// them.
    pub(crate) fn remember(&mut self, sent: Sent, applied: BTreeSet<Hotkey>) {
        self.before.rotate_right(1);
        self.before[0] = sent;
        self.applied = applied;
    }

    /// Compares the updates of the window with each other and with earlier ones.
    fn overlaps(&self, lab: &Lab, seed: BlockHash, sent: &Sent) -> BTreeMap<Hotkey, Overlap> {
        let chunks: Vec<usize> =
            lab.layout.tensors().iter().map(|tensor| tensor.geometry().chunks()).collect();
        let sample = ChunkSample::draw(seed, &chunks);
        let fingerprints = |sent: &Sent| -> BTreeMap<Hotkey, Fingerprint> {
            sent.iter().map(|(miner, sent)| (*miner, Fingerprint::of(sent, &sample))).collect()
        };
        let [one_before, two_before] = &self.before.each_ref().map(fingerprints);
        let applied = one_before.iter().filter(|(miner, _)| self.applied.contains(miner));
        let step = Fingerprint::sum(applied.map(|(_, fingerprint)| fingerprint));
        let outer_step = (!self.applied.is_empty()).then_some(&step);
        let updates = Updates { current: &fingerprints(sent), one_before, two_before, outer_step };
        overlaps(&updates, &self.standings, 1).0
    }

    /// Computes the shares of the weights. Without a score the last ones stay.
    fn pay(&mut self, hotkeys: &BTreeSet<Hotkey>) -> Result<()> {
        let uids: BTreeMap<Hotkey, Uid> = hotkeys.iter().copied().zip((0..).map(Uid)).collect();
        let subnet =
            Subnet { owner: None, uids: u16::try_from(uids.len())?, min_allowed: 0, max_limit: u16::MAX };
        let scores = self.standings.scores(&self.scoring);
        let weights = match weights(&self.scoring.weights, &scores, &uids, &subnet) {
            Err(WeightsError::NoScore) => return Ok(()),
            weights => weights?,
        };
        self.weights = weights;
        let sum: u64 = self.weights.values().map(|&weight| u64::from(weight)).sum();
        let share = |uid| self.weights.get(uid).map_or(0.0, |&weight| f64::from(weight) / sum.max(1) as f64);
        self.shares = uids.iter().map(|(miner, uid)| (*miner, share(uid))).collect();
        Ok(())
    }

    /// Checks whether the record of a miner pays it nothing by its proof or its credit.
    pub(crate) fn is_found(&self, miner: &Hotkey) -> bool {
        let proof = self.verdict(miner).factor();
        self.standings.get(miner).is_some_and(|standing| proof.times(standing.credit) == Millionths::ZERO)
    }

    /// Returns the verdict of the proof on a miner.
    pub(crate) fn verdict(&self, miner: &Hotkey) -> Verdict {
        self.standings.verdict(&self.scoring, miner)
    }

    /// Checks whether a miner has passed the proof.
    pub(crate) fn has_passed(&self, miner: &Hotkey) -> bool {
        self.standings.has_passed(miner)
    }
}

/// Returns the outcome of a miner. Without a trial it was skipped: the validator cannot draw its data.
fn outcome(
    lab: &Lab,
    scoring: &ScoringSpec,
    trials: &Trials,
    (trial, overlap): (Option<&Trial>, Overlap),
) -> Result<Outcome> {
    let Some(trial) = trial else { return Ok(Outcome::Skipped) };
    if trial.is_zero {
        return Ok(Outcome::Failed(Fault::ChangesNothing));
    }
    let common = usize::from(scoring.common_sequences);
    let unassigned = |range: std::ops::Range<usize>| {
        Improvements::between(&trials.unassigned_before[range.clone()], &trial.unassigned_after[range])
    };
    let share = trial.samples as f64 / lab.run.train.samples() as f64;
    Ok(Outcome::Evaluated(Evaluation {
        assigned: Improvements::between(&trial.assigned_before, &trial.assigned_after)?,
        common: unassigned(0..common)?,
        own: unassigned(common..trials.unassigned_before.len())?,
        share: Millionths::rounded(share.min(1.0)).unwrap_or_default(),
        overlap,
    }))
}

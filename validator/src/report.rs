//! Reports a score log to events and metrics.

use crate::metrics::ValidatorMetrics;
use base::NeuronId;
use node::MinerScore;
use scoring::{
    gauntlet::{Fault, Outcome, ScoringSpec},
    score_log::ScoreLog,
};

/// Returns a miner's fault in the window, also a fault that only its losses show.
fn fault(log: &ScoreLog, miner: &NeuronId) -> Option<Fault> {
    match log.miners.get(miner)?.outcome {
        Outcome::Failed(fault) => Some(fault),
        Outcome::Evaluated(evaluation) => {
            evaluation.judge(*miner, log.header.unassigned_before).ok().and_then(Result::err)
        }
        Outcome::Skipped | Outcome::Gone => None,
    }
}

/// Returns the scores of all miners after a window.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a score is for people's eyes here")]
pub(crate) fn miners(log: &ScoreLog, spec: &ScoringSpec) -> Vec<MinerScore> {
    let line = |(miner, standing): (&NeuronId, &scoring::gauntlet::Standing)| MinerScore {
        hotkey: miner.hotkey,
        uid: log.miners.get(miner).map(|line| line.uid).unwrap_or_default(),
        mu: standing.rating.mu().get(),
        sigma: standing.rating.sigma().get(),
        rating: standing.rating.value(spec.z).get(),
        proof: spec.proof.verdict(standing.proof).factor().get(),
        credit: standing.credit.get(),
        score: log.stated.scores.get(miner).map_or(0.0, |score| score.0 as f64 / 1e12),
        fault: fault(log, miner).map(|fault| fault.to_string()),
    };
    log.stated.standings.iter().map(line).collect()
}

/// Counts the results of a window's miners.
pub(crate) fn count(metrics: &ValidatorMetrics, log: &ScoreLog) {
    metrics.logs.increment();
    metrics.cut.add(log.cut().len() as u64);
    for fault in log.miners.keys().filter_map(|miner| fault(log, miner)) {
        metrics.faults.with(format!("{fault:?}")).increment();
    }
}

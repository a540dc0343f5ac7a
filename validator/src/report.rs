//! Reports a score log to events and metrics.

use crate::metrics::ValidatorMetrics;
use base::Hotkey;
use node::MinerScore;
use scoring::{
    gauntlet::{Fault, Outcome, ScoringSpec, Standing},
    score_log::ScoreLog,
};

/// Returns a miner's fault in the window, also a fault that only its losses show.
fn fault(log: &ScoreLog, miner: &Hotkey) -> Option<Fault> {
    match log.miners.get(miner)?.outcome {
        Outcome::Failed(fault) => Some(fault),
        Outcome::Evaluated(evaluation) => evaluation.judge().err(),
        Outcome::Skipped | Outcome::Gone => None,
    }
}

/// Returns the scores of all miners after a window.
#[must_use]
pub(crate) fn miners(log: &ScoreLog, spec: &ScoringSpec) -> Vec<MinerScore> {
    let standings = &log.stated.standings;
    let line = |(miner, standing): (&Hotkey, &Standing)| MinerScore {
        hotkey: *miner,
        uid: log.miners.get(miner).map(|line| line.uid).unwrap_or_default(),
        mu: standing.rating.mu().get(),
        sigma: standing.rating.sigma().get(),
        contribution: standing.contribution.mean().get(),
        proof: standings.verdict(spec, miner).factor().get(),
        credit: standing.credit.get(),
        score: log.stated.scores.get(miner).map_or(0.0, |score| score.get()),
        fault: fault(log, miner).map(|fault| fault.to_string()),
    };
    standings.iter().map(line).collect()
}

/// Counts the results of a window's miners.
pub(crate) fn count(metrics: &ValidatorMetrics, log: &ScoreLog) {
    metrics.logs.increment();
    metrics.cut.add(log.cut().len() as u64);
    for fault in log.miners.keys().filter_map(|miner| fault(log, miner)) {
        metrics.faults.with(format!("{fault:?}")).increment();
    }
}

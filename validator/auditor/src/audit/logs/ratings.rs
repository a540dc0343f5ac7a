//! Replays score logs: recomputes standings, scores and weights from the measurements, log by log.

use super::ValidatorLogs;
use crate::{audit::Run, report::Verdict};
use base::Window;
use scoring::{
    gauntlet::{FieldWindow, Standing},
    pay::Score,
    score_log::{Difference, Replay, ReplayError, Results},
};
use std::collections::BTreeMap;

/// The replay of each log: its results if they equal the stated ones, else the verdict.
pub(in crate::audit) type Replays = BTreeMap<Window, Result<Results, Verdict>>;

/// Replays all logs of a validator.
pub(in crate::audit) fn replay(run: &Run, logs: &ValidatorLogs) -> Replays {
    let begin = || Replay::new(run.spec.scoring);
    let mut replay = begin();
    let mut replays = Replays::new();
    for log in logs.logs() {
        let mut result = replay.next(log);
        if let Err(ReplayError::Gap { .. }) = result {
            // A log before this one is missing or invalid: `Item::Log` reports it. This log may have a
            // snapshot of its own.
            replay = begin();
            result = replay.next(log);
        }
        let result = result.map_err(|error| match error {
            ReplayError::NoStandings(_) => Verdict::unknown(error),
            error => {
                // The replay begins again at the validator's next snapshot.
                replay = begin();
                difference(error)
            }
        });
        replays.insert(log.header.window, result);
    }
    replays
}

/// Returns the verdict on a replayed log.
pub(super) fn verdict(replayed: &Result<Results, Verdict>) -> Verdict {
    replayed.as_ref().err().cloned().unwrap_or(Verdict::Agree)
}

/// Returns the verdict on a log that cannot be replayed, or that replays to other values.
fn difference(error: ReplayError) -> Verdict {
    match error {
        ReplayError::Standings { stated, replayed, .. } => {
            Verdict::differ("the standings before the window", stated, replayed)
        }
        ReplayError::Differs { difference, .. } => item(&difference),
        error => Verdict::differ("the score log does not replay", "a valid score log", error),
    }
}

/// Returns the verdict on the first value that replays differently.
fn item(difference: &Difference) -> Verdict {
    fn text<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
        value.map_or("none".to_owned(), text)
    }
    match difference {
        Difference::Field { index, stated, replayed } => {
            let what = format!("the field's medians {index}");
            Verdict::differ(what, text(*stated, field), text(*replayed, field))
        }
        Difference::Standing { miner, stated, replayed } => {
            let what = format!("the standing of {}", miner);
            Verdict::differ(what, text(*stated, standing), text(*replayed, standing))
        }
        Difference::Score { miner, stated, replayed } => {
            let what = format!("the score of {}", miner);
            let score = |score: Score| score.0.to_string();
            Verdict::differ(what, text(*stated, score), text(*replayed, score))
        }
        Difference::Weight { uid, stated, replayed } => {
            let what = format!("the weight of uid {uid}");
            let weight = |weight: u16| weight.to_string();
            Verdict::differ(what, text(*stated, weight), text(*replayed, weight))
        }
    }
}

fn field(window: FieldWindow) -> String {
    format!("improvement {}, margin {}", window.improvement(), window.margin())
}

fn standing(standing: Standing) -> String {
    let Standing { rating, proof, contribution, credit, failures, judged, seen } = standing;
    let (mu, sigma) = (rating.mu(), rating.sigma());
    let (mean, last) = (contribution.mean(), contribution.last());
    format!(
        "mu {mu}, sigma {sigma}, {proof:?}, contribution {mean} (last {last}), credit {credit}, {failures} failures in \
         a row, judged {judged} times, last claim in window {seen}"
    )
}

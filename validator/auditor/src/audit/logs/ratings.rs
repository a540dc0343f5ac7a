//! Whether standings, scores and weights come out of the measurements, log by log.

use super::ValidatorLogs;
use crate::{audit::Run, report::Verdict};
use base::Window;
use scoring::{
    gauntlet::{Score, Standing},
    score_log::{Difference, Replay, ReplayError},
};
use std::collections::BTreeMap;

/// What comes out of each log.
pub(super) fn check(run: &Run, logs: &ValidatorLogs) -> BTreeMap<Window, Verdict> {
    let begin = || Replay::new(run.spec.scoring);
    let mut replay = begin();
    let mut verdicts = BTreeMap::new();
    for log in logs.logs() {
        let mut result = replay.next(log);
        if let Err(ReplayError::Gap { .. }) = result {
            // A log between them is not to be had, which is found elsewhere: this one may stand on its own feet.
            replay = begin();
            result = replay.next(log);
        }
        let verdict = match result {
            Ok(_) => Verdict::Agree,
            Err(error @ ReplayError::NoStandings(_)) => Verdict::unknown(error),
            Err(error) => {
                // What follows is judged by what the validator says from its next snapshot on.
                replay = begin();
                difference(error)
            }
        };
        verdicts.insert(log.header.window, verdict);
    }
    verdicts
}

/// The first thing that comes out differently.
fn difference(error: ReplayError) -> Verdict {
    match error {
        ReplayError::Standings { stated, replayed, .. } => {
            Verdict::differ("the standings before the window", stated, replayed)
        }
        ReplayError::Differs { difference, .. } => item(&difference),
        error => Verdict::differ("the score log does not replay", "a log that does", error),
    }
}

/// The item that is stated otherwise than it comes out.
fn item(difference: &Difference) -> Verdict {
    fn text<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
        value.map_or("nothing".to_owned(), text)
    }
    match difference {
        Difference::Standing { miner, stated, replayed } => {
            let what = format!("what is known of {}", miner.hotkey);
            Verdict::differ(what, text(*stated, standing), text(*replayed, standing))
        }
        Difference::Score { miner, stated, replayed } => {
            let (what, score) =
                (format!("the score of {}", miner.hotkey), |score: Score| score.0.to_string());
            Verdict::differ(what, text(*stated, score), text(*replayed, score))
        }
        Difference::Weight { uid, stated, replayed } => {
            let (what, weight) = (format!("the weight of uid {uid}"), |weight: u16| weight.to_string());
            Verdict::differ(what, text(*stated, weight), text(*replayed, weight))
        }
    }
}

fn standing(standing: Standing) -> String {
    let Standing { rating, proof, credit, failures, judged } = standing;
    let (mu, sigma) = (rating.mu(), rating.sigma());
    format!(
        "mu {mu}, sigma {sigma}, {proof:?}, credit {credit}, {failures} failures in a row, judged {judged} times"
    )
}

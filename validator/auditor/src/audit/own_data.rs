//! Finds score logs with copied measurements (A8).
//!
//! The rule: in two logs of one window, an update has the same measurements on the validators' own data, bit
//! for bit. Each hotkey draws its own data, so at least one of the two validators has not measured. A
//! validator names the head of its log in its vote on the next window, before any log is published. If only
//! one of the two heads was named by then, the other log is the copy. Otherwise both are marked, and
//! `validator replay` tells which measurements are true.

use super::{score_logs::ScoreLogs, seen::Chain};
use crate::report::{Finding, Item, Subject, Verdict};
use base::Window;
use scoring::score_log::{OwnMeasurements, ScoreLog, own_measurements};

/// Compares the logs of a window with one another. `next` is the chain data of the window after it, if it is
/// known. Returns no finding on a log if no other log measures the same updates.
pub(super) fn check(
    score_logs: &ScoreLogs,
    window: Window,
    chain: &Chain,
    next: Option<&Chain>,
) -> Vec<Finding> {
    let logs: Vec<&ScoreLog> = score_logs.values().filter_map(|logs| logs.log(window)).collect();
    let finding = |log: &&ScoreLog| {
        let verdict = verdict(log, &logs, next)?;
        let validator = log.header.validator;
        let subject = Subject::Validator(validator, chain.uid(&validator));
        Some(Finding { subject, item: Item::OwnData, verdict })
    };
    logs.iter().filter_map(finding).collect()
}

/// Compares a log with those of other validators.
fn verdict(log: &ScoreLog, logs: &[&ScoreLog], next: Option<&Chain>) -> Option<Verdict> {
    let is_other = |other: &&&ScoreLog| other.header.validator.hotkey != log.header.validator.hotkey;
    let mut verdict = None;
    for other in logs.iter().filter(is_other) {
        let found = own_measurements(log, other);
        if found.equal > 0 && (!is_named(log, next) || is_named(other, next)) {
            return Some(difference(other, found));
        }
        if found.compared > 0 {
            verdict = Some(Verdict::Agree);
        }
    }
    verdict
}

/// Checks whether a validator named the head of its log in its vote on the next window.
fn is_named(log: &ScoreLog, next: Option<&Chain>) -> bool {
    let vote = next.and_then(|next| next.votes.get(&log.header.validator));
    vote.is_some_and(|vote| vote.score_log == log.head())
}

fn difference(other: &ScoreLog, found: OwnMeasurements) -> Verdict {
    let OwnMeasurements { compared, equal } = found;
    let other = other.header.validator.hotkey;
    Verdict::differ(
        "the log holds measurements on its validator's own data that another validator's log has too",
        format!("{equal} of {compared} updates have the same values, bit for bit, in the log of {other}"),
        "each validator draws its own data: one of the two has copied (`validator replay` tells which)",
    )
}

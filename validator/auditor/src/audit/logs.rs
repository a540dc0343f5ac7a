//! Checks the score logs of a validator.

mod facts;
mod ratings;
mod validator_logs;

pub(super) use ratings::{Replays, replay};
pub(super) use validator_logs::{SEARCH, ValidatorLogs};

use super::seen::Seen;
use crate::report::{Finding, Item, Subject};
use base::{Window, digest::ScoreLogHead};
use std::{collections::BTreeMap, ops::Range};

/// Checks the logs of a validator in the requested windows. `is_due` returns whether everything about a
/// window must be published by now.
pub(super) fn check(
    logs: &ValidatorLogs,
    replays: &Replays,
    windows: &BTreeMap<Window, Seen>,
    asked: Range<u64>,
    is_due: impl Fn(Window) -> bool,
) -> Vec<(Window, Finding)> {
    let validator = logs.validator();
    let mut findings = Vec::new();
    for window in asked.map(Window) {
        let Some(seen) = windows.get(&window) else { continue };
        let Ok(chain) = &seen.chain else { continue };
        let vote = chain.votes.get(&validator);
        let log = logs.log(window);
        let head = vote.map(|vote| logs.head(window, vote.score_log));
        let later = later_heads(windows, logs, window);
        let presence = logs.presence(window, &later, vote.is_some(), is_due(window));
        let facts = log.map(|log| facts::check(seen, chain, log));
        let verdicts = [
            (Item::Head, head),
            (Item::Log, presence),
            (Item::Facts, facts),
            (Item::Ratings, replays.get(&window).map(ratings::verdict)),
        ];
        let subject = Subject::Validator(validator, chain.uid(&validator));
        let found = verdicts.into_iter().filter_map(|(item, verdict)| Some((item, verdict?)));
        findings.extend(found.map(|(item, verdict)| (window, Finding { subject, item, verdict })));
    }
    findings
}

/// Returns the heads that the validator's votes on later windows name.
fn later_heads(windows: &BTreeMap<Window, Seen>, logs: &ValidatorLogs, window: Window) -> Vec<ScoreLogHead> {
    let later = windows.range(Window(window.0 + 1)..);
    let head = |seen: &Seen| Some(seen.chain.as_ref().ok()?.votes.get(&logs.validator())?.score_log);
    later.filter_map(|(_, seen)| head(seen)).collect()
}

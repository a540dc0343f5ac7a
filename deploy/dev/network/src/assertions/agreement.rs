//! Assertions of agreement: all nodes have the same state, and an auditor finds no difference.

use super::Assertion;
use crate::{
    roster::{Participant, Role},
    run_record::{RunRecord, WindowOutcome},
};
use base::{Window, digest::State};
use std::collections::BTreeMap;

/// Checks that in each window all nodes have the state that a quorum voted for, and that every vote names
/// it. Where votes are lost and no quorum came about, all nodes must have the same state nevertheless:
/// `deadlines` names the lost votes.
pub(super) fn states(record: &RunRecord) -> Assertion {
    let mut complaints: Vec<String> = record.run().flat_map(|window| in_window(record, window)).collect();
    complaints.extend(at_end(record));
    let holders = record.names(|participant| participant.role.is_honest()).count();
    let good = format!(
        "{holders} nodes held the same state in each of {} windows, and all votes name it",
        record.count
    );
    Assertion::of("states", good, &complaints)
}

fn in_window(record: &RunRecord, window: Window) -> Vec<String> {
    let none = Default::default();
    let outcome = record.windows.get(&window).unwrap_or(&none);
    let mut complaints = match outcome.state.or_else(|| record.held(window)) {
        None => vec![format!("window {window}: no node has reported its state")],
        Some(_) if outcome.state.is_none() && have_all_voted(record, outcome) => {
            vec![format!("window {window}: no state was named by a quorum")]
        }
        Some(majority) => differing(record, window, majority),
    };
    complaints.extend(outcome.votes.iter().filter_map(|(name, voted)| {
        let majority = outcome.state.filter(|majority| majority != voted)?;
        Some(format!(
            "window {window}: {name} voted for state {}, the quorum for {}",
            short(voted),
            short(&majority)
        ))
    }));
    complaints
}

fn have_all_voted(record: &RunRecord, outcome: &WindowOutcome) -> bool {
    record
        .names(|participant| participant.role == Role::Validator)
        .all(|name| outcome.votes.contains_key(name))
}

/// Returns a complaint for each node that reported another state than the majority's.
fn differing(record: &RunRecord, window: Window, majority: State) -> Vec<String> {
    let reported = record.states.get(&window).into_iter().flatten();
    reported
        .filter(|(_, (state, _))| *state != majority)
        .map(|(name, (state, _))| {
            format!(
                "window {window}: {name} has state {}, the others have {}",
                short(state),
                short(&majority)
            )
        })
        .collect()
}

/// Checks the end of the run, where there are no votes. Returns a complaint for each node that did not
/// reach the end, or has another state than most nodes.
fn at_end(record: &RunRecord) -> Vec<String> {
    let none = BTreeMap::new();
    let reported = record.states.get(&record.after_last()).unwrap_or(&none);
    let common = record.held(record.after_last());
    let holds = |participant: &Participant| participant.role.is_honest();
    record
        .names(holds)
        .filter(|name| !record.is_ended(name))
        .filter_map(|name| match reported.get(name) {
            None => Some(format!("{name} did not reach the run's end")),
            Some((state, _)) if Some(*state) != common => Some(format!(
                "at the run's end {name} has state {}, others {}",
                short(state),
                common.as_ref().map(short).unwrap_or_default()
            )),
            Some(_) => None,
        })
        .collect()
}

fn short(state: &State) -> String {
    state.to_string()[..8].to_owned()
}

/// Checks that the auditor recomputed all windows and found no difference.
pub(super) fn audit(record: &RunRecord) -> Assertion {
    const NAME: &str = "audit";
    let Some(audit) = &record.audit else {
        return Assertion::of(NAME, String::new(), &["no auditor has recomputed the run".into()]);
    };
    let mut complaints = audit.differences.clone();
    if audit.windows < u64::from(record.count) {
        complaints.push(format!("the auditor recomputed {} of {} windows", audit.windows, record.count));
    }
    Assertion::of(NAME, format!("an auditor recomputed {} windows and agrees", audit.windows), &complaints)
}

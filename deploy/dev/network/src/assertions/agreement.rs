//! Everybody has the same state, and an auditor finds nothing that differs.

use super::Assertion;
use crate::{
    cast::{Part, Player},
    facts::Facts,
};
use base::{Window, digest::State};
use std::collections::BTreeMap;

/// In each window, all nodes have the state that a quorum of votes names, and every validator voted for it.
pub(super) fn states(facts: &Facts) -> Assertion {
    let mut complaints: Vec<String> = facts.run().flat_map(|window| in_window(facts, window)).collect();
    complaints.extend(at_end(facts));
    let holders = facts.names(|player| player.part.is_honest()).count();
    let good = format!(
        "{holders} nodes held the same state in each of {} windows, and all votes name it",
        facts.count
    );
    Assertion::of("states", good, &complaints)
}

fn in_window(facts: &Facts, window: Window) -> Vec<String> {
    let none = Default::default();
    let seen = facts.windows.get(&window).unwrap_or(&none);
    let mut complaints = match seen.state {
        Some(majority) => differing(facts, window, majority),
        None => vec![format!("window {window}: no state was named by a quorum")],
    };
    let validators = facts.names(|player| player.part == Part::Validator);
    complaints.extend(validators.filter_map(|name| match (seen.votes.get(name), seen.state) {
        (None, _) => Some(format!("window {window}: {name} has no vote on chain")),
        (Some(voted), Some(majority)) if *voted != majority => Some(format!(
            "window {window}: {name} voted for state {}, the quorum for {}",
            short(voted),
            short(&majority)
        )),
        _ => None,
    }));
    complaints
}

/// Nodes whose own account of their state is another one.
fn differing(facts: &Facts, window: Window, majority: State) -> Vec<String> {
    let told = facts.states.get(&window).into_iter().flatten();
    told.filter(|(_, (state, _))| *state != majority)
        .map(|(name, (state, _))| {
            format!(
                "window {window}: {name} has state {}, the quorum voted for {}",
                short(state),
                short(&majority)
            )
        })
        .collect()
}

/// After the last window there are no votes; everybody must have got there, to one state.
fn at_end(facts: &Facts) -> Vec<String> {
    let none = BTreeMap::new();
    let told = facts.states.get(&facts.after_last()).unwrap_or(&none);
    let mut behind: BTreeMap<State, usize> = BTreeMap::new();
    told.values().for_each(|(state, _)| *behind.entry(*state).or_default() += 1);
    let common = behind.iter().max_by_key(|(_, nodes)| **nodes).map(|(state, _)| *state);
    let holds = |player: &Player| player.part.is_honest();
    facts
        .names(holds)
        .filter_map(|name| match told.get(name) {
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

/// The auditor agrees on everything.
pub(super) fn audit(facts: &Facts) -> Assertion {
    const NAME: &str = "audit";
    let Some(audit) = &facts.audit else {
        return Assertion::of(NAME, String::new(), &["no auditor has looked".into()]);
    };
    let mut complaints = audit.differences.clone();
    if audit.windows < u64::from(facts.count) {
        complaints.push(format!("the auditor recomputed {} of {} windows", audit.windows, facts.count));
    }
    Assertion::of(NAME, format!("an auditor recomputed {} windows and agrees", audit.windows), &complaints)
}

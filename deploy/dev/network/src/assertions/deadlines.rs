//! The assertion that the nodes act in time.

use super::Assertion;
use crate::{
    roster::Role,
    run_record::{ActTimes, RunRecord, WindowOutcome},
};
use base::Window;
use serde::Serialize;
use std::{fmt, time::Duration};

/// The factor by which proposed blocks are longer than those that would just have sufficed.
const MARGIN: f64 = 1.5;
/// The factor by which a node is taken to be late whose transaction was never seen.
const NEVER_SEEN: f64 = 2.0;

/// An act that counts only until a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The claim of a miner.
    Claim,
    /// The vote of a validator.
    Vote,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Claim => "claim",
            Self::Vote => "vote",
        })
    }
}

/// An act of an honest node that does not count in its window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// The name of the node.
    pub node: String,
    /// The act.
    pub act: Act,
    /// The seconds that the node needed until it sent the transaction. `None` if it sent none.
    pub needed_seconds: Option<f64>,
    /// The seconds that it had. `None` if the deadline did not come.
    pub had_seconds: Option<f64>,
}

impl Lost {
    fn new(node: &str, act: Act, times: &ActTimes) -> Self {
        Self { node: node.to_owned(), act, needed_seconds: times.needed(node), had_seconds: times.had() }
    }

    /// Returns the share of its time that the node used, 1 for exactly all of it.
    fn used(&self) -> f64 {
        match (self.needed_seconds, self.had_seconds) {
            (Some(needed), Some(had)) if had > 0.0 => (needed / had).max(1.0),
            _ => NEVER_SEEN,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, act, needed_seconds, had_seconds } = self;
        match (needed_seconds, had_seconds) {
            (Some(needed), Some(had)) if needed > had => {
                write!(f, "the {act} of {node} came too late: it needed {needed:.1} s and had {had:.1} s")
            }
            (Some(needed), Some(had)) => {
                write!(
                    f,
                    "the {act} of {node} does not count, though it was sent after {needed:.1} of {had:.1} s"
                )
            }
            (None, Some(had)) => {
                write!(f, "the {act} of {node} never came: it needed more than the {had:.1} s that it had")
            }
            (_, None) => write!(f, "the {act} of {node} is missing: the deadline did not come"),
        }
    }
}

/// Returns the claims and votes of honest nodes that do not count in a window.
pub(crate) fn lost(record: &RunRecord, window: Window) -> Vec<Lost> {
    let none = WindowOutcome::default();
    let outcome = record.windows.get(&window).unwrap_or(&none);
    let miners = record.names(|participant| participant.role.is_honest_miner());
    let claims = miners
        .filter(|name| !outcome.claimed.contains(*name) && is_expected(record, window, name))
        .map(|name| Lost::new(name, Act::Claim, &outcome.claim_times));
    let validators = record.names(|participant| participant.role == Role::Validator);
    let votes = validators
        .filter(|name| !outcome.votes.contains_key(*name))
        .map(|name| Lost::new(name, Act::Vote, &outcome.vote_times));
    claims.chain(votes).collect()
}

/// Returns whether a miner should claim in a window. A joiner should once it has claimed before: nothing
/// says when it must have caught up.
pub(super) fn is_expected(record: &RunRecord, window: Window, name: &str) -> bool {
    let joins = record.participants.iter().any(|(p, _)| p.role == Role::Joiner && p.name == name);
    !joins || record.windows.range(..window).any(|(_, outcome)| outcome.claimed.contains(name))
}

/// Checks that in each window every honest miner claimed and every validator voted in time.
pub(super) fn deadlines(record: &RunRecord) -> Assertion {
    let of = |window| lost(record, window).into_iter().map(move |lost| (window, lost));
    let lost: Vec<(Window, Lost)> =
        record.run().flat_map(of).filter(|(window, lost)| !record.is_excused(&lost.node, *window)).collect();
    let mut complaints: Vec<String> =
        lost.iter().map(|(window, lost)| format!("window {window}: {lost}")).collect();
    if !complaints.is_empty() {
        let used = lost.iter().map(|(_, lost)| lost.used()).fold(1.0, f64::max);
        complaints.push(advice(record.real_time, used));
    }
    let good = "every honest miner claimed and every validator voted in time".to_owned();
    let slowest = record.real_time.and_then(|_| slowest(record));
    let good = slowest.map_or(good.clone(), |slowest| format!("{good}; {slowest}"));
    Assertion::of("deadlines", good, &complaints)
}

/// Returns what the user can do. `used` is the largest share of its time that a node needed.
fn advice(real_time: Option<Duration>, used: f64) -> String {
    match real_time {
        Some(block) => {
            let ms = (block.as_secs_f64() * 1000.0 * used * MARGIN / 100.0).ceil() * 100.0;
            format!(
                "this machine is too slow for blocks of {} ms: give longer ones (--block-ms {ms:.0}), or fewer nodes \
                 (--miners, --validators)",
                block.as_millis()
            )
        }
        None => "if the machine is slow, give more --patience or fewer nodes".to_owned(),
    }
}

/// Describes the act in time that used the largest share of its time.
fn slowest(record: &RunRecord) -> Option<String> {
    let acts = record.windows.iter().flat_map(|(window, outcome)| {
        let of = move |act, times: &'_ ActTimes, names: Vec<&String>| {
            let uses = names.into_iter().filter_map(|name| {
                let (needed, had) = (times.needed(name)?, times.had()?);
                Some((
                    needed / had,
                    format!("the {act} of {name} in window {window} took {needed:.1} of {had:.1} s"),
                ))
            });
            uses.collect::<Vec<_>>()
        };
        let honest = outcome.claimed.iter().filter(|name| record.is_honest_miner(name)).collect();
        let claims = of(Act::Claim, &outcome.claim_times, honest);
        let votes = of(Act::Vote, &outcome.vote_times, outcome.votes.keys().collect());
        claims.into_iter().chain(votes)
    });
    acts.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, text)| text)
}

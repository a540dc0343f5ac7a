//! Weights are set and pay those who work.

use super::Assertion;
use crate::{
    roster::{Participant, Role},
    run_record::RunRecord,
};

/// An adversary gets at most this share of what an honest miner gets in the mean.
const ADVERSARY: f64 = 0.1;
/// An honest miner gets at least this share of it.
const HONEST: f64 = 0.25;

/// Every validator set weights, and an epoch turned them into incentive.
pub(super) fn weights(record: &RunRecord) -> Assertion {
    let end = &record.end;
    let mut complaints: Vec<String> = record
        .names(|participant| participant.part == Role::Validator)
        .filter_map(|name| match end.set.get(name) {
            None => Some(format!("{name} set no weights")),
            Some(block) if *block > end.epoch => {
                Some(format!("{name} set weights in block {block}, after the last epoch ({})", end.epoch))
            }
            Some(_) => None,
        })
        .collect();
    if end.incentives.values().sum::<f64>() <= 0.0 {
        complaints.push("no epoch gave anybody incentive".into());
    }
    let good =
        format!("{} validators set weights, the epoch at block {} paid by them", end.set.len(), end.epoch);
    Assertion::of("weights", good, &complaints)
}

/// Adversaries get next to nothing, honest miners their share.
pub(super) fn incentives(record: &RunRecord) -> Assertion {
    let share = |name: &str| record.end.incentives.get(name).copied().unwrap_or(0.0);
    let honest: Vec<&str> = record.names(|participant| participant.part.is_honest_miner()).collect();
    let mean = honest.iter().map(|name| share(name)).sum::<f64>() / honest.len().max(1) as f64;
    let percent = |name: &str| format!("{:.1} %", 100.0 * share(name));
    let is_adversary = |participant: &Participant| matches!(participant.part, Role::Adversary(_));
    let overpaid = record.names(is_adversary).filter(|name| share(name) > ADVERSARY * mean).map(|name| {
        format!(
            "{name} gets {} of the incentive, an honest miner {:.1} % in the mean",
            percent(name),
            100.0 * mean
        )
    });
    let underpaid =
        honest.iter().filter(|name| share(name) < HONEST * mean || share(name) == 0.0).map(|name| {
            format!(
                "{name} gets {} of the incentive, honest miners {:.1} % in the mean",
                percent(name),
                100.0 * mean
            )
        });
    let complaints: Vec<String> = overpaid.chain(underpaid).collect();
    let paid =
        record.names(|participant| participant.part.mines()).map(|name| format!("{name} {}", percent(name)));
    Assertion::of("incentives", paid.collect::<Vec<_>>().join(", "), &complaints)
}

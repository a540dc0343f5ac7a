//! Assertions of payment: weights are set, and they pay the miners that work.

use super::Assertion;
use crate::{
    roster::{Participant, Role},
    run_record::RunRecord,
};

/// The maximum incentive of an adversary, as a share of the honest miners' mean.
const ADVERSARY: f64 = 0.1;
/// The minimum incentive of an honest miner, as a share of the honest miners' mean.
const HONEST: f64 = 0.25;

/// Checks that every validator set weights, and that an epoch turned them into incentive. A validator that
/// never gave a miner a score has none to set.
pub(super) fn weights(record: &RunRecord) -> Assertion {
    let end = &record.end;
    let mut complaints: Vec<String> = record
        .names(|participant| participant.role == Role::Validator)
        .filter(|name| !record.has_no_score(name))
        .filter_map(|name| match end.set.get(name) {
            None => Some(format!("{name} set no weights")),
            Some(block) if *block > end.epoch => {
                Some(format!("{name} set weights in block {block}, after the last epoch ({})", end.epoch))
            }
            Some(_) => None,
        })
        .collect();
    let mut validators = record.names(|participant| participant.role == Role::Validator);
    let is_due = validators.any(|name| !record.has_no_score(name));
    if is_due && end.incentives.values().sum::<f64>() <= 0.0 {
        complaints.push("no epoch paid any incentive".into());
    }
    let good = if is_due {
        format!("{} validators set weights, the epoch at block {} paid by them", end.set.len(), end.epoch)
    } else {
        "no validator gave any miner a score, so there were no weights to set".into()
    };
    Assertion::of("weights", good, &complaints)
}

/// Checks that adversaries get almost no incentive, and that each honest miner gets its share.
pub(super) fn incentives(record: &RunRecord) -> Assertion {
    let share = |name: &str| record.end.incentives.get(name).copied().unwrap_or(0.0);
    let honest: Vec<&str> = record.names(|participant| participant.role.is_honest_miner()).collect();
    let mean = honest.iter().map(|name| share(name)).sum::<f64>() / honest.len().max(1) as f64;
    let is_due = |name: &str| !record.faults.iter().any(|fault| fault.costs_pay(name));
    let percent = |name: &str| format!("{:.1} %", 100.0 * share(name));
    let is_adversary = |participant: &Participant| matches!(participant.role, Role::Adversary(_));
    let overpaid = record.names(is_adversary).filter(|name| share(name) > ADVERSARY * mean).map(|name| {
        format!(
            "{name} gets {} of the incentive, an honest miner {:.1} % on average",
            percent(name),
            100.0 * mean
        )
    });
    let underpaid = honest
        .iter()
        .filter(|name| is_due(name) && (share(name) < HONEST * mean || share(name) == 0.0))
        .map(|name| {
            format!(
                "{name} gets {} of the incentive, honest miners {:.1} % on average",
                percent(name),
                100.0 * mean
            )
        });
    let complaints: Vec<String> = overpaid.chain(underpaid).collect();
    let paid =
        record.names(|participant| participant.role.mines()).map(|name| format!("{name} {}", percent(name)));
    Assertion::of("incentives", paid.collect::<Vec<_>>().join(", "), &complaints)
}

//! Finds measurements that two validators cannot both have made.

use super::ScoreLog;
use crate::gauntlet::{Improvements, Outcome};
use base::Hotkey;

/// The measurements of a log on its validator's own data, compared with those of another log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnMeasurements {
    /// The number of updates that both logs measure on data of their validators' own.
    pub compared: usize,
    /// The number of those with the same values, bit for bit.
    pub equal: usize,
}

/// Compares the measurements of two validators of one window on their own data.
///
/// The hotkey of a validator draws its own unassigned sequences, so two honest logs never have the same bits
/// there. Two kinds of updates are left out: one that changes nothing improves nothing on any data, and one
/// that breaks the model has no finite loss on any data.
#[must_use]
pub fn own_measurements(first: &ScoreLog, second: &ScoreLog) -> OwnMeasurements {
    let mut found = OwnMeasurements::default();
    for (miner, improvements) in own(first) {
        let Some(other) = second.miners.get(&miner).and_then(|line| own_of(line.outcome)) else { continue };
        found.compared += 1;
        found.equal += usize::from(is_same(improvements, other));
    }
    found
}

/// Returns the improvements of a log's miners on the validator's own data.
fn own(log: &ScoreLog) -> impl Iterator<Item = (Hotkey, Improvements)> {
    log.miners.iter().filter_map(|(&miner, line)| Some((miner, own_of(line.outcome)?)))
}

fn own_of(outcome: Outcome) -> Option<Improvements> {
    match outcome {
        Outcome::Evaluated(evaluation) => {
            Some(evaluation.own).filter(|own| own.squares.is_finite() && own.squares > 0.0)
        }
        Outcome::Failed(_) | Outcome::Skipped | Outcome::Gone => None,
    }
}

fn is_same(first: Improvements, second: Improvements) -> bool {
    let bits = |own: Improvements| (own.sum.to_bits(), own.squares.to_bits());
    bits(first) == bits(second)
}

//! Simulates sixty windows of a subnet with honest and dishonest miners.

use super::*;
use crate::weights::{Subnet, Weights, weights};
use base::{Height, Hotkey, Millionths, Uid};
use std::collections::BTreeMap;

/// The behaviour of a miner.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Trains on its data, with the given strength.
    Honest(f64),
    /// Uploads a mixture of the others' updates, which lowers the loss a lot, equally on all data.
    Copies,
    /// Trains well, but its object is missing in one window of three.
    Unreliable,
    /// Uploads noise that raises the loss.
    Harms,
    /// Uploads an update without any effect.
    Idles,
    /// Makes no claim.
    Absent,
}

const MINERS: [Kind; 9] = [
    Kind::Honest(1.0),
    Kind::Honest(0.9),
    Kind::Honest(0.8),
    Kind::Honest(0.6),
    Kind::Copies,
    Kind::Unreliable,
    Kind::Harms,
    Kind::Idles,
    Kind::Absent,
];

fn miner(index: usize) -> NeuronId {
    NeuronId { hotkey: Hotkey([index as u8; 32]), registered: Height(1) }
}

/// Returns noise between -1 and 1, the same on each run.
fn noise(window: u64, index: usize, salt: u8) -> f64 {
    let lot = drawn(
        "muster test noise",
        BlockHash([salt; 32]),
        NeuronId { registered: Height(window), ..miner(index) },
    );
    f64::from(i16::from_le_bytes([lot[0], lot[1]])) / 32768.0
}

/// Returns the outcome of a window. The noise is that of 64 sequences of each kind.
fn outcome(kind: Kind, window: u64, index: usize) -> Outcome {
    let (gain, margin) = match kind {
        Kind::Honest(strength) => (0.01 * strength, 7e-4),
        Kind::Unreliable if window.is_multiple_of(3) => return Outcome::Failed(Fault::Missing),
        Kind::Unreliable => (0.01, 7e-4),
        Kind::Copies => (0.012, 0.0),
        Kind::Harms => (-0.02, 0.0),
        Kind::Idles => return evaluated(0.0, 0.0),
        Kind::Absent => return Outcome::Failed(Fault::Absent),
    };
    evaluated(gain + 0.002 * noise(window, index, 1), margin + 9e-4 * noise(window, index, 2))
}

/// Returns an evaluation with relative improvement `gain` on unassigned data and `gain + margin` on
/// assigned data.
fn evaluated(gain: f64, margin: f64) -> Outcome {
    let assigned = Losses { before: 4.0, after: 4.0 * (1.0 - gain - margin) };
    Outcome::Evaluated(Evaluation { assigned, unassigned_after: 4.0 * (1.0 - gain) })
}

fn run(spec: &ScoringSpec, windows: u64) -> Weights {
    let mut standings = Standings::default();
    for window in 0..windows {
        let outcomes = MINERS.iter().enumerate();
        let observed = Observed {
            seed: BlockHash([window as u8; 32]),
            unassigned_before: 4.0,
            outcomes: outcomes.map(|(index, &kind)| (miner(index), outcome(kind, window, index))).collect(),
        };
        standings = standings.after(spec, &observed).unwrap();
    }
    let uids: BTreeMap<_, _> = (0..MINERS.len()).map(|index| (miner(index), Uid(index as u16))).collect();
    let subnet = Subnet { owner: Some(Uid(20)), uids: 21, min_allowed: 0, max_limit: 65535 };
    weights(&spec.weights, &standings.scores(spec), &uids, &subnet).unwrap()
}

#[test]
fn those_who_train_are_paid() {
    let weights = run(&ScoringSpec::default(), 60);
    let paid = |kind: Kind| {
        let index = MINERS.iter().position(|&other| other == kind).unwrap();
        weights.get(&Uid(index as u16)).copied().unwrap_or(0)
    };
    for kind in [Kind::Copies, Kind::Harms, Kind::Idles, Kind::Absent] {
        assert_eq!(paid(kind), 0, "{kind:?}: {weights:?}");
    }
    // Ratings are relative, and harmful updates play no match. So an honest miner that is always behind
    // the others earns nothing in the end.
    let [best, second, last] = [1.0, 0.9, 0.6].map(|strength| paid(Kind::Honest(strength)));
    assert!(best > second && second > 0 && last == 0, "{weights:?}");
    assert!(paid(Kind::Unreliable) > 0, "{weights:?}");
}

#[test]
fn a_short_run_pays_by_rating_alone() {
    let spec = ScoringSpec { z: Millionths::ONE, ..ScoringSpec::default() };
    let weights = run(&spec, 8);
    let paid = |index: u16| weights.get(&Uid(index)).copied().unwrap_or(0);
    assert!(paid(0) > paid(3) && paid(3) > 0 && paid(4) > 0, "a copier is undecided still: {weights:?}");
    assert_eq!((paid(7), paid(8)), (0, 0), "{weights:?}");
}

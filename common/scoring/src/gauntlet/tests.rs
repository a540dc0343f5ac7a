//! Simulates a subnet with honest and dishonest miners. `examples/pay_model.rs` has many seeds.

use super::*;
use crate::{
    testing,
    uniqueness::Overlap,
    weights::{Subnet, Weights, weights},
};
use base::{Millionths, Uid, Window};
use std::collections::BTreeMap;

/// The behaviour of a miner.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Trains on its data, with the given strength.
    Honest(f64),
    /// Uploads a mixture of the others' updates, which lowers the loss a lot, equally on all data.
    Copies,
    /// Trains half of the steps.
    Half,
    /// One of two hotkeys with one training run, each with half of the samples.
    Twin,
    /// Trains well, but its object is missing in one window of three.
    Unreliable,
    /// Uploads noise that raises the loss.
    Harms,
    /// Uploads an update without any effect.
    Idles,
    /// Makes no claim.
    Absent,
}

const MINERS: [Kind; 12] = [
    Kind::Honest(1.0),
    Kind::Honest(1.0),
    Kind::Honest(1.0),
    Kind::Honest(1.0),
    Kind::Copies,
    Kind::Half,
    Kind::Twin,
    Kind::Twin,
    Kind::Unreliable,
    Kind::Harms,
    Kind::Idles,
    Kind::Absent,
];

fn miner(index: usize) -> Hotkey {
    Hotkey([index as u8 + 1; 32])
}

/// Returns noise of variance 1, the same on each run.
fn noise(window: u64, index: usize, salt: u8) -> f64 {
    let lot =
        drawn("muster test noise", BlockHash([salt; 32]), Hotkey([index as u8 ^ (window as u8) << 4; 32]));
    let lot = blake3::hash(&[&lot[..], &window.to_le_bytes()].concat());
    let uniform =
        |at: usize| f64::from(u16::from_le_bytes([lot.as_bytes()[at], lot.as_bytes()[at + 1]])) / 65536.0;
    (0..12).map(|at| uniform(2 * at)).sum::<f64>() - 6.0
}

/// Returns the outcome of a window.
fn outcome(kind: Kind, window: u64, index: usize) -> Outcome {
    let (strength, margin, twins) = match kind {
        Kind::Honest(strength) => (strength, 2.0, false),
        Kind::Unreliable if window.is_multiple_of(3) => return Outcome::Failed(Fault::Missing),
        Kind::Unreliable => (1.0, 2.0, false),
        Kind::Copies => (1.2, 0.0, false),
        Kind::Half => (0.69, 1.0, false),
        Kind::Twin => (0.97, 1.0, true),
        Kind::Harms => (-2.0, 0.0, false),
        Kind::Idles => return Outcome::Failed(Fault::ChangesNothing),
        Kind::Absent => return Outcome::Failed(Fault::Absent),
    };
    let improvement = 0.01 * (strength + 0.04 * noise(window, index, 1));
    let mut evaluation = testing::evaluation(improvement, margin + noise(window, index, 2));
    evaluation.overlap = Overlap { excess: Millionths(i64::from(twins) * 1_000_000), nearest: None };
    Outcome::Evaluated(evaluation)
}

/// Returns the weights after some windows.
fn run(windows: u64) -> Weights {
    let spec = testing::spec();
    let mut standings = Standings::default();
    for window in 0..windows {
        let outcomes = MINERS.iter().enumerate();
        let observed = Observed {
            window: Window(window),
            seed: BlockHash([window as u8; 32]),
            outcomes: outcomes.map(|(index, &kind)| (miner(index), outcome(kind, window, index))).collect(),
        };
        standings = standings.after(&spec, &observed).unwrap();
    }
    let uids: BTreeMap<_, _> = (0..MINERS.len()).map(|index| (miner(index), Uid(index as u16))).collect();
    let subnet = Subnet { owner: Some(Uid(20)), uids: 21, min_allowed: 0, max_limit: 65535 };
    weights(&spec.weights, &standings.scores(&spec), &uids, &subnet).unwrap()
}

/// Returns the weights of the miners of a kind, relative to the mean of the honest ones.
fn paid(weights: &Weights, is: impl Fn(Kind) -> bool) -> Vec<f64> {
    let weight = |index: usize| weights.get(&Uid(index as u16)).copied().map_or(0.0, f64::from);
    let honest = (0..4).map(weight).sum::<f64>() / 4.0;
    MINERS
        .iter()
        .enumerate()
        .filter(|(_, kind)| is(**kind))
        .map(|(index, _)| weight(index) / honest)
        .collect()
}

#[test]
fn work_is_paid_and_nothing_else() {
    let weights = run(60);
    for kind in [Kind::Copies, Kind::Harms, Kind::Idles, Kind::Absent] {
        assert_eq!(paid(&weights, |other| other == kind), [0.0], "{kind:?}: {weights:?}");
    }
    let honest = paid(&weights, |kind| matches!(kind, Kind::Honest(_)));
    assert!(honest.iter().all(|paid| (0.95..1.05).contains(paid)), "{honest:?}");
    let half = paid(&weights, |kind| kind == Kind::Half);
    assert!(half[0] <= 0.5, "{half:?}");
    let twins = paid(&weights, |kind| kind == Kind::Twin);
    assert!(twins.iter().sum::<f64>() <= 1.05, "{twins:?}");
    let unreliable = paid(&weights, |kind| kind == Kind::Unreliable);
    assert!((0.1..0.5).contains(&unreliable[0]), "{unreliable:?}");
}

#[test]
fn eight_windows_pay_sensibly() {
    let weights = run(8);
    let honest = paid(&weights, |kind| matches!(kind, Kind::Honest(_)));
    let most = honest.iter().copied().fold(0.0, f64::max);
    assert!(honest.iter().all(|paid| most / paid < 1.5), "{weights:?}");
    assert!(paid(&weights, |kind| kind == Kind::Copies)[0] < 0.6, "{weights:?}");
}

/// Reads the outcome of a line of `tests/vectors/pay.txt`, and the numbers after it.
fn read_vector<'a>(words: &mut impl Iterator<Item = &'a str>) -> (Hotkey, Outcome, [i64; 5]) {
    let mut next = || words.next().unwrap();
    let miner = miner(next().parse().unwrap());
    let outcome = match next() {
        "0" => {
            let mut number = || f64::from_bits(u64::from_str_radix(next(), 16).unwrap());
            let [assigned, common, own] =
                [64, 32, 32].map(|count| Improvements { count, sum: number(), squares: number() });
            let [share, excess] = [next(), next()].map(|word| Millionths(word.parse().unwrap()));
            let overlap = Overlap { excess, nearest: None };
            Outcome::Evaluated(Evaluation { assigned, common, own, share, overlap })
        }
        fault => Outcome::Failed(Fault::ALL[fault.parse::<usize>().unwrap() - 1]),
    };
    (miner, outcome, [(); 5].map(|()| next().parse().unwrap()))
}

#[test]
fn pay_is_that_of_a_second_implementation() {
    let spec = testing::spec();
    let mut windows: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for line in include_str!("../../tests/vectors/pay.txt").lines() {
        let mut words = line.split(' ');
        let window = words.next().unwrap().parse().unwrap();
        windows.entry(window).or_default().push(read_vector(&mut words));
    }
    assert_eq!(windows.len(), 60);
    let mut standings = Standings::default();
    for (window, lines) in windows {
        let outcomes = lines.iter().map(|(miner, outcome, _)| (*miner, *outcome)).collect();
        let observed = Observed { window: Window(window), seed: BlockHash([0; 32]), outcomes };
        standings = standings.after(&spec, &observed).unwrap();
        for (miner, _, expected) in lines {
            let standing = standings.get(&miner).unwrap();
            let (state, evidence) = match standing.proof {
                proof::Proof::Undecided(sum) => (0, sum.0),
                proof::Proof::Passed(sum) => (1, sum.0),
                proof::Proof::Failed(sum) => (2, sum.0),
            };
            let score = standing.score(true).0 as i64;
            let found = [state, evidence, standing.contribution.mean().0, standing.credit.0, score];
            assert_eq!(found, expected, "window {window}, {miner}");
        }
    }
}

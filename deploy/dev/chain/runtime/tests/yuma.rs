//! Tests Yuma consensus against two independent references: Subtensor's own vectors, and a second
//! computation in `f64` over random networks, written from the rules ([`oracle`]).
//!
//! The precision: the oracle has a bound for the losses of fixed point ([`approx`]). A stored integer
//! must be a truncation of a number within that bound. `tolerance_is_small` proves that this nearly
//! always leaves only one integer. An epoch in which rounding decides a comparison is dropped, since
//! its result jumps there: the stake behind a weight is close to kappa, or two unequal stakes are close
//! to each other at the limit of the permits. Equalities that rounding does not affect are kept: equal
//! stakes, and a weight that all the stake supports, even at kappa 65535.

#[path = "yuma/approx.rs"]
mod approx;
#[path = "yuma/networks.rs"]
mod networks;
#[path = "yuma/oracle.rs"]
mod oracle;
#[path = "yuma/vectors.rs"]
mod vectors;

use devchain_runtime::yuma::{EpochInput, EpochOutput, SparseRow, epoch};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use approx::Approx;
use networks::history;
use oracle::Expected;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compares every integer that an epoch stores, over several epochs that carry permits and bonds.
    #[test]
    fn epochs_agree_with_the_oracle(history in history()) {
        for input in history.epochs() {
            let expected = oracle::epoch(&input);
            prop_assume!(!expected.too_close_to_call);
            compare(&input, &epoch(&input), &expected)?;
        }
    }
}

/// Compares Subtensor's own six epochs; the results are within one unit of its stored values.
#[test]
fn six_epochs_of_subtensor() {
    let mut network = vectors::network();
    for (number, vector) in (1..).zip(vectors::vectors()) {
        if let Some((uid, row)) = vector.change {
            network.weights[uid] = row;
        }
        let output = epoch(&network);
        let close = |what: &str, uid: usize, stored: u64, theirs: u64| {
            assert!(
                stored.abs_diff(theirs) <= 1,
                "epoch {number}, {what} of uid {uid}: {stored}, not {theirs}"
            );
        };
        let units = |share: f64| (share * 65535.0) as u64;
        for uid in 0..4 {
            close("dividends", uid, u64::from(output.dividends[uid]), units(vector.dividends[uid]));
            close("incentive", uid + 4, u64::from(output.incentive[uid + 4]), units(vector.incentive[uid]));
            assert_eq!(
                (output.incentive[uid], output.dividends[uid + 4]),
                (0, 0),
                "epoch {number}, uid {uid}"
            );
            let (to, theirs) = vector.bonds;
            let row = output.bonds[uid].as_ref().expect("uids 0 to 3 hold permits");
            close(&format!("bonds to {to}"), uid, dense(row, 8)[to], theirs[uid]);
        }
        for uid in 0..8 {
            close("emission", uid, output.emission[uid], vector.emission[uid]);
        }
        network = networks::following(&network, output, 10);
    }
}

/// Checks that the slack is nearly always less than a tenth of a unit, or 10^-6 of an emission. With a
/// larger slack the comparison would prove nothing.
#[test]
fn tolerance_is_small() {
    let mut runner = TestRunner::deterministic();
    let strategy = history();
    let (mut numbers, mut loose) = (0_u32, 0_u32);
    for _ in 0..100 {
        let history = strategy.new_tree(&mut runner).expect("networks can be drawn").current();
        for input in history.epochs() {
            for (number, allowed) in stored_numbers(&oracle::epoch(&input)) {
                numbers += 1;
                loose += u32::from(number.slack > allowed);
            }
        }
    }
    println!("{loose} of {numbers} compared numbers are loose");
    assert!(numbers > 10_000, "the networks are too empty to prove anything: {numbers}");
    assert!(f64::from(loose) < 0.05 * f64::from(numbers), "{loose} of {numbers} compared numbers are loose");
}

/// Returns every stored number of an epoch that is not certain to be zero, with the largest slack that
/// still counts as small.
fn stored_numbers(expected: &Expected) -> Vec<(Approx, f64)> {
    let shares = [
        &expected.stake_weight,
        &expected.consensus,
        &expected.validator_trust,
        &expected.incentive,
        &expected.dividends,
    ];
    let shares = shares.into_iter().flatten().chain(expected.bonds.iter().flatten());
    let amounts = expected.server_share.iter().chain(&expected.validator_share);
    let numbers = shares.map(|&share| (share, 0.1 / 65535.0)).chain(amounts.map(|&share| (share, 1e-6)));
    numbers.filter(|(number, _)| !number.is_nothing()).collect()
}

/// Compares all outputs of an epoch.
fn compare(input: &EpochInput, output: &EpochOutput, expected: &Expected) -> Result<(), TestCaseError> {
    prop_assert_eq!(&output.active, &expected.active, "active");
    proportions("stake weight", &output.stake_weight, &expected.stake_weight)?;
    proportions("consensus", &output.consensus, &expected.consensus)?;
    proportions("validator trust", &output.validator_trust, &expected.validator_trust)?;
    proportions("incentive", &output.incentive, &expected.incentive)?;
    proportions("dividends", &output.dividends, &expected.dividends)?;
    let both: Vec<Approx> =
        expected.server_share.iter().zip(&expected.validator_share).map(|(a, b)| *a + *b).collect();
    amounts("server emission", input.emission, &output.server_emission, &expected.server_share)?;
    amounts("validator emission", input.emission, &output.validator_emission, &expected.validator_share)?;
    amounts("emission", input.emission, &output.emission, &both)?;
    prop_assert_eq!(&output.permits, &expected.permits, "next permits");
    bonds(input, output, expected)
}

fn proportions(what: &str, stored: &[u16], expected: &[Approx]) -> Result<(), TestCaseError> {
    integers(what, 65535.0, stored.iter().map(|&value| u64::from(value)), expected)
}

fn amounts(what: &str, emission: u64, stored: &[u64], expected: &[Approx]) -> Result<(), TestCaseError> {
    integers(what, emission as f64, stored.iter().copied(), expected)
}

fn integers(
    what: &str,
    scale: f64,
    stored: impl ExactSizeIterator<Item = u64>,
    expected: &[Approx],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(stored.len(), expected.len(), "{}: one entry a uid", what);
    for (uid, (stored, expected)) in stored.zip(expected).enumerate() {
        prop_assert!(
            expected.truncates_to(scale, stored),
            "{what} of uid {uid}: stored {stored}, expected {} ± {}",
            expected.value * scale,
            expected.slack * scale,
        );
    }
    Ok(())
}

/// Checks the stored bonds. A neuron with the next permit has its row stored, one that loses its permit
/// an empty row; the others keep their rows. An entry that is not stored is zero.
fn bonds(input: &EpochInput, output: &EpochOutput, expected: &Expected) -> Result<(), TestCaseError> {
    prop_assert_eq!(output.bonds.len(), expected.bonds.len(), "bonds: one row a uid");
    for (uid, (row, expected)) in output.bonds.iter().zip(&expected.bonds).enumerate() {
        let held = input.permits[uid] || input.owner_uid.map(usize::from) == Some(uid);
        match (output.permits[uid], held, row) {
            (true, _, Some(row)) => {
                let stored = dense(row, expected.len());
                integers(&format!("bonds of uid {uid} on"), 65535.0, stored.into_iter(), expected)?;
            }
            (false, true, Some(row)) => {
                prop_assert!(row.is_empty(), "bonds of uid {uid}, which loses its permit")
            }
            (false, false, None) => (),
            (next, now, _) => prop_assert!(false, "uid {uid}, permit now {now}, next {next}: bonds {row:?}"),
        }
    }
    Ok(())
}

fn dense(row: &SparseRow, n: usize) -> Vec<u64> {
    let mut values = vec![0; n];
    for &(uid, value) in row {
        values[usize::from(uid)] = u64::from(value);
    }
    values
}

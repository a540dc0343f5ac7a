use super::*;
use proptest::prelude::*;

fn improvements(before: &[f64], after: &[f64]) -> Improvements {
    Improvements::between(before, after).unwrap()
}

/// Returns an evaluation in which the improvements of single sequences are those given.
fn evaluation(assigned: &[f64], unassigned: &[f64]) -> Evaluation {
    let batch = |of: &[f64]| {
        improvements(&vec![4.0; of.len()], &of.iter().map(|i| 4.0 * (1.0 - i)).collect::<Vec<_>>())
    };
    let (common, own) = unassigned.split_at(unassigned.len() / 2);
    Evaluation {
        assigned: batch(assigned),
        common: batch(common),
        own: batch(own),
        share: Millionths::ONE,
        overlap: Overlap::default(),
    }
}

#[test]
fn improvements_are_relative_to_each_sequence() {
    let found = improvements(&[4.0, 8.0], &[3.0, 7.0]);
    assert_eq!(found, Improvements { count: 2, sum: 0.375, squares: 0.078_125 });
    assert_eq!(found.mean(), 0.1875);
    // The variance of 0.25 and 0.125 is 1/128, that of their mean half of it.
    assert_eq!(found.squared_error(), 1.0 / 256.0);
}

#[test]
fn training_shows_as_a_margin_in_standard_errors() {
    let judgement =
        evaluation(&[0.25, 0.125, 0.25, 0.125], &[0.0625, 0.03125, 0.0625, 0.03125]).judge().unwrap();
    assert_eq!(judgement.improvement, 0.046_875);
    let (assigned, unassigned) = (0.0625f64.powi(2) / 3.0, 0.015_625f64.powi(2) / 3.0);
    let expected = (0.1875 - 0.046_875) / (assigned + unassigned).sqrt();
    assert!((judgement.margin - expected).abs() < 1e-9, "{} {expected}", judgement.margin);
}

#[test]
fn an_update_that_helps_only_its_own_data_is_no_success() {
    for unassigned in [[0.0, 0.0], [-0.1, 0.05], [-1e100, -1e100]] {
        assert_eq!(evaluation(&[0.5, 0.4], &unassigned).judge(), Err(Fault::NoImprovement));
    }
    assert!(evaluation(&[-0.5, -0.4], &[0.0, 1e-9]).judge().unwrap().margin < 0.0);
}

#[test]
fn without_spread_or_sequences_there_is_no_evidence() {
    assert_eq!(evaluation(&[0.5, 0.5], &[0.25, 0.25]).judge().unwrap().margin, 0.0);
    let mut single = evaluation(&[0.5, 0.25], &[0.25, 0.25]);
    single.assigned = improvements(&[4.0], &[3.0]);
    assert_eq!(single.judge().unwrap().margin, 0.0);
    let none = Evaluation { common: Improvements::default(), own: Improvements::default(), ..single };
    assert_eq!(none.judge(), Err(Fault::NoImprovement));
}

#[test]
fn losses_after_the_step_are_the_miners_business() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut evaluation = evaluation(&[0.5, 0.4], &[0.1, 0.2]);
        evaluation.own = improvements(&[4.0, 4.0], &[3.0, bad]);
        assert_eq!(evaluation.judge(), Err(Fault::LossNotFinite), "{bad}");
    }
    let missing = improvements(&[4.0, 4.0], &[3.0]);
    assert!(missing.sum.is_nan());
}

#[test]
fn losses_before_it_are_the_validators() {
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let error = Improvements::between(&[4.0, bad], &[3.0, 3.0]).unwrap_err();
        assert_eq!(error.sequence, 1);
        assert!(error.to_string().ends_with("it must be finite and above 0"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_measurement_makes_a_judgement_that_is_no_number(bits in prop::array::uniform6(any::<u64>()), counts in prop::array::uniform3(any::<u32>())) {
        let number = |index: usize| f64::from_bits(bits[index]);
        let batch = |index: usize| {
            Improvements { count: counts[index], sum: number(2 * index), squares: number(2 * index + 1) }
        };
        let evaluation = Evaluation {
            assigned: batch(0), common: batch(1), own: batch(2),
            share: Millionths::ONE, overlap: Overlap::default(),
        };
        if let Ok(judgement) = evaluation.judge() {
            prop_assert!(judgement.improvement > 0.0 && judgement.margin.is_finite());
        }
    }
}

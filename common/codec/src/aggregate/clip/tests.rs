use super::*;
use proptest::prelude::*;

#[test]
fn medians_are_the_lower_ones() {
    assert_eq!(lower_median([5.0, 10.0, 1.0].into_iter()), 5.0);
    assert_eq!(lower_median([4.0, 3.0, 2.0, 1.0].into_iter()), 2.0);
    assert_eq!(lower_median([].into_iter()), 0.0);
}

#[test]
fn the_reference_moves_slowly_and_does_not_stick() {
    for last in [None, Some((0.0, 0.0)), Some((3.0, 0.0))] {
        assert_eq!(reference(5.0, last, 9.0, 1.1), 5.0);
        assert_eq!(reference(5.0, last, 4.0, 1.1), 4.0);
        assert_eq!(reference(0.0, last, 4.0, 1.1), 4.0);
    }
    assert_eq!(reference(5.0, Some((4.0, 4.0)), 0.1, 1.25), 5.0);
    // Growth is bounded by the last median or reference, the larger one.
    assert_eq!(reference(5.0, Some((2.0, 2.0)), 0.1, 1.5), 3.0);
    assert_eq!(reference(5.0, Some((2.0, 4.0)), 0.1, 1.125), 4.5);
    assert_eq!(reference(5.0, Some((4.0, 1.0)), 0.1, 1.125), 4.5);
    // The fall is bounded by the last reference alone.
    assert_eq!(reference(5.0, Some((100.0, 5.5)), 0.1, 1.5), 5.0);
    assert_eq!(reference(5.0, Some((100.0, 30.0)), 0.1, 1.5), 20.0);
    assert_eq!(reference(0.0, Some((0.0, 30.0)), 0.1, 1.5), 20.0);
}

/// Returns the references of windows with these medians.
fn references(medians: &[f64], growth: f64) -> Vec<f64> {
    let mut last = None;
    let mut next = |&median: &f64| {
        let reference = reference(median, last, f64::MAX, growth);
        last = Some((median, reference));
        reference
    };
    medians.iter().map(&mut next).collect()
}

#[test]
fn a3_a_majority_of_tiny_updates_cannot_pull_the_reference_to_nothing() {
    // Honest norms, then five windows in which the median is almost zero, then honest norms again.
    let medians = [&[1.0; 3][..], &[1e-9; 5], &[1.0; 3]].concat();
    let references = references(&medians, 1.1);
    assert_eq!(references[..3], [1.0; 3]);
    for (windows, &reference) in (1..).zip(&references[3..8]) {
        assert!((reference * 1.1f64.powi(windows) - 1.0).abs() < 1e-12, "{windows} {reference}");
    }
    // One window later honest updates are clipped as before.
    assert!(references[8] > 0.68 && references[9] == 1.0, "{references:?}");
}

#[test]
fn a_tiny_first_window_and_a_warm_up_hold_the_reference_down_for_one_window() {
    assert_eq!(references(&[1e-9, 1.0, 1.0], 1.1), [1e-9, 1.1 * 1e-9, 1.0]);
    let rising: Vec<f64> = (1..20).map(f64::from).collect();
    for (window, &reference) in references(&rising, 1.1).iter().enumerate().skip(1) {
        assert_eq!(reference, rising[window].min(1.1 * rising[window - 1]));
    }
}

proptest! {
    #[test]
    fn the_reference_is_bounded_both_ways(
        medians in prop::collection::vec(prop_oneof![Just(0.0), 1e-12..1e12f64, 0.5..2.0f64], 1..20),
        growth in 1.0..3.0f64,
    ) {
        let references = references(&medians, growth);
        prop_assert_eq!(references[0], if medians[0] > 0.0 { medians[0] } else { f64::MAX });
        for at in 1..medians.len() {
            let (before, reference) = (references[at - 1], references[at]);
            if before > 0.0 {
                prop_assert!(reference >= before / growth);
                prop_assert!(reference <= growth * before.max(medians[at - 1]));
                prop_assert!(reference <= medians[at] || reference == before / growth);
                prop_assert!(reference >= medians[at] || reference == growth * before.max(medians[at - 1]));
            }
        }
    }
}

#[test]
fn only_longer_updates_are_clipped() {
    assert_eq!(factor(10.0, 5.0), 0.5);
    assert_eq!(factor(1.0, 5.0), 1.0);
    assert_eq!((factor(0.0, 5.0), factor(0.0, 0.0)), (1.0, 1.0));
    assert_eq!(factor(3.0, 1.0), (1.0f64 / 3.0) as f32);
}

#[test]
fn norms_come_back_and_others_are_refused() {
    let norms = StepNorms { medians: vec![0.0, 1.5, 1e-300], references: vec![2.0, 0.0, 1e300] };
    let mut writer = Writer::new();
    norms.write(&mut writer);
    let bytes = writer.into_bytes();
    assert_eq!(StepNorms::read(&mut Reader::new(&bytes), 3), Ok(norms));
    assert!(StepNorms::read(&mut Reader::new(&bytes), 2).is_err());
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        for (medians, references) in [(vec![wrong], vec![1.0]), (vec![1.0], vec![wrong])] {
            let mut writer = Writer::new();
            StepNorms { medians, references }.write(&mut writer);
            let refused = StepNorms::read(&mut Reader::new(&writer.into_bytes()), 1).unwrap_err();
            assert!(refused.to_string().contains("a norm is finite and not negative"), "{refused}");
        }
    }
}

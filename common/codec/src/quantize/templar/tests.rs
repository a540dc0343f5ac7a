use super::*;
use proptest::prelude::*;

fn parts(values: &[f32]) -> ([f32; 4], Vec<u8>) {
    match quantize(values, 1) {
        Values::Templar { levels, codes } => (levels, codes),
        other => panic!("{other:?}"),
    }
}

/// Compares with a vector made by running Templar's `compress.py` under torch 2.8.0.
#[test]
fn golden_vector_of_templar() {
    let values = [-4.0, -2.5, -1.5, 1.5, 2.0, 3.0, -3.5, 5.0];
    assert_eq!(statistics(&values, 1), (0.0, 4.974_937_4));
    assert_eq!(f64::from(statistics(&values, 1).1), 4.974_937_438_964_844);
    let (levels, codes) = parts(&values);
    assert_eq!(codes, [1, 1, 2, 2, 2, 3, 1, 3]);
    let lookup = [0.0, -3.333_333_253_860_473_6, 0.666_666_686_534_881_6, 4.0];
    assert_eq!(levels.map(f64::from), lookup);
}

#[test]
fn bins_are_those_of_rounding_to_even() {
    for step in -40..=40 {
        let centred = step as f32 / 8.0;
        let expected = (centred / 1.0 + 2.0).round_ties_even().clamp(0.0, 3.0) as u8;
        assert_eq!(code(centred, 1.0), expected, "{centred}");
    }
    assert_eq!(
        [f32::NEG_INFINITY, f32::MIN, f32::MAX, f32::INFINITY].map(|value| code(value, 0.5)),
        [0, 0, 3, 3]
    );
}

#[test]
fn zeros_all_have_code_2_and_decode_to_zero() {
    assert_eq!(statistics(&[0.0; 64], 1), (0.0, 1.0));
    assert_eq!(parts(&[0.0; 64]), ([0.0; 4], vec![2; 64]));
    assert_eq!(parts(&[3.0]), ([3.0; 4], vec![2]), "one value has no deviation");
    assert_eq!(parts(&[]), ([0.0; 4], vec![]));
}

proptest! {
    #[test]
    fn levels_are_means_of_their_bins(values in proptest::collection::vec(-1.0f32..1.0, 2..200)) {
        let (levels, codes) = parts(&values);
        let shift = f64::from(statistics(&values, 1).0);
        for (bin, level) in levels.iter().enumerate() {
            let members: Vec<f64> = values
                .iter()
                .zip(&codes)
                .filter(|(_, code)| usize::from(**code) == bin)
                .map(|(&value, _)| f64::from(value))
                .collect();
            let mean = members.iter().sum::<f64>() / members.len() as f64;
            let expected = if members.is_empty() { shift } else { mean };
            prop_assert!((f64::from(*level) - expected).abs() < 1e-6, "{level} {expected}");
        }
    }
}

//! Templar's quantizer: four uniform bins of 1.5 standard deviations over a whole tensor, decoded as their means.
//!
//! Sums are taken in f64 in the order of the values and rounded to f32 once, where Templar's depend on the machine's
//! vector width; everything after them is the same f32 arithmetic.

use super::Values;

/// Bins, and the number of standard deviations that they cover together.
const BINS: f32 = 4.0;
const RANGE: f32 = 6.0;

/// Quantizes the values that are sent of a tensor.
pub(super) fn quantize(values: &[f32]) -> Values {
    let (shift, scale) = statistics(values);
    let mut sums = [(0.0f64, 0u32); 4];
    let codes = values.iter().map(|value| {
        let centred = value - shift;
        let code = code(centred, scale);
        let (sum, count) = &mut sums[usize::from(code)];
        *sum += f64::from(centred);
        *count += 1;
        code
    });
    let codes = codes.collect();
    Values::Templar { levels: sums.map(|(sum, count)| mean(sum, count.into()) + shift), codes }
}

/// The mean of the values and the width of a bin.
fn statistics(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f64;
    let shift = mean(values.iter().fold(0.0, |sum, &value| sum + f64::from(value)), count);
    let squares = values.iter().fold(0.0, |sum, value| {
        let centred = f64::from(value - shift);
        sum + centred * centred
    });
    let deviation = squares.sqrt() as f32 / (count - 1.0).sqrt() as f32;
    let scale = RANGE * deviation / BINS;
    (shift, if scale.is_finite() && scale != 0.0 { scale } else { 1.0 })
}

/// The bin of a centred value: ties of the rounding go to the even number, as in torch.
fn code(centred: f32, scale: f32) -> u8 {
    (centred / scale + BINS / 2.0).round_ties_even().clamp(0.0, BINS - 1.0) as u8
}

/// A mean; 0 of nothing.
fn mean(sum: f64, count: f64) -> f32 {
    if count == 0.0 { 0.0 } else { (sum / count) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(values: &[f32]) -> ([f32; 4], Vec<u8>) {
        match quantize(values) {
            Values::Templar { levels, codes } => (levels, codes),
            other => panic!("{other:?}"),
        }
    }

    /// Made by running Templar's `compress.py` under torch 2.8.0.
    #[test]
    fn golden_vector_of_templar() {
        let values = [-4.0, -2.5, -1.5, 1.5, 2.0, 3.0, -3.5, 5.0];
        assert_eq!(statistics(&values), (0.0, 4.974_937_4));
        assert_eq!(f64::from(statistics(&values).1), 4.974_937_438_964_844);
        let (levels, codes) = parts(&values);
        assert_eq!(codes, [1, 1, 2, 2, 2, 3, 1, 3]);
        let lookup = [0.0, -3.333_333_253_860_473_6, 0.666_666_686_534_881_6, 4.0];
        assert_eq!(levels.map(f64::from), lookup);
    }

    #[test]
    fn zeros_all_have_code_2_and_decode_to_zero() {
        assert_eq!(statistics(&[0.0; 64]), (0.0, 1.0));
        assert_eq!(parts(&[0.0; 64]), ([0.0; 4], vec![2; 64]));
        assert_eq!(parts(&[3.0]), ([3.0; 4], vec![2]), "one value has no deviation");
        assert_eq!(parts(&[]), ([0.0; 4], vec![]));
    }

    proptest! {
        #[test]
        fn levels_are_means_of_their_bins(values in proptest::collection::vec(-1.0f32..1.0, 2..200)) {
            let (levels, codes) = parts(&values);
            let shift = f64::from(statistics(&values).0);
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
}

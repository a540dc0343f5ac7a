//! Quantizes each value to its sign, with one magnitude per chunk: the mean of the chunk's
//! magnitudes. This mean has the least squared error of all single magnitudes (signSGD with a
//! scale, Karimireddy et al. 2019, there for whole tensors). Values that error feedback sends have
//! piled up below the threshold of selection, so they are nearly of one magnitude.
//!
//! A magnitude is written in 8 bits as a share of the tensor's scale ([`Ratio`]). A chunk of 64
//! values thus costs 0.125 bits per value on top of its signs.

use super::{PIECE, Ratio, Values, ratio};
use crate::threads::for_each;

/// The number of partial sums: every eighth value goes to the same one. Vectors add them side by side.
const LANES: usize = 8;

/// Quantizes the values that are sent of a tensor, `sent` of each chunk, on `threads` threads.
pub(super) fn quantize(sent: usize, values: &[f32], threads: usize) -> Values {
    let sent = sent.max(1);
    let chunks = values.len() / sent;
    let piece = PIECE.div_ceil(sent);
    let mut means = vec![0.0; chunks];
    let mut codes = vec![0; values.len()];
    let written = means.chunks_mut(piece).zip(codes.chunks_mut(piece * sent));
    for_each(
        values.chunks(piece * sent).zip(written),
        threads,
        || (),
        |(), (values, (means, codes))| {
            for (chunk, mean) in values.chunks_exact(sent).zip(means) {
                *mean = self::mean(chunk);
            }
            for (value, code) in values.iter().zip(codes) {
                *code = u8::from(value.is_sign_negative());
            }
        },
    );
    let base = ratio::base(means.iter().copied());
    let magnitudes = means.into_iter().map(|mean| Ratio::of(mean, base)).collect();
    Values::Sign { base, magnitudes, codes }
}

impl Ratio {
    /// Returns the magnitude that this share of a tensor's scale is.
    #[must_use]
    pub fn magnitude(self, base: f32) -> f32 {
        self.value() * base
    }

    /// Returns the decoded values of the two codes of a chunk of this magnitude, for the tensor's
    /// scale `base`. The other two entries are unused.
    #[must_use]
    pub fn signs(self, base: f32) -> [f32; 4] {
        let magnitude = self.magnitude(base);
        [magnitude, -magnitude, 0.0, 0.0]
    }
}

/// Returns the mean of the magnitudes of a chunk: the sum of every eighth magnitude in order, then
/// the sum of these sums.
fn mean(chunk: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = chunk.as_chunks::<LANES>();
    for values in whole {
        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += f64::from(value.abs()));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, value)| *lane += f64::from(value.abs()));
    lanes.iter().sum::<f64>() / chunk.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(sent: usize, values: &[f32]) -> (f32, Vec<Ratio>, Vec<u8>) {
        let quantized = quantize(sent, values, 1);
        quantized.check(values.len() / sent).unwrap();
        match quantized {
            Values::Sign { base, magnitudes, codes } => (base, magnitudes, codes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn signs_and_means_come_back() {
        let values = [3.0, -5.0, 2.0, -2.0, 0.0, -1.0];
        let (base, magnitudes, codes) = parts(2, &values);
        assert_eq!(codes, [0, 1, 0, 1, 0, 1]);
        let expected = [[4.0, -4.0, 0.0, 0.0], [2.0, -2.0, 0.0, 0.0], [0.5, -0.5, 0.0, 0.0]];
        assert_eq!(magnitudes.iter().map(|&share| share.signs(base)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn extremes_are_finite() {
        assert_eq!(parts(4, &[0.0, -0.0, 0.0, 0.0]), (0.0, vec![Ratio(0)], vec![0, 1, 0, 0]));
        let denormal = f32::from_bits(1);
        let (base, magnitudes, _) = parts(2, &[denormal, -denormal]);
        assert_eq!(magnitudes[0].signs(base), [denormal, -denormal, 0.0, 0.0]);
        let (base, magnitudes, _) = parts(1, &[f32::MAX, f32::MIN]);
        assert!(magnitudes.iter().all(|&share| share == Ratio(255) && share.signs(base)[0] > 0.9 * f32::MAX));
        assert_eq!(parts(1, &[]), (0.0, vec![], vec![]));
    }

    proptest! {
        #[test]
        fn magnitudes_are_means_to_a_thirtysecond(values in proptest::collection::vec(0.5f32..1.0, 21 * 3), signs: u64) {
            let sign = |at: usize| if signs >> (at % 64) & 1 == 0 { 1.0 } else { -1.0 };
            let values: Vec<f32> = values.iter().enumerate().map(|(at, value)| value * sign(at)).collect();
            let (base, magnitudes, codes) = parts(21, &values);
            for (chunk, &magnitude) in values.chunks(21).zip(&magnitudes) {
                let mean = chunk.iter().map(|value| value.abs()).sum::<f32>() / 21.0;
                prop_assert!((magnitude.signs(base)[0] - mean).abs() <= mean / 31.0);
            }
            for (value, code) in values.iter().zip(codes) {
                prop_assert_eq!(value.is_sign_negative(), code == 1);
            }
        }
    }
}

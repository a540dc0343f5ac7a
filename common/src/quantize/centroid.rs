//! A sign and one of two magnitudes per chunk. The two are the best ones: of all ways to part the chunk's magnitudes
//! into small and large, the means of the one with the least squared error.
//!
//! A magnitude is written in 8 bits as a share of the tensor's scale ([`Ratio`]), so a chunk of 64 values costs 0.25
//! bits per value on top of its 2-bit codes.

use super::Values;

/// A share of a tensor's scale in 8 bits: 0, or `(16 + m) 2^(e - 20)` with 4 bits of `m` below 4 bits of `e`; the step
/// is at most 1/16, so the error at most 1/32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub u8);

/// The two magnitudes of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CentroidChunk {
    /// The magnitude of small values.
    pub small: Ratio,
    /// The magnitude of large values, at least that of small ones.
    pub large: Ratio,
}

/// Added to a code for the larger magnitude.
const LARGE: u8 = 1;
/// Added to a code for a negative sign.
const NEGATIVE: u8 = 2;

impl Ratio {
    /// The share, exact: it has 5 significant bits.
    #[must_use]
    pub fn value(self) -> f32 {
        let (exponent, mantissa) = (self.0 >> 4, self.0 & 15);
        if self.0 == 0 {
            return 0.0;
        }
        let power = f32::from_bits((127 + u32::from(exponent) - 20) << 23);
        f32::from(16 + mantissa) * power
    }

    /// The share nearest to a number; the smaller of two that are as near.
    #[must_use]
    pub fn nearest(share: f64) -> Self {
        let (mut low, mut high) = (0u8, u8::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            if f64::from(Self(middle).value()) < share {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let below = Self(low.saturating_sub(1));
        let (down, up) = (share - f64::from(below.value()), f64::from(Self(low).value()) - share);
        if down <= up { below } else { Self(low) }
    }
}

impl CentroidChunk {
    /// Whether the large magnitude is not the smaller one.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.small <= self.large
    }

    /// What the four codes stand for, with the tensor's scale.
    #[must_use]
    pub fn levels(&self, base: f32) -> [f32; 4] {
        let (small, large) = (self.small.value() * base, self.large.value() * base);
        [small, large, -small, -large]
    }
}

/// Quantizes the values that are sent of a tensor, `sent` of each chunk.
pub(super) fn quantize(sent: usize, values: &[f32]) -> Values {
    let mut magnitudes = Vec::with_capacity(sent);
    let chunks = || values.chunks_exact(sent.max(1));
    let centroids: Vec<[f64; 2]> = chunks().map(|chunk| centroids(chunk, &mut magnitudes)).collect();
    let base = base(&centroids);
    let scales: Vec<CentroidChunk> = centroids.iter().map(|pair| scales(*pair, base)).collect();
    let mut codes = Vec::with_capacity(values.len());
    for (chunk, scales) in chunks().zip(&scales) {
        let [small, large, ..] = scales.levels(base).map(f64::from);
        let middle = (small + large) / 2.0;
        codes.extend(chunk.iter().map(|value| code(*value, middle)));
    }
    Values::SignCentroid { base, scales, codes }
}

/// The means of the small and of the large magnitudes of a chunk, parted for the least squared error.
fn centroids(chunk: &[f32], magnitudes: &mut Vec<f32>) -> [f64; 2] {
    magnitudes.clear();
    magnitudes.extend(chunk.iter().map(|value| value.abs()));
    magnitudes.sort_unstable_by(f32::total_cmp);
    let total = magnitudes.iter().fold(0.0, |sum, &value| sum + f64::from(value));
    let count = magnitudes.len() as f64;
    let mut best = (total * total / count, [total / count; 2]);
    let mut below = 0.0;
    for (split, &magnitude) in magnitudes.iter().enumerate().take(magnitudes.len() - 1) {
        below += f64::from(magnitude);
        let (small, large) = (split as f64 + 1.0, count - split as f64 - 1.0);
        let above = total - below;
        // The squared error is the sum of all squares minus this.
        let gain = below * below / small + above * above / large;
        if gain > best.0 {
            best = (gain, [below / small, above / large]);
        }
    }
    best.1
}

/// The tensor's scale: such that the largest share, 31/32, is its largest magnitude.
fn base(centroids: &[[f64; 2]]) -> f32 {
    let largest = centroids.iter().fold(0.0f64, |most, [_, large]| most.max(*large));
    ((largest * 32.0 / 31.0) as f32).min(f32::MAX)
}

/// A chunk's magnitudes as shares of the scale.
fn scales(centroids: [f64; 2], base: f32) -> CentroidChunk {
    if base == 0.0 {
        return CentroidChunk::default();
    }
    let [small, large] = centroids.map(|centroid| Ratio::nearest(centroid / f64::from(base)));
    CentroidChunk { small: small.min(large), large }
}

/// The code of a value: the magnitude that is nearer, with the value's sign.
fn code(value: f32, middle: f64) -> u8 {
    let large = u8::from(f64::from(value.abs()) > middle) * LARGE;
    large + u8::from(value.is_sign_negative()) * NEGATIVE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values as decoded.
    fn decoded(sent: usize, values: &[f32]) -> Vec<f32> {
        let quantized = quantize(sent, values);
        quantized.check(values.len() / sent).unwrap();
        let Values::SignCentroid { codes, .. } = &quantized else { panic!("{quantized:?}") };
        let level = |at: usize| quantized.levels(at / sent).unwrap()[usize::from(codes[at])];
        (0..values.len()).map(level).collect()
    }

    #[test]
    fn shares_rise_and_are_exact() {
        let shares: Vec<f32> = (0..=255).map(|share| Ratio(share).value()).collect();
        assert!(shares.is_sorted_by(|a, b| a < b));
        assert_eq!((shares[0], shares[1], shares[255]), (0.0, 17.0 / 1_048_576.0, 31.0 / 32.0));
        for share in 0..=255 {
            assert_eq!(Ratio::nearest(Ratio(share).value().into()), Ratio(share));
        }
        assert_eq!(Ratio::nearest(2.0), Ratio(255));
        assert_eq!(Ratio::nearest(0.0), Ratio(0));
    }

    #[test]
    fn two_magnitudes_come_back() {
        let values = [1.0, -1.0, 3.0, 1.0, -3.0, 1.0, -1.0, 3.0];
        for (value, decoded) in values.iter().zip(decoded(8, &values)) {
            assert!((value - decoded).abs() <= value.abs() / 32.0, "{value} {decoded}");
        }
        assert_eq!(decoded(4, &[0.0, -0.0, 0.0, 0.0]), [0.0; 4]);
        assert_eq!(decoded(1, &[5.0, -5.0]), [5.0, -5.0]);
        let denormal = f32::from_bits(1);
        assert_eq!(decoded(2, &[denormal, denormal]), [denormal; 2]);
    }

    proptest! {
        #[test]
        fn no_other_parting_is_better(values in proptest::collection::vec(-4.0f32..4.0, 2..20)) {
            let [small, large] = centroids(&values, &mut Vec::new());
            let error = |centres: [f64; 2]| -> f64 {
                let distance = |value: &f32, centre: f64| (f64::from(value.abs()) - centre).powi(2);
                values.iter().map(|value| distance(value, centres[0]).min(distance(value, centres[1]))).sum()
            };
            let mut sorted: Vec<f64> = values.iter().map(|value| f64::from(value.abs())).collect();
            sorted.sort_by(f64::total_cmp);
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            for split in 1..sorted.len() {
                let other = [mean(&sorted[..split]), mean(&sorted[split..])];
                prop_assert!(error([small, large]) <= error(other) + 1e-9);
            }
        }

        #[test]
        fn signs_are_kept_and_magnitudes_near(values in proptest::collection::vec(0.5f32..1.0, 64 * 3), signs: u64) {
            let sign = |at: usize| if signs >> (at % 64) & 1 == 0 { 1.0 } else { -1.0 };
            let values: Vec<f32> = values.iter().enumerate().map(|(at, value)| value * sign(at)).collect();
            for (value, decoded) in values.iter().zip(decoded(64, &values)) {
                prop_assert!((value - decoded).abs() < 0.3, "{value} {decoded}");
                prop_assert_eq!(value.is_sign_negative(), decoded.is_sign_negative());
            }
        }
    }
}

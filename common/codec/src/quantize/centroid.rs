//! Quantizes each value to a sign and one of two magnitudes per chunk. The chunk's magnitudes are
//! split into small and large at one of [`BINS`] places. The two magnitudes are the means of the
//! split with the least squared error. The bins are even in the logarithm, so that few large values
//! among many do not spoil them. On values sent of bell-shaped data, the error is within 0.2 % of
//! the best of all splits.
//!
//! A magnitude is written in 8 bits as a share of the tensor's scale ([`Ratio`]). A chunk of 64
//! values thus costs 0.25 bits per value on top of its 2-bit codes.

use super::{PIECE, Ratio, Values, ratio};
use crate::threads::for_each;

/// The two magnitudes of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CentroidChunk {
    /// The magnitude of small values.
    pub small: Ratio,
    /// The magnitude of large values, at least that of small values.
    pub large: Ratio,
}

/// The number of bins of a chunk's magnitudes; a power of two.
const BINS: usize = 32;
/// The bits of a value without its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// The summand of a code for the larger magnitude.
const LARGE: u8 = 1;
/// The summand of a code for a negative sign.
const NEGATIVE: u8 = 2;

impl CentroidChunk {
    /// Returns whether the large magnitude is at least the small one.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.small <= self.large
    }

    /// Returns the decoded values of the four codes, for the tensor's scale `base`.
    #[must_use]
    pub fn levels(&self, base: f32) -> [f32; 4] {
        let (small, large) = (self.small.value() * base, self.large.value() * base);
        [small, large, -small, -large]
    }
}

/// Quantizes the values that are sent of a tensor, `sent` of each chunk, on `threads` threads.
pub(super) fn quantize(sent: usize, values: &[f32], threads: usize) -> Values {
    let sent = sent.max(1);
    let chunks = values.len() / sent;
    let piece = PIECE.div_ceil(sent);
    let pieces = || values.chunks(piece * sent);
    let mut centroids = vec![[0.0; 2]; chunks];
    for_each(
        pieces().zip(centroids.chunks_mut(piece)),
        threads,
        || (),
        |(), (values, centroids)| {
            for (chunk, centroids) in values.chunks_exact(sent).zip(centroids) {
                *centroids = self::centroids(chunk);
            }
        },
    );
    let base = ratio::base(centroids.iter().map(|[_, large]| *large));
    let mut scales = vec![CentroidChunk::default(); chunks];
    let mut codes = vec![0; values.len()];
    let written = scales.chunks_mut(piece).zip(codes.chunks_mut(piece * sent));
    for_each(
        pieces().zip(centroids.chunks(piece)).zip(written),
        threads,
        || (),
        |(), ((values, centroids), to)| {
            let chunks = values
                .chunks_exact(sent)
                .zip(centroids)
                .zip(to.0.iter_mut().zip(to.1.chunks_exact_mut(sent)));
            for ((chunk, centroids), (scale, codes)) in chunks {
                *scale = self::scales(*centroids, base);
                encode(chunk, *scale, base, codes);
            }
        },
    );
    Values::SignCentroid { base, scales, codes }
}

/// Returns the means of the small and of the large magnitudes of a chunk.
fn centroids(chunk: &[f32]) -> [f64; 2] {
    // Magnitudes have the same order as signed integers, which all vectors can compare.
    let magnitude = |value: &f32| (value.to_bits() & MAGNITUDE) as i32;
    let least =
        chunk.iter().map(magnitude).fold(i32::MAX, |least, key| if key < least { key } else { least });
    let most = chunk.iter().map(magnitude).fold(0, |most, key| if key > most { key } else { most });
    let range = (most - least.min(most)) as u32;
    let shift = (u32::BITS - range.leading_zeros()).saturating_sub(BINS.ilog2());
    let mut bins = Bins { counts: [0.0; BINS], sums: [0.0; BINS] };
    for value in chunk {
        let bin = (magnitude(value).wrapping_sub(least) >> shift) as usize % BINS;
        bins.counts[bin] += 1.0;
        bins.sums[bin] += f64::from(value.abs());
    }
    bins.part()
}

/// The number of magnitudes in each bin, and their sum.
struct Bins {
    counts: [f64; BINS],
    sums: [f64; BINS],
}

impl Bins {
    /// Returns the means of the small and of the large magnitudes, split between two bins. The
    /// split has the most variance between its parts, so the least squared error. If only one bin
    /// is used, returns the mean of all, twice.
    fn part(mut self) -> [f64; 2] {
        for bin in 1..BINS {
            self.counts[bin] += self.counts[bin - 1];
            self.sums[bin] += self.sums[bin - 1];
        }
        let (count, total) = (self.counts[BINS - 1], self.sums[BINS - 1]);
        let mut gains = [0.0; BINS];
        for ((gain, small), below) in gains.iter_mut().zip(self.counts).zip(self.sums) {
            let distance = below * count - total * small;
            let parts = small * (count - small);
            // An empty part gains nothing.
            *gain = distance * distance / if parts < 1.0 { f64::INFINITY } else { parts };
        }
        let mut best = None;
        let mut most = 0.0;
        for (bin, &gain) in gains.iter().enumerate() {
            if gain > most {
                (best, most) = (Some(bin), gain);
            }
        }
        let Some(bin) = best else { return [total / count; 2] };
        let (small, below) = (self.counts[bin], self.sums[bin]);
        [below / small, (total - below) / (count - small)]
    }
}

/// Converts a chunk's magnitudes to shares of the scale.
fn scales(centroids: [f64; 2], base: f32) -> CentroidChunk {
    let [small, large] = centroids.map(|centroid| Ratio::of(centroid, base));
    CentroidChunk { small: small.min(large), large }
}

/// Writes the codes of a chunk: the nearer magnitude (the smaller one on a tie), with the value's sign.
fn encode(chunk: &[f32], scale: CentroidChunk, base: f32, codes: &mut [u8]) {
    let [small, large, ..] = scale.levels(base).map(f64::from);
    let middle = (small + large) / 2.0;
    // `bound` is the largest f32 that is not above the middle. A value is above `bound` exactly if
    // it is above the middle.
    let nearest = middle as f32;
    let bound = if f64::from(nearest) > middle { nearest.next_down() } else { nearest };
    for (code, value) in codes.iter_mut().zip(chunk) {
        let (large, negative) = (u8::from(value.abs() > bound), u8::from(value.is_sign_negative()));
        *code = (large * LARGE) | (negative * NEGATIVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the decoded values.
    fn decoded(sent: usize, values: &[f32]) -> Vec<f32> {
        let quantized = quantize(sent, values, 1);
        quantized.check(values.len() / sent).unwrap();
        let Values::SignCentroid { codes, .. } = &quantized else { panic!("{quantized:?}") };
        let level = |at: usize| quantized.levels(at / sent).unwrap()[usize::from(codes[at])];
        (0..values.len()).map(level).collect()
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
        fn other_partings_are_hardly_better(values in proptest::collection::vec(1.0f32..4.0, 2..100)) {
            let [small, large] = centroids(&values);
            let error = |centres: [f64; 2]| -> f64 {
                let distance = |value: &f32, centre: f64| (f64::from(value.abs()) - centre).powi(2);
                values.iter().map(|value| distance(value, centres[0]).min(distance(value, centres[1]))).sum()
            };
            let mut sorted: Vec<f64> = values.iter().map(|value| f64::from(value.abs())).collect();
            sorted.sort_by(f64::total_cmp);
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let one = error([mean(&sorted); 2]);
            for split in 1..sorted.len() {
                let other = [mean(&sorted[..split]), mean(&sorted[split..])];
                prop_assert!(error([small, large]) <= error(other) + 0.05 * one + 1e-9);
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

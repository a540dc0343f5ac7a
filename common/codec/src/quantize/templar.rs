//! Implements Templar's quantizer: four uniform bins of 1.5 standard deviations over a whole
//! tensor, decoded as their means.
//!
//! Sums are computed in f64 in the fixed order of [`sum`], and rounded to f32 once. Templar's sums depend on
//! the machine's vector width. Everything after the sums is the same f32 arithmetic as Templar's.

use super::{PIECE, Values};
use crate::threads::for_each;

/// The number of bins, and the number of standard deviations that they cover together.
const BINS: f32 = 4.0;
const RANGE: f32 = 6.0;

/// The number of partial sums: every eighth value goes to the same one. Vectors add them side by side.
const LANES: usize = 8;

/// The sum and the number of the values in each bin.
type Bins = [(f64, u32); 4];

/// Quantizes the values that are sent of a tensor.
pub(super) fn quantize(values: &[f32], threads: usize) -> Values {
    let (shift, scale) = statistics(values, threads);
    let mut codes = vec![0; values.len()];
    let mut pieces = vec![Bins::default(); values.len().div_ceil(PIECE)];
    let items = values.chunks(PIECE).zip(codes.chunks_mut(PIECE)).zip(&mut pieces);
    for_each(
        items,
        threads,
        || (),
        |(), ((values, codes), bins)| *bins = encode(values, shift, scale, codes),
    );
    let bins = pieces.iter().fold(Bins::default(), add);
    Values::Templar { levels: bins.map(|(sum, count)| mean(sum, count.into()) + shift), codes }
}

/// Writes the codes of some values. Returns their bins.
fn encode(values: &[f32], shift: f32, scale: f32, codes: &mut [u8]) -> Bins {
    for (code, value) in codes.iter_mut().zip(values) {
        *code = self::code(value - shift, scale);
    }
    // Every fourth value has its own bins, so that an addition need not wait for the previous one.
    let mut lanes = [Bins::default(); 4];
    let add_to = |bins: &mut Bins, value: f32, code: u8| {
        let (sum, count) = &mut bins[usize::from(code & 3)];
        *sum += f64::from(value - shift);
        *count = count.wrapping_add(1);
    };
    let (values, last_values) = values.as_chunks::<4>();
    let (codes, last_codes) = codes.as_chunks::<4>();
    for (values, codes) in values.iter().zip(codes) {
        for lane in 0..4 {
            add_to(&mut lanes[lane], values[lane], codes[lane]);
        }
    }
    for (lane, (value, code)) in last_values.iter().zip(last_codes).enumerate() {
        add_to(&mut lanes[lane], *value, *code);
    }
    lanes.iter().fold(Bins::default(), add)
}

/// Adds two sets of bins.
fn add(bins: Bins, other: &Bins) -> Bins {
    std::array::from_fn(|bin| (bins[bin].0 + other[bin].0, bins[bin].1 + other[bin].1))
}

/// Returns the mean of the values and the width of a bin.
fn statistics(values: &[f32], threads: usize) -> (f32, f32) {
    let count = values.len() as f64;
    let shift = mean(sum(values, threads, f64::from), count);
    let squares = sum(values, threads, |value| {
        let centred = f64::from(value - shift);
        centred * centred
    });
    let deviation = squares.sqrt() as f32 / (count - 1.0).sqrt() as f32;
    let scale = RANGE * deviation / BINS;
    (shift, if scale.is_finite() && scale != 0.0 { scale } else { 1.0 })
}

/// Returns the sum of a function of all values: first over pieces of [`PIECE`] values, then over the pieces
/// in order. Within a piece, every eighth value is summed in order, then these sums in order.
fn sum(values: &[f32], threads: usize, term: impl Fn(f32) -> f64 + Sync) -> f64 {
    let mut pieces = vec![0.0; values.len().div_ceil(PIECE)];
    for_each(
        values.chunks(PIECE).zip(&mut pieces),
        threads,
        || (),
        |(), (values, total)| {
            let mut lanes = [0.0; LANES];
            let (whole, rest) = values.as_chunks::<LANES>();
            for values in whole {
                lanes.iter_mut().zip(values).for_each(|(lane, &value)| *lane += term(value));
            }
            lanes.iter_mut().zip(rest).for_each(|(lane, &value)| *lane += term(value));
            *total = lanes.iter().sum();
        },
    );
    pieces.iter().sum()
}

/// Returns the bin of a centred value. Rounding ties go to the even number, as in torch.
fn code(centred: f32, scale: f32) -> u8 {
    // At 2^23 adjacent f32 values are 1 apart, so adding it rounds to an integer. This also works
    // on machines without a rounding instruction.
    const WHOLE: f32 = 8_388_608.0;
    let bin = (centred / scale + BINS / 2.0).clamp(0.0, BINS - 1.0);
    (bin + WHOLE).to_bits() as u8 & 3
}

/// Returns the mean, or 0 if `count` is 0.
fn mean(sum: f64, count: f64) -> f32 {
    if count == 0.0 { 0.0 } else { (sum / count) as f32 }
}

#[cfg(test)]
mod tests;

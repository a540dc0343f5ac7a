//! Implements the loops of [`simd`](super::simd) without explicit vectors.

use super::{GROUPS, MAGNITUDE, ROW, choose::VECTOR};

/// Computes `e = beta e + delta`, each operation rounded once.
#[inline]
pub(super) fn accumulate(error: &mut [f32], delta: &[f32], beta: f32) {
    for (error, delta) in error.iter_mut().zip(delta) {
        let kept = beta * *error;
        *error = kept + delta;
    }
}

/// Returns a value's magnitude as an integer of the same order: positive floats are ordered like
/// their bits. The integer is less than 2^31, so it has the same order as a signed integer, which
/// all vectors can compare.
#[inline(always)]
pub(super) fn magnitude(value: f32) -> u32 {
    value.to_bits() & MAGNITUDE
}

/// Updates the largest magnitude of each group. The row's first value belongs to `group`.
#[inline]
pub(super) fn keep_largest(values: &[f32], group: usize, maxima: &mut [u32; GROUPS]) {
    let (first, rest) = values.split_at((GROUPS - group).min(values.len()));
    let keep = |(most, &value): (&mut u32, &f32)| *most = (*most as i32).max(magnitude(value) as i32) as u32;
    maxima[group..].iter_mut().zip(first).for_each(keep);
    maxima.iter_mut().zip(rest).for_each(keep);
}

/// Returns a bit for each value of a row: whether its magnitude is at least `bound`.
#[inline]
pub(super) fn at_least(values: &[f32; ROW], bound: u32) -> u64 {
    let mut bits = 0;
    for (at, &value) in values.iter().enumerate() {
        bits |= u64::from(magnitude(value) as i32 >= bound as i32) << at;
    }
    bits
}

/// Candidates of a row that are always written, even if there are fewer. This saves branches in
/// rows with few candidates.
const AHEAD: usize = 4;

/// Writes the numbers of the set bits, added to `first`. The positions after them are unspecified.
#[inline(always)]
pub(super) fn spread(mut bits: u64, first: u16, positions: &mut [u16; ROW]) {
    let mut write = |position: &mut u16| {
        *position = first | (bits.trailing_zeros() % 64) as u16;
        bits &= bits.wrapping_sub(1);
        bits != 0
    };
    let (ahead, rest) = positions.split_at_mut(AHEAD);
    let more = ahead.iter_mut().fold(false, |_, position| write(position));
    if more {
        for position in rest {
            if !write(position) {
                break;
            }
        }
    }
}

/// Returns how many keys are at least `bound`.
#[inline(always)]
pub(super) fn count(keys: &[[u32; VECTOR]], bound: u32) -> usize {
    let reached = |key: &u32| u32::from(*key as i32 >= bound as i32);
    keys.as_flattened().iter().map(reached).fold(0u32, u32::wrapping_add) as usize
}

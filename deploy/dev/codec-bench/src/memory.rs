//! Passes over memory that do as little as possible: what the codec's speed is compared with.

use crate::threads::for_parts;
use std::hint::black_box;

/// Values that are summed side by side, so that the sum does not wait for itself.
const LANES: usize = 64;

/// Reads all values once.
pub(crate) fn read(values: &[f32], threads: usize) {
    for_parts(values.chunks(part(values.len(), threads)), |values| {
        let mut sums = [0.0f32; LANES];
        for values in values.as_chunks::<LANES>().0 {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        black_box(sums);
    });
}

/// Copies all values.
pub(crate) fn copy(from: &[f32], to: &mut [f32], threads: usize) {
    let share = part(from.len(), threads);
    for_parts(from.chunks(share).zip(to.chunks_mut(share)), |(from, to)| to.copy_from_slice(from));
}

/// The momentum pass, `y = a y + x`: what any optimizer does at least.
pub(crate) fn momentum(y: &mut [f32], x: &[f32], a: f32, threads: usize) {
    let share = part(x.len(), threads);
    for_parts(y.chunks_mut(share).zip(x.chunks(share)), |(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = a * *y + x);
    });
}

/// How many values a thread's part has: whole cache lines.
fn part(values: usize, threads: usize) -> usize {
    values.div_ceil(threads.max(1)).next_multiple_of(16).max(16)
}

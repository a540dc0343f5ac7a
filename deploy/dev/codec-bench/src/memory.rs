//! Makes minimal passes over memory, to compare the codec's speed with.

use crate::threads::for_parts;
use std::hint::black_box;

/// The number of sums side by side, so that an addition does not wait for the previous one.
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

/// Makes the momentum pass, `y = a y + x`: the least that any optimizer does.
pub(crate) fn momentum(y: &mut [f32], x: &[f32], a: f32, threads: usize) {
    let share = part(x.len(), threads);
    for_parts(y.chunks_mut(share).zip(x.chunks(share)), |(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = a * *y + x);
    });
}

/// Returns the number of values of a thread's part: whole cache lines.
fn part(values: usize, threads: usize) -> usize {
    values.div_ceil(threads.max(1)).next_multiple_of(16).max(16)
}

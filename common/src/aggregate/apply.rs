//! The arithmetic of the outer step, chunk by chunk.

use super::{AggregateError, check_arithmetic};
use crate::{
    chunks::Geometry,
    sparse::{Aggregation, SparseSpec, SparseTensor},
};

/// An update and what its values are multiplied by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clipped<'a> {
    pub(super) tensor: &'a SparseTensor,
    pub(super) factor: f32,
}

/// What a thread needs for a chunk: the sum and the number of senders of each position, all zero between chunks.
struct Sums {
    sums: Vec<f32>,
    senders: Vec<u32>,
    /// A bit for each position that somebody sent.
    touched: Vec<u64>,
}

/// How a sum becomes a step.
#[derive(Clone, Copy)]
struct Rule {
    aggregation: Aggregation,
    /// Accepted submissions.
    accepted: u32,
    rate: f32,
}

/// Applies the updates, in their order, on so many threads.
pub(super) fn apply(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &[Clipped<'_>],
    threads: usize,
) -> Result<(), AggregateError> {
    let rule = Rule { aggregation: spec.aggregation, accepted: updates.len() as u32, rate: spec.outer_lr };
    // A band is a row of chunks, contiguous in memory: threads share nothing.
    let bands = parameters.len() / geometry.band().max(1);
    let share = bands.div_ceil(threads.max(1)).max(1);
    if share >= bands {
        return apply_bands(parameters, 0, geometry, rule, updates);
    }
    std::thread::scope(|scope| {
        let parts = parameters.chunks_mut(share * geometry.band()).enumerate();
        let spawned: Vec<_> = parts
            .map(|(part, values)| {
                scope.spawn(move || apply_bands(values, part * share, geometry, rule, updates))
            })
            .collect();
        spawned.into_iter().try_for_each(|part| part.join().expect("adding does not panic"))
    })
}

/// Applies the updates to the bands that `parameters` holds, from number `first` on.
fn apply_bands(
    parameters: &mut [f32],
    first: usize,
    geometry: &Geometry,
    rule: Rule,
    updates: &[Clipped<'_>],
) -> Result<(), AggregateError> {
    check_arithmetic()?;
    let mut sums = Sums::new(geometry.size());
    let chunks = parameters.len() / geometry.size();
    for chunk in 0..chunks {
        for update in updates {
            sums.add(update, first * geometry.across() + chunk);
        }
        let origin = geometry.origin(chunk);
        sums.drain(|position, sum, senders| {
            let parameter = &mut parameters[geometry.coordinate(origin, position)];
            let result = *parameter - rule.step(sum, senders);
            if result.is_finite() {
                *parameter = result;
            }
        });
    }
    Ok(())
}

impl Rule {
    /// What is subtracted from a parameter: two operations, each rounded.
    fn step(self, sum: f32, senders: u32) -> f32 {
        let divisor = match self.aggregation {
            Aggregation::Mean => self.accepted,
            Aggregation::SenderMean => senders,
            Aggregation::Shrunk(least) => senders.max(least),
        };
        sum / divisor as f32 * self.rate
    }
}

impl Sums {
    fn new(size: usize) -> Self {
        Self { sums: vec![0.0; size], senders: vec![0; size], touched: vec![0; size.div_ceil(64)] }
    }

    /// Adds what an update sends of a chunk.
    fn add(&mut self, update: &Clipped<'_>, chunk: usize) {
        update.tensor.visit_chunk(chunk, update.factor, |position, value| {
            let position = usize::from(position);
            self.sums[position] += value;
            self.senders[position] += 1;
            self.touched[position / 64] |= 1 << (position % 64);
        });
    }

    /// Calls `visit(position, sum, senders)` for each position that somebody sent, and forgets it.
    fn drain(&mut self, mut visit: impl FnMut(usize, f32, u32)) {
        for (word, bits) in self.touched.iter_mut().enumerate() {
            while *bits != 0 {
                let position = word * 64 + bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                let sum = std::mem::take(&mut self.sums[position]);
                visit(position, sum, std::mem::take(&mut self.senders[position]));
            }
        }
    }
}

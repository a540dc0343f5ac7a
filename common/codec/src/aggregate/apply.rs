//! The arithmetic of the outer step, chunk by chunk: all updates of a chunk are added before the next one, while its sums
//! are in the fastest cache.

use super::{AggregateError, check_arithmetic, sent::Sent};
use crate::{
    chunks::Geometry,
    sparse::{Aggregation, ChunkValues, SparseSpec},
    submission::GroupBuffer,
};

/// An update and what its values are multiplied by.
pub(super) struct Clipped<S> {
    pub(super) sent: S,
    pub(super) factor: f32,
}

/// From one value to so many positions of a chunk on, all positions are gone through instead of those that were sent.
const DENSE: usize = 8;

/// Values in a line of the cache.
const CACHE_LINE: usize = 16;

/// What a thread needs for a chunk, all zero between chunks.
struct Sums {
    /// The sum of what was sent of each position.
    sums: Vec<f32>,
    /// By how many it was sent; signed, as processors turn such numbers into floats faster.
    senders: Vec<i32>,
}

/// How a sum becomes a step.
#[derive(Clone, Copy)]
struct Rule {
    aggregation: Aggregation,
    /// Accepted submissions.
    accepted: f32,
    rate: f32,
}

/// The updates of a tensor, in their order.
pub(super) struct Updates<'a, S> {
    pub(super) clipped: &'a [Clipped<S>],
    /// Chunks that are decoded together.
    pub(super) chunks_per_group: usize,
}

/// Applies the updates on so many threads.
pub(super) fn apply<S: Sent>(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &Updates<'_, S>,
    threads: usize,
) -> Result<(), AggregateError> {
    let accepted = updates.clipped.len() as f32;
    let rule = Rule { aggregation: spec.aggregation, accepted, rate: spec.outer_lr };
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
fn apply_bands<S: Sent>(
    parameters: &mut [f32],
    first: usize,
    geometry: &Geometry,
    rule: Rule,
    updates: &Updates<'_, S>,
) -> Result<(), AggregateError> {
    check_arithmetic()?;
    let mut sums = Sums::new(geometry.size());
    let mut buffers: Vec<_> = updates.clipped.iter().map(|_| GroupBuffer::default()).collect();
    let before = first * geometry.across();
    let mut decoded = None;
    for chunk in 0..parameters.len() / geometry.size() {
        let number = before + chunk;
        let group = number / updates.chunks_per_group;
        if decoded.replace(group) != Some(group) {
            for (update, buffer) in updates.clipped.iter().zip(&mut buffers) {
                update.sent.decode(group, buffer)?;
            }
        }
        read_ahead(parameters, geometry, chunk + 1);
        let mut sent = 0;
        for (update, buffer) in updates.clipped.iter().zip(&buffers) {
            let (positions, values) = update.sent.chunk(number % updates.chunks_per_group, buffer);
            sent += positions.len();
            sums.add(positions, values, update.factor);
        }
        let origin = geometry.origin(chunk);
        match sent >= geometry.size() / DENSE {
            true => sums.step_all(parameters, geometry, origin, rule),
            false => updates.clipped.iter().zip(&buffers).for_each(|(update, buffer)| {
                let (positions, _) = update.sent.chunk(number % updates.chunks_per_group, buffer);
                sums.step(positions, parameters, geometry, origin, rule);
            }),
        }
    }
    Ok(())
}

/// Reads a line of the cache after the other of a chunk: its rows are too short, and too far from each other, for a
/// processor to see that they will be read.
fn read_ahead(parameters: &[f32], geometry: &Geometry, chunk: usize) {
    let origin = geometry.origin(chunk);
    let mut bits = 0;
    for row in 0..geometry.size() / geometry.width() {
        let row = parameters.get(geometry.row(origin, row)).unwrap_or_default();
        bits = row.iter().step_by(CACHE_LINE).fold(bits, |bits, value| bits ^ value.to_bits());
    }
    std::hint::black_box(bits);
}

impl Rule {
    /// What the sum of so many senders is divided by.
    #[inline]
    fn divisor(self, senders: i32) -> f32 {
        match self.aggregation {
            Aggregation::Mean => self.accepted,
            Aggregation::SenderMean => senders as f32,
            Aggregation::Shrunk(least) => (senders as f32).max(least as f32),
        }
    }
}

/// A parameter after the step along a sum: three operations, each rounded. It stays as it is where nobody sent anything and
/// where the result would not be finite.
#[inline]
fn stepped(parameter: f32, sum: f32, senders: i32, divisor: f32, rate: f32) -> f32 {
    let result = parameter - sum / divisor * rate;
    if (senders > 0) & result.is_finite() { result } else { parameter }
}

impl Sums {
    fn new(size: usize) -> Self {
        Self { sums: vec![0.0; size], senders: vec![0; size] }
    }

    /// Adds what an update sends of a chunk.
    #[inline]
    fn add(&mut self, positions: &[u16], values: ChunkValues<'_>, factor: f32) {
        values.visit(positions, factor, |position, value| {
            self.sums[usize::from(position)] += value;
            self.senders[usize::from(position)] += 1;
        });
    }

    /// Steps along what was sent of some positions of a chunk, and forgets it.
    fn step(
        &mut self,
        positions: &[u16],
        parameters: &mut [f32],
        geometry: &Geometry,
        origin: usize,
        rule: Rule,
    ) {
        for position in positions.iter().map(|&position| usize::from(position)) {
            let sum = std::mem::take(&mut self.sums[position]);
            // Not for a second time.
            let senders = std::mem::take(&mut self.senders[position]);
            let parameter = &mut parameters[geometry.coordinate(origin, position)];
            *parameter = stepped(*parameter, sum, senders, rule.divisor(senders), rule.rate);
        }
    }

    /// Steps along what was sent of any position of a chunk, and forgets it: the same as for those positions alone.
    fn step_all(&mut self, parameters: &mut [f32], geometry: &Geometry, origin: usize, rule: Rule) {
        let width = geometry.width();
        let rows = self.sums.chunks_exact_mut(width).zip(self.senders.chunks_exact_mut(width));
        for (row, (sums, senders)) in rows.enumerate() {
            let parameters = &mut parameters[geometry.row(origin, row)];
            // The rule is chosen outside of the loop over a row, so that there is one loop of plain arithmetic for each.
            match rule.aggregation {
                Aggregation::Mean => step_row(parameters, sums, senders, rule.rate, |_| rule.accepted),
                Aggregation::SenderMean => step_row(parameters, sums, senders, rule.rate, |n| n as f32),
                Aggregation::Shrunk(_) => {
                    step_row(parameters, sums, senders, rule.rate, |n| rule.divisor(n));
                }
            }
        }
    }
}

/// Steps along a row of a chunk, and forgets the sums.
#[inline]
fn step_row(
    parameters: &mut [f32],
    sums: &mut [f32],
    senders: &mut [i32],
    rate: f32,
    divisor: impl Fn(i32) -> f32,
) {
    for ((parameter, sum), senders) in parameters.iter_mut().zip(sums).zip(senders) {
        *parameter = stepped(*parameter, *sum, *senders, divisor(*senders), rate);
        (*sum, *senders) = (0.0, 0);
    }
}

//! Implements the arithmetic of the outer step, chunk by chunk: all updates of a chunk are added
//! before the next chunk, while its sums are in the fastest cache.

use super::{AggregateError, FullWork, check_arithmetic, update::Update};
use crate::{
    chunks::Geometry,
    sparse::{Aggregation, ChunkValues, SparseSpec},
    submission::GroupBuffer,
};

/// The largest number of positions per sent value for a dense step: with at least one sent value per this
/// many positions of a chunk, the step goes through all positions instead of the sent ones.
const DENSE: usize = 8;

/// Values per cache line.
const CACHE_LINE: usize = 16;

/// The buffers of a thread for one chunk, all zero between chunks.
struct Sums {
    /// The sum of the sent values of each position.
    sums: Vec<f32>,
    /// The weights of the senders of each position. Signed, since processors convert signed integers to
    /// floats faster.
    senders: Vec<i32>,
}

/// The rule that turns a sum into a step.
#[derive(Clone, Copy)]
struct Rule {
    aggregation: Aggregation,
    /// The weight of all accepted submissions, as a number of whole trainings.
    accepted: f32,
    /// The weight of a whole training.
    unit: f32,
    rate: f32,
}

/// The updates of a tensor, in their order.
pub(super) struct Updates<'a> {
    pub(super) of_tensor: &'a [Update<'a>],
    /// The number of chunks that are decoded together.
    pub(super) chunks_per_group: usize,
    /// The weight of a whole training.
    pub(super) unit: f32,
}

/// The weights of submissions, as counts of a unit. If all are whole trainings, each counts once: this saves
/// a division for each coordinate.
pub(super) struct Weights {
    pub(super) counts: Vec<i32>,
    /// The weight of a whole training.
    pub(super) unit: f32,
}

impl Weights {
    /// Creates the counts of weights in 256ths.
    pub(super) fn new(weights: &[u16]) -> Self {
        if weights.iter().all(|&weight| weight == FullWork::WHOLE) {
            return Self { counts: vec![1; weights.len()], unit: 1.0 };
        }
        let counts = weights.iter().map(|&weight| weight.into()).collect();
        Self { counts, unit: FullWork::WHOLE.into() }
    }
}

/// Applies the updates on `threads` threads.
pub(super) fn apply(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &Updates<'_>,
    threads: usize,
) -> Result<(), AggregateError> {
    let unit = updates.unit;
    let accepted = updates.of_tensor.iter().map(|update| update.count).sum::<i32>() as f32 / unit;
    let rule = Rule { aggregation: spec.aggregation, accepted, unit, rate: spec.outer_lr };
    // A band is a row of chunks, contiguous in memory, so threads share nothing.
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

/// Applies the updates to the bands in `parameters`, the first of which has the number `first`.
fn apply_bands(
    parameters: &mut [f32],
    first: usize,
    geometry: &Geometry,
    rule: Rule,
    updates: &Updates<'_>,
) -> Result<(), AggregateError> {
    check_arithmetic()?;
    let mut sums = Sums::new(geometry.size());
    let mut buffers: Vec<_> = updates.of_tensor.iter().map(|_| GroupBuffer::default()).collect();
    let before = first * geometry.across();
    let mut decoded = None;
    for chunk in 0..parameters.len() / geometry.size() {
        let number = before + chunk;
        let group = number / updates.chunks_per_group;
        if decoded.replace(group) != Some(group) {
            for (update, buffer) in updates.of_tensor.iter().zip(&mut buffers) {
                update.decode(group, buffer)?;
            }
        }
        read_ahead(parameters, geometry, chunk + 1);
        let mut sent = 0;
        for (update, buffer) in updates.of_tensor.iter().zip(&buffers) {
            let (positions, values) = update.chunk(number % updates.chunks_per_group, buffer);
            sent += positions.len();
            sums.add(positions, values, update.factor, update.count);
        }
        let origin = geometry.origin(chunk);
        if sent >= geometry.size() / DENSE {
            sums.step_all(parameters, geometry, origin, rule);
        } else {
            for (update, buffer) in updates.of_tensor.iter().zip(&buffers) {
                let (positions, _) = update.chunk(number % updates.chunks_per_group, buffer);
                sums.step(positions, parameters, geometry, origin, rule);
            }
        }
    }
    Ok(())
}

/// Reads the cache lines of a chunk one after another. The chunk's rows are too short, and too far
/// apart, for a processor to predict the reads.
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
    /// Returns the divisor for the sum of senders of this weight.
    #[inline]
    fn divisor(self, senders: i32) -> f32 {
        match self.aggregation {
            Aggregation::Mean => self.accepted,
            Aggregation::SenderMean => senders as f32 / self.unit,
            Aggregation::Shrunk(least) => (senders as f32 / self.unit).max(least as f32),
        }
    }
}

/// Returns a parameter after a step: three operations, each rounded. The parameter stays if it has
/// no sender, or if the result would not be finite.
#[inline]
fn stepped(parameter: f32, sum: f32, senders: i32, divisor: f32, rate: f32) -> f32 {
    let result = parameter - sum / divisor * rate;
    if (senders > 0) & result.is_finite() { result } else { parameter }
}

impl Sums {
    fn new(size: usize) -> Self {
        Self { sums: vec![0.0; size], senders: vec![0; size] }
    }

    /// Adds the values that an update sends of a chunk.
    #[inline]
    fn add(&mut self, positions: &[u16], values: ChunkValues<'_>, factor: f32, count: i32) {
        values.visit(positions, factor, |position, value| {
            self.sums[usize::from(position)] += value;
            self.senders[usize::from(position)] += count;
        });
    }

    /// Applies the sums of some positions of a chunk, and resets them.
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
            // Zero after the first visit, so a second visit changes nothing.
            let senders = std::mem::take(&mut self.senders[position]);
            let parameter = &mut parameters[geometry.coordinate(origin, position)];
            *parameter = stepped(*parameter, sum, senders, rule.divisor(senders), rule.rate);
        }
    }

    /// Applies the sums of all positions of a chunk, and resets them. The result is the same as
    /// with [`step`](Self::step) for the sent positions.
    fn step_all(&mut self, parameters: &mut [f32], geometry: &Geometry, origin: usize, rule: Rule) {
        let width = geometry.width();
        let rows = self.sums.chunks_exact_mut(width).zip(self.senders.chunks_exact_mut(width));
        for (row, (sums, senders)) in rows.enumerate() {
            let parameters = &mut parameters[geometry.row(origin, row)];
            // The rule is chosen outside the loop over a row, so that each rule has its own loop of
            // plain arithmetic.
            match rule.aggregation {
                Aggregation::Mean => step_row(parameters, sums, senders, rule.rate, |_| rule.accepted),
                Aggregation::SenderMean if rule.unit == 1.0 => {
                    step_row(parameters, sums, senders, rule.rate, |n| n as f32);
                }
                Aggregation::SenderMean | Aggregation::Shrunk(_) => {
                    step_row(parameters, sums, senders, rule.rate, |n| rule.divisor(n));
                }
            }
        }
    }
}

/// Applies the sums of a row of a chunk, and resets them.
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

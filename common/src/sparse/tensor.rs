//! What is sent of one tensor, decoded.

use crate::{
    chunks::Geometry,
    quantize::{CentroidChunk, Values},
};

/// The values that are sent of one tensor: as many of each chunk, with their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseTensor {
    /// Values of each chunk.
    pub(crate) sent: usize,
    /// Positions of the values in their chunks, chunk after chunk, ascending in each.
    pub(crate) positions: Vec<u16>,
    /// The values, in the same order.
    pub(crate) values: Values,
}

/// Why positions and values are no sparse tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseTensorError {
    /// Not as many positions or values as the tensor's chunks send.
    #[error("{found} {what} are given: {expected} are sent of this tensor")]
    Count {
        /// Positions, values or scales.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A position that is not after the one before it, or not in the chunk.
    #[error("position {position} of chunk {chunk} is out of order or outside of the chunk")]
    Position {
        /// The chunk.
        chunk: usize,
        /// The position.
        position: u16,
    },
    /// A value that no quantizer makes.
    #[error("the values are not what a quantizer makes: {0}")]
    Value(&'static str),
}

impl SparseTensor {
    /// A sparse tensor of known positions and values: of each chunk of `geometry`, `topk` values or all.
    ///
    /// # Errors
    /// Positions are not ascending in their chunks, counts are wrong, or values are not finite.
    pub fn new(
        geometry: &Geometry,
        topk: usize,
        positions: Vec<u16>,
        values: Values,
    ) -> Result<Self, SparseTensorError> {
        let sent = geometry.sent(topk);
        let expected = geometry.chunks() * sent;
        for (what, found) in [("positions", positions.len()), ("values", values.len())] {
            if found != expected {
                return Err(SparseTensorError::Count { what, found, expected });
            }
        }
        for (chunk, positions) in positions.chunks_exact(sent.max(1)).enumerate() {
            let falls = positions.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
            let outside = positions.last().copied().filter(|&last| usize::from(last) >= geometry.size());
            if let Some(position) = falls.or(outside) {
                return Err(SparseTensorError::Position { chunk, position });
            }
        }
        values.check(geometry.chunks())?;
        Ok(Self { sent, positions, values })
    }

    /// Values sent of each chunk.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.positions.len() / self.sent.max(1)
    }

    /// Positions of the values in their chunks, chunk after chunk.
    #[must_use]
    pub fn positions(&self) -> &[u16] {
        &self.positions
    }

    /// The values, chunk after chunk.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The positions of one chunk.
    #[must_use]
    pub fn chunk_positions(&self, chunk: usize) -> &[u16] {
        &self.positions[chunk * self.sent..(chunk + 1) * self.sent]
    }

    /// Calls `visit(position, value)` for each value of a chunk, each value multiplied by `factor` and rounded once.
    pub fn visit_chunk(&self, chunk: usize, factor: f32, mut visit: impl FnMut(u16, f32)) {
        let range = chunk * self.sent..(chunk + 1) * self.sent;
        let positions = self.positions[range.clone()].iter();
        match &self.values {
            Values::F32(values) => {
                positions.zip(&values[range]).for_each(|(&position, value)| visit(position, value * factor));
            }
            Values::Templar { codes, .. } | Values::SignCentroid { codes, .. } => {
                let levels = self.values.levels(chunk).unwrap_or_default().map(|level| level * factor);
                let codes = codes[range].iter();
                positions.zip(codes).for_each(|(&at, code)| visit(at, levels[usize::from(code & 3)]));
            }
        }
    }

    /// Calls `visit(coordinate, value)` for each value, in order.
    pub fn for_each(&self, geometry: &Geometry, mut visit: impl FnMut(usize, f32)) {
        for chunk in 0..self.chunks() {
            let origin = geometry.origin(chunk);
            self.visit_chunk(chunk, 1.0, |position, value| {
                visit(geometry.coordinate(origin, position.into()), value);
            });
        }
    }

    /// The sum of the squares of a chunk's values, in f64: from counts of the levels where values have levels, so that
    /// it does not depend on the order of the values.
    #[must_use]
    pub fn chunk_energy(&self, chunk: usize) -> f64 {
        let range = chunk * self.sent..(chunk + 1) * self.sent;
        match &self.values {
            Values::F32(values) => values[range].iter().fold(0.0, |sum, &value| sum + square(value)),
            Values::Templar { codes, .. } | Values::SignCentroid { codes, .. } => {
                let mut counts = [0u32; 4];
                codes[range].iter().for_each(|&code| counts[usize::from(code & 3)] += 1);
                let levels = self.values.levels(chunk).unwrap_or_default();
                let terms = counts.iter().zip(levels).map(|(&count, level)| f64::from(count) * square(level));
                terms.fold(0.0, |sum, term| sum + term)
            }
        }
    }

    /// The scales of a chunk, where chunks have their own.
    #[must_use]
    pub fn scales(&self, chunk: usize) -> Option<CentroidChunk> {
        match &self.values {
            Values::SignCentroid { scales, .. } => scales.get(chunk).copied(),
            Values::Templar { .. } | Values::F32(_) => None,
        }
    }
}

/// The square of an f32, exact in f64.
fn square(value: f32) -> f64 {
    f64::from(value) * f64::from(value)
}

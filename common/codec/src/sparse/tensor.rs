//! Holds the sent values of one tensor, decoded.

use crate::{chunks::Geometry, quantize::Values};

/// The values that are sent of one tensor, with their positions. Each chunk sends the same number of values.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseTensor {
    /// Values sent per chunk.
    pub(crate) sent: usize,
    /// The positions of the values in their chunks, chunk after chunk, ascending in each.
    pub(crate) positions: Vec<u16>,
    /// The values, in the same order.
    pub(crate) values: Values,
}

/// An error in the positions or values of a sparse tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseTensorError {
    /// The number of positions, values or scales does not fit the tensor's chunks.
    #[error("{found} {what} are given: this tensor sends {expected}")]
    Count {
        /// The counted thing: positions, values or scales.
        what: &'static str,
        /// The number given.
        found: usize,
        /// The number required.
        expected: usize,
    },
    /// A position is not after the previous one, or not in the chunk.
    #[error("position {position} of chunk {chunk} is out of order or outside of the chunk")]
    Position {
        /// The chunk.
        chunk: usize,
        /// The position.
        position: u16,
    },
    /// No quantizer produces such a value.
    #[error("no quantizer produces these values: {0}")]
    Value(&'static str),
}

impl SparseTensor {
    /// Creates a sparse tensor from positions and values. Each chunk of `geometry` has `topk`
    /// values, or all if it is smaller.
    ///
    /// # Errors
    /// Fails if positions are not ascending within their chunks, counts are wrong, or values are not finite.
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

    /// Returns the number of values sent per chunk.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Returns the number of chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.positions.len() / self.sent.max(1)
    }

    /// Returns the positions of the values in their chunks, chunk after chunk.
    #[must_use]
    pub fn positions(&self) -> &[u16] {
        &self.positions
    }

    /// Returns the values, chunk after chunk.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Returns the codes of the values, chunk after chunk, or an empty slice if the values have no codes.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        match &self.values {
            Values::Templar { codes, .. }
            | Values::SignCentroid { codes, .. }
            | Values::Sign { codes, .. } => codes,
            Values::F32(_) => &[],
        }
    }

    /// Returns the positions of one chunk.
    #[must_use]
    pub fn chunk_positions(&self, chunk: usize) -> &[u16] {
        &self.positions[chunk * self.sent..(chunk + 1) * self.sent]
    }

    /// Returns the values of one chunk.
    pub(crate) fn chunk_values(&self, chunk: usize) -> ChunkValues<'_> {
        let range = chunk * self.sent..(chunk + 1) * self.sent;
        match &self.values {
            Values::F32(values) => ChunkValues::Plain(&values[range]),
            Values::Sign { base, magnitudes, codes } => {
                ChunkValues::Signed(magnitudes[chunk].magnitude(*base), &codes[range])
            }
            Values::Templar { codes, .. } | Values::SignCentroid { codes, .. } => {
                ChunkValues::Coded(self.values.levels(chunk).unwrap_or_default(), &codes[range])
            }
        }
    }

    /// Calls `visit(position, value)` for each value of a chunk. Each value is multiplied by
    /// `factor` and rounded once.
    pub fn visit_chunk(&self, chunk: usize, factor: f32, visit: impl FnMut(u16, f32)) {
        self.chunk_values(chunk).visit(self.chunk_positions(chunk), factor, visit);
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
}

/// The encoded values of a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChunkValues<'a> {
    /// The decoded value of each code, and a code for each value.
    Coded([f32; 4], &'a [u8]),
    /// The magnitude of all values, and a code for each value: 1 for a negative one.
    Signed(f32, &'a [u8]),
    /// The unquantized values.
    Plain(&'a [f32]),
}

impl ChunkValues<'_> {
    /// Calls `visit(position, value)` for each value. Each value is multiplied by `factor` and rounded once.
    #[inline]
    pub(crate) fn visit(self, positions: &[u16], factor: f32, mut visit: impl FnMut(u16, f32)) {
        match self {
            Self::Plain(values) => {
                positions.iter().zip(values).for_each(|(&at, value)| visit(at, value * factor));
            }
            Self::Coded(levels, codes) => {
                let levels = levels.map(|level| level * factor);
                positions.iter().zip(codes).for_each(|(&at, code)| visit(at, levels[usize::from(code & 3)]));
            }
            Self::Signed(magnitude, codes) => {
                let bits = (magnitude * factor).to_bits();
                let signed = |code: &u8| f32::from_bits(bits ^ u32::from(*code) << 31);
                positions.iter().zip(codes).for_each(|(&at, code)| visit(at, signed(code)));
            }
        }
    }

    /// Returns the sum of the squares, in f64. If values have levels, it is computed from the
    /// counts of the levels, so it does not depend on the order of the values.
    #[inline]
    pub(crate) fn energy(self) -> f64 {
        match self {
            Self::Plain(values) => values.iter().fold(0.0, |sum, &value| sum + square(value)),
            Self::Coded(levels, codes) => {
                let terms = count_codes(codes).into_iter().zip(levels);
                terms.fold(0.0, |sum, (count, level)| sum + f64::from(count) * square(level))
            }
            Self::Signed(magnitude, codes) => codes.len() as f64 * square(magnitude),
        }
    }
}

/// Counts each 2-bit code.
fn count_codes(codes: &[u8]) -> [u32; 4] {
    let (eights, rest) = codes.as_chunks();
    let mut counts = [0; 4];
    // At most 255 groups of eight at a time, so that the counts in a byte stay below 256.
    for eights in eights.chunks(255) {
        let part = eights.iter().fold([0; 3], |sum, eight| count_in_bytes(sum, u64::from_le_bytes(*eight)));
        let [odd, high, three] = part.map(sum_of_bytes);
        counts[1] += odd - three;
        counts[2] += high - three;
        counts[3] += three;
    }
    rest.iter().for_each(|&code| counts[usize::from(code & 3)] += 1);
    counts[0] = codes.len() as u32 - counts[1] - counts[2] - counts[3];
    counts
}

/// Adds three counts in each byte: of odd codes, of codes of at least 2, and of codes 3.
fn count_in_bytes([odd, high, three]: [u64; 3], eight: u64) -> [u64; 3] {
    let ones = u64::MAX / 255;
    let low_bits = eight & ones;
    let high_bits = eight >> 1 & ones;
    [odd + low_bits, high + high_bits, three + (low_bits & high_bits)]
}

/// Returns the sum of a number's bytes.
fn sum_of_bytes(bytes: u64) -> u32 {
    bytes.to_le_bytes().iter().map(|&byte| u32::from(byte)).sum()
}

/// Returns the square of an f32, exact in f64.
fn square(value: f32) -> f64 {
    f64::from(value) * f64::from(value)
}

//! What is sent of one tensor, decoded.

use crate::{chunks::Geometry, quantize::Values};

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

    /// The codes of the values, chunk after chunk; none where values have no codes.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        match &self.values {
            Values::Templar { codes, .. }
            | Values::SignCentroid { codes, .. }
            | Values::Sign { codes, .. } => codes,
            Values::F32(_) => &[],
        }
    }

    /// The positions of one chunk.
    #[must_use]
    pub fn chunk_positions(&self, chunk: usize) -> &[u16] {
        &self.positions[chunk * self.sent..(chunk + 1) * self.sent]
    }

    /// The values of one chunk.
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

    /// Calls `visit(position, value)` for each value of a chunk, each value multiplied by `factor` and rounded once.
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

    /// The sum of the squares of a chunk's values, in f64: from counts of the levels where values have levels, so that
    /// it does not depend on the order of the values.
    #[must_use]
    pub fn chunk_energy(&self, chunk: usize) -> f64 {
        self.chunk_values(chunk).energy()
    }
}

/// What the values of a chunk are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChunkValues<'a> {
    /// What codes stand for, and a code for each value.
    Coded([f32; 4], &'a [u8]),
    /// The magnitude of all, and a code for each value: 1 for a negative one.
    Signed(f32, &'a [u8]),
    /// The values.
    Plain(&'a [f32]),
}

impl ChunkValues<'_> {
    /// Calls `visit(position, value)` for each value, each multiplied by `factor` and rounded once.
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

    /// The sum of the squares, in f64: from counts of the levels where values have levels, so that it does not depend on
    /// the order of the values.
    #[inline]
    pub(crate) fn energy(self) -> f64 {
        match self {
            Self::Plain(values) => values.iter().fold(0.0, |sum, &value| sum + square(value)),
            Self::Coded(levels, codes) => {
                let terms = count_codes(codes).into_iter().zip(levels);
                terms.fold(0.0, |sum, (count, level)| sum + f64::from(count) * square(level))
            }
            Self::Signed(magnitude, codes) => signed_energy(magnitude, codes.len()),
        }
    }
}

/// The sum of the squares of so many values of one magnitude.
#[inline]
pub(crate) fn signed_energy(magnitude: f32, count: usize) -> f64 {
    count as f64 * square(magnitude)
}

/// How often each 2-bit code occurs.
fn count_codes(codes: &[u8]) -> [u32; 4] {
    let (eights, rest) = codes.as_chunks();
    let mut counts = [0; 4];
    // As many eights as keep the counts of a byte below 256.
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

/// Adds, byte by byte, whether a code is odd, whether it is at least 2, and whether it is 3.
fn count_in_bytes([odd, high, three]: [u64; 3], eight: u64) -> [u64; 3] {
    let ones = u64::MAX / 255;
    let (low_bits, high_bits) = (eight & ones, eight >> 1 & ones);
    [odd + low_bits, high + high_bits, three + (low_bits & high_bits)]
}

/// The sum of a number's bytes.
fn sum_of_bytes(bytes: u64) -> u32 {
    bytes.to_le_bytes().iter().map(|&byte| u32::from(byte)).sum()
}

/// The square of an f32, exact in f64.
fn square(value: f32) -> f64 {
    f64::from(value) * f64::from(value)
}

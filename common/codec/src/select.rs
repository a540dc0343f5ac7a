//! Selects the largest values of a chunk, exactly: the result of a full sort, without the sort.
//!
//! A chunk is read once and copied to memory that is fast to read again. During that read, the
//! largest magnitude of each of some groups of values is found. There are at least as many groups
//! as values to select, so the `k`-th largest group maximum is at most the `k`-th largest
//! magnitude. It bounds the selection: few other values reach it, and the exact selection runs
//! among these. Meanwhile the next chunks are read. The work uses the widest vectors of the machine
//! ([`Simd`]). The selection is the same with any.
//!
//! ```
//! use codec::select::Selector;
//!
//! let mut positions = [0; 2];
//! Selector::default().top_k(&[0.5, -3.0, 3.0, 1.0, -3.0], &mut positions);
//! assert_eq!(positions, [1, 2], "the lower position wins among equal magnitudes");
//! ```

mod choose;
mod portable;
mod simd;

pub use simd::Simd;

use choose::{Candidates, MOST, choose, choose_slowly};
use simd::{Copied, Reading, Tile};

/// Values per row: a full chunk's edge, and four AVX-512 vectors.
const ROW: usize = 64;

/// The number of groups whose maxima bound the selection. More groups leave fewer candidates, and cost more.
const GROUPS: usize = 128;

/// The most full chunks that are read together. This many side by side are runs of memory long
/// enough to be read at full speed, and their copies stay in a second-level cache.
const TILE: usize = 8;

/// The magnitude of infinity as an integer. Larger ones belong to NaN.
const INFINITY: u32 = f32::INFINITY.to_bits();

/// The bits of a value without its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// A selector of the largest values of one chunk after another. It holds the memory for that.
#[derive(Clone, Debug)]
pub struct Selector {
    simd: Simd,
    /// The chunks that were read last.
    read: Copies,
    /// The chunks that are read while values are selected from `read`.
    later: Copies,
    candidates: Candidates,
}

/// Copies of chunks, in memory that is fast to read again.
#[derive(Clone, Debug, Default)]
struct Copies {
    /// Values per chunk.
    size: usize,
    /// The values of each chunk, padded with zeros to whole rows.
    values: Vec<f32>,
    /// The largest magnitude of each group, for each chunk.
    maxima: Vec<[u32; GROUPS]>,
}

/// The input of a read: plain values, or the sum of error feedback and a pseudo-gradient.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// Plain values.
    Values(&'a [f32]),
    /// The sum `e = beta e + delta`, each operation rounded once.
    Feedback {
        /// The values that were not sent before. Reading replaces them with the sum.
        error: &'a mut [f32],
        /// The pseudo-gradient.
        pseudo_gradient: &'a [f32],
        /// The share of the error feedback that is kept.
        beta: f32,
    },
}

/// Chunks of a tensor that lie side by side. Each has `height` rows of `width` values. A row begins
/// `stride` values after the previous row, a chunk `width` values after the previous chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    pub(crate) count: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) stride: usize,
}

impl Default for Selector {
    fn default() -> Self {
        Self::new(Simd::best())
    }
}

impl Selector {
    /// Creates a selector that uses these vectors.
    #[must_use]
    pub fn new(simd: Simd) -> Self {
        Self { simd, read: Copies::default(), later: Copies::default(), candidates: Candidates::default() }
    }

    /// Writes the positions of the values of largest magnitude, ascending, until `positions` is full.
    ///
    /// Among equal magnitudes the lower position is selected. NaN counts as 0, so it is selected
    /// last. An infinite value is selected first.
    ///
    /// # Panics
    /// Panics if there are fewer values than positions, or more than 65,536 values.
    pub fn top_k(&mut self, values: &[f32], positions: &mut [u16]) {
        let chunks = Chunks { count: 1, height: 1, width: values.len(), stride: values.len() };
        self.read(Source::Values(values), chunks);
        let Self { simd, read, candidates, .. } = self;
        read.choose(0, *simd, &mut Reading::none(), candidates, positions);
    }

    /// Returns the best number of chunks of this size to read together.
    pub(crate) fn together(size: usize) -> usize {
        (TILE * ROW * ROW / size.max(1)).max(1)
    }

    /// Reads chunks, the first of which begins at the start of the source. Returns whether all
    /// values are finite.
    pub(crate) fn read(&mut self, source: Source<'_>, chunks: Chunks) -> bool {
        simd::finish(self.simd, self.read.begin(source, chunks));
        self.read.is_finite()
    }

    /// Writes the positions and values of the largest values of the chunks that were read last. Meanwhile
    /// reads the `next` chunks, if given. Returns whether all values of the next chunks are finite.
    pub(crate) fn choose<'a>(
        &mut self,
        slots: impl Iterator<Item = (&'a mut [u16], &'a mut [f32])>,
        next: Option<(Source<'_>, Chunks)>,
    ) -> bool {
        let Self { simd, read, later, candidates } = self;
        let is_last = next.is_none();
        let mut reading = next.map_or_else(Reading::none, |(source, chunks)| later.begin(source, chunks));
        for (chunk, (positions, values)) in slots.enumerate() {
            read.choose(chunk, *simd, &mut reading, candidates, positions);
            let all = read.values(chunk);
            for (value, &position) in values.iter_mut().zip(&*positions) {
                *value = all[usize::from(position)];
            }
        }
        if is_last {
            return true;
        }
        simd::finish(*simd, reading);
        std::mem::swap(read, later);
        read.is_finite()
    }
}

impl Copies {
    /// Returns the values of a chunk.
    fn values(&self, chunk: usize) -> &[f32] {
        &self.values[chunk * self.padded()..][..self.size]
    }

    /// Writes the positions of the largest values of a chunk. Meanwhile continues the given `reading`.
    fn choose(
        &self,
        chunk: usize,
        simd: Simd,
        reading: &mut Reading<'_>,
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) {
        let size = self.size;
        let padded = self.padded();
        assert!(positions.len() <= size, "cannot choose {} of {size} values", positions.len());
        let (values, maxima) = (&self.values[chunk * padded..][..padded], &self.maxima[chunk]);
        if positions.len() == size {
            positions.iter_mut().zip(0..).for_each(|(position, at)| *position = at);
        } else if padded <= MOST || !simd::choose(simd, reading, values, maxima, candidates, positions) {
            choose_slowly(&values[..size], candidates, positions);
        }
    }

    /// Returns the room for a chunk's values: whole rows.
    fn padded(&self) -> usize {
        self.size.next_multiple_of(ROW)
    }

    /// Starts to read chunks, in place of the previous ones. If their rows are not as wide as a
    /// tile's, all of them are read at once.
    fn begin<'a>(&'a mut self, source: Source<'a>, chunks: Chunks) -> Reading<'a> {
        self.size = chunks.height * chunks.width;
        assert!(self.size <= 1 << 16, "positions have 16 bits");
        self.values.resize(chunks.count * self.padded(), 0.0);
        self.maxima.resize(chunks.count, [0; GROUPS]);
        match chunks.tile() {
            Some(tile) => {
                let to = Copied { values: &mut self.values, maxima: &mut self.maxima };
                Reading::new(source, tile, to)
            }
            None => {
                self.gather(source, chunks);
                Reading::none()
            }
        }
    }

    /// Reads chunks whose rows are not as wide as a tile's.
    fn gather(&mut self, source: Source<'_>, chunks: Chunks) {
        let values = match source {
            Source::Values(values) => values,
            Source::Feedback { error, pseudo_gradient, beta } => {
                for place in chunks.rows() {
                    portable::accumulate(&mut error[place.clone()], &pseudo_gradient[place], beta);
                }
                error
            }
        };
        let padded = self.padded();
        for chunk in 0..chunks.count {
            let (copy, padding) = self.values[chunk * padded..][..padded].split_at_mut(self.size);
            for (row, copy) in copy.chunks_exact_mut(chunks.width).enumerate() {
                copy.copy_from_slice(&values[chunk * chunks.width + row * chunks.stride..][..chunks.width]);
            }
            padding.fill(0.0);
            let maxima = &mut self.maxima[chunk];
            maxima.fill(0);
            copy.chunks(GROUPS).for_each(|values| portable::keep_largest(values, 0, maxima));
        }
    }

    /// Returns whether all values are finite. Replaces NaN by 0.
    fn is_finite(&mut self) -> bool {
        let largest = self.maxima.as_flattened().iter().fold(0, |most, &key| most.max(key));
        if largest > INFINITY {
            self.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
            // These maxima may come from NaN values. Zero maxima bound nothing.
            self.maxima.fill([0; GROUPS]);
        }
        largest < INFINITY
    }
}

impl Source<'_> {
    /// Returns the number of values.
    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Feedback { error, pseudo_gradient, .. } => error.len().min(pseudo_gradient.len()),
        }
    }
}

impl Chunks {
    /// Returns these chunks as a tile, if their rows are as wide as a tile's.
    fn tile(self) -> Option<Tile> {
        let Self { count: chunks, height, width, stride } = self;
        match (height, width) {
            (rows, ROW) => Some(Tile { chunks, rows, stride }),
            (1, width) if chunks == 1 && width % ROW == 0 => {
                Some(Tile { chunks, rows: width / ROW, stride: ROW })
            }
            _ => None,
        }
    }

    /// Returns the places of the rows of all chunks together.
    fn rows(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let Self { count, height, width, stride } = self;
        (0..height).map(move |row| row * stride..row * stride + count * width)
    }
}

#[cfg(test)]
mod tests;

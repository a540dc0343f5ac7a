//! The largest values of a chunk, exactly: what a full sort would choose, without the sort.
//!
//! A chunk is read once, and copied to where it can be read again soon. On the way, the largest magnitudes of some groups
//! of its values are found. As many groups as are sent have as many maxima, so the `k`-th largest maximum is at most the
//! `k`-th largest magnitude: few others reach it, and among these the choice is made exactly. Meanwhile the next chunks are
//! read. The work is done by the widest vectors that the machine has ([`Simd`]); the choice is the same with any.
//!
//! ```
//! use codec::select::Selector;
//!
//! let mut positions = [0; 2];
//! Selector::default().top_k(&[0.5, -3.0, 3.0, 1.0, -3.0], &mut positions);
//! assert_eq!(positions, [1, 2], "among equal magnitudes the lower position");
//! ```

mod choose;
mod portable;
mod simd;

pub use simd::Simd;

use choose::{Candidates, MOST, choose, choose_slowly};
use simd::{Copied, Reading, Tile};

/// Values of a row: a full chunk's edge, and four AVX-512 vectors.
const ROW: usize = 64;

/// Groups whose largest magnitudes bound the choice: more of them leave fewer candidates, and cost more.
const GROUPS: usize = 128;

/// Most full chunks that are read together: so many side by side are long enough runs of memory to be read at its speed,
/// and their copies stay in a second-level cache.
const TILE: usize = 8;

/// The magnitude of infinity; larger keys belong to what is not a number.
const INFINITY: u32 = f32::INFINITY.to_bits();

/// All bits of a value but its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// Chooses the largest values of one chunk after another; holds the memory for it.
#[derive(Clone, Debug)]
pub struct Selector {
    simd: Simd,
    /// The chunks that were read last.
    read: Copies,
    /// The ones that are read while it is chosen among these.
    later: Copies,
    candidates: Candidates,
}

/// Chunks, copied to where they can be read again soon.
#[derive(Clone, Debug, Default)]
struct Copies {
    /// Values of a chunk.
    size: usize,
    /// The values of each chunk, then zeros up to whole rows.
    values: Vec<f32>,
    /// The largest magnitudes of the groups of each chunk.
    maxima: Vec<[u32; GROUPS]>,
}

/// What is read: values as they are, or the sum of what was not sent and a pseudo-gradient.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// These.
    Values(&'a [f32]),
    /// `e = beta e + delta`, each operation rounded once.
    Feedback {
        /// What was not sent; when it is read, the sum.
        error: &'a mut [f32],
        /// The pseudo-gradient.
        pseudo_gradient: &'a [f32],
        /// What is kept of the error.
        beta: f32,
    },
}

/// Chunks of a tensor that lie side by side: each has `height` rows of `width` values, a row is `stride` values after
/// the one before it, a chunk `width` values after the one before it.
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
    /// A selector that uses these vectors.
    #[must_use]
    pub fn new(simd: Simd) -> Self {
        Self { simd, read: Copies::default(), later: Copies::default(), candidates: Candidates::default() }
    }

    /// Writes the positions of the values of largest magnitude, ascending, as many as `positions` has room for: at most
    /// all of them.
    ///
    /// Among equal magnitudes the lower position is taken. A value that is not a number counts as 0, so it is taken
    /// last; an infinite one is taken first.
    ///
    /// # Panics
    /// There are fewer values than positions, or more than 65,536.
    pub fn top_k(&mut self, values: &[f32], positions: &mut [u16]) {
        let chunks = Chunks { count: 1, height: 1, width: values.len(), stride: values.len() };
        self.read(Source::Values(values), chunks);
        let Self { simd, read, candidates, .. } = self;
        read.choose(0, *simd, &mut Reading::none(), candidates, positions);
    }

    /// How many chunks of this size are best read together.
    pub(crate) fn together(size: usize) -> usize {
        (TILE * ROW * ROW / size.max(1)).max(1)
    }

    /// Reads chunks, the first of which begins where the source does. Whether all values are finite.
    pub(crate) fn read(&mut self, source: Source<'_>, chunks: Chunks) -> bool {
        simd::finish(self.simd, self.read.begin(source, chunks));
        self.read.is_finite()
    }

    /// Writes the positions and values of the largest values of the chunks that were read last, and meanwhile reads those that
    /// are next, if there are some. Whether all values of these are finite.
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
    /// The values of a chunk.
    fn values(&self, chunk: usize) -> &[f32] {
        &self.values[chunk * self.padded()..][..self.size]
    }

    /// Writes the positions of the largest values of a chunk; meanwhile, something else may be read.
    fn choose(
        &self,
        chunk: usize,
        simd: Simd,
        reading: &mut Reading<'_>,
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) {
        let (size, padded) = (self.size, self.padded());
        assert!(positions.len() <= size, "{} of {size} values are chosen", positions.len());
        let (values, maxima) = (&self.values[chunk * padded..][..padded], &self.maxima[chunk]);
        if positions.len() == size {
            positions.iter_mut().zip(0..).for_each(|(position, at)| *position = at);
        } else if padded <= MOST || !simd::choose(simd, reading, values, maxima, candidates, positions) {
            choose_slowly(&values[..size], candidates, positions);
        }
    }

    /// Room for a chunk's values: whole rows.
    fn padded(&self) -> usize {
        self.size.next_multiple_of(ROW)
    }

    /// Begins to read chunks, in the place of those before. If their rows have another width than a tile's, it is done already.
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

    /// Reads chunks whose rows have another width than a tile's.
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

    /// Whether all values are finite. If not, what is not a number now counts as 0.
    fn is_finite(&mut self) -> bool {
        let largest = self.maxima.as_flattened().iter().fold(0, |most, &key| most.max(key));
        if largest > INFINITY {
            self.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
            // Maxima that may be of such values say nothing: without them, nothing is bounded.
            self.maxima.fill([0; GROUPS]);
        }
        largest < INFINITY
    }
}

impl Source<'_> {
    /// How many values there are.
    fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Feedback { error, pseudo_gradient, .. } => error.len().min(pseudo_gradient.len()),
        }
    }
}

impl Chunks {
    /// The tile that they are, if their rows are as wide as a tile's.
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

    /// The places of the rows of all chunks together.
    fn rows(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let Self { count, height, width, stride } = self;
        (0..height).map(move |row| row * stride..row * stride + count * width)
    }
}

#[cfg(test)]
mod tests;

//! The largest values of a chunk, exactly: what a full sort would choose, without the sort.
//!
//! A chunk is read once, and copied to where it can be read again soon. On the way, the largest magnitudes of some groups
//! of its values are found. As many groups as are sent have as many maxima, so the `k`-th largest maximum is at most the
//! `k`-th largest magnitude: few others reach it, and among these the choice is made exactly. The work is done by the
//! widest vectors that the machine has ([`Simd`]); the choice is the same with any.
//!
//! ```
//! use common::select::Selector;
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
use simd::{Copied, Next, Sum, Tile};

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
    /// Values of a chunk of those that were read last.
    size: usize,
    /// The values of each chunk, then zeros up to whole rows.
    values: Vec<f32>,
    /// The largest magnitudes of the groups of each chunk.
    maxima: Vec<[u32; GROUPS]>,
    candidates: Candidates,
    next: Next,
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
        Self {
            simd,
            size: 0,
            values: Vec::new(),
            maxima: Vec::new(),
            candidates: Candidates::default(),
            next: Next::none(),
        }
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
        self.read(values, Chunks { count: 1, height: 1, width: values.len(), stride: values.len() });
        self.choose(0, positions);
    }

    /// How many chunks of this size are best read together.
    pub(crate) fn together(size: usize) -> usize {
        (TILE * ROW * ROW / size.max(1)).max(1)
    }

    /// Reads chunks, the first of which begins at the first of `values`. Whether all values are finite.
    pub(crate) fn read(&mut self, values: &[f32], chunks: Chunks) -> bool {
        self.make_room(chunks);
        if let Some(tile) = chunks.tile() {
            self.next = Next::after(tile, values);
            simd::load(self.simd, values, tile, self.copy());
        } else {
            self.gather(values, chunks);
        }
        self.is_finite()
    }

    /// Adds the chunks' pseudo-gradient to what was not sent of them, `e = beta e + delta`, each operation rounded once,
    /// and reads the sum. Whether all its values are finite.
    pub(crate) fn accumulate(&mut self, error: &mut [f32], delta: &[f32], beta: f32, chunks: Chunks) -> bool {
        self.make_room(chunks);
        if let Some(tile) = chunks.tile() {
            // Two tensors of which eight chunks are asked for leave too little room in the caches.
            self.next = Next::none();
            simd::accumulate(self.simd, Sum { error, delta, beta }, tile, self.copy());
        } else {
            for place in chunks.rows() {
                portable::accumulate(&mut error[place.clone()], &delta[place], beta);
            }
            self.gather(error, chunks);
        }
        self.is_finite()
    }

    /// The values of one of the chunks that were read last.
    pub(crate) fn values(&self, chunk: usize) -> &[f32] {
        &self.values[chunk * self.padded()..][..self.size]
    }

    /// Writes the positions of the largest values of one of the chunks that were read last.
    pub(crate) fn choose(&mut self, chunk: usize, positions: &mut [u16]) {
        let (size, padded) = (self.size, self.padded());
        assert!(positions.len() <= size, "{} of {size} values are chosen", positions.len());
        let values = &self.values[chunk * padded..][..padded];
        let (maxima, candidates, next) = (&self.maxima[chunk], &mut self.candidates, &mut self.next);
        if positions.len() == size {
            positions.iter_mut().zip(0..).for_each(|(position, at)| *position = at);
        } else if padded <= MOST || !simd::choose(self.simd, next, values, maxima, candidates, positions) {
            choose_slowly(&values[..size], candidates, positions);
        }
    }

    /// Room for a chunk's values: whole rows.
    fn padded(&self) -> usize {
        self.size.next_multiple_of(ROW)
    }

    /// Room for chunks.
    fn make_room(&mut self, chunks: Chunks) {
        self.size = chunks.height * chunks.width;
        assert!(self.size <= 1 << 16, "positions have 16 bits");
        self.values.resize(chunks.count * self.padded(), 0.0);
        self.maxima.resize(chunks.count, [0; GROUPS]);
    }

    fn copy(&mut self) -> Copied<'_> {
        Copied { values: &mut self.values, maxima: &mut self.maxima }
    }

    /// Reads chunks whose rows have another width than a tile's.
    fn gather(&mut self, values: &[f32], chunks: Chunks) {
        self.next = Next::none();
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

//! Implements the loops over all values of a chunk, with the widest vectors that the machine has.
//! This is the only `unsafe` code of this crate.
//!
//! Two things make it unsafe. First, vectors are loaded and stored through pointers: each safe
//! function first asserts that all rows lie within its slices. Second, the instructions must exist:
//! a [`Simd`] is only created after asking the machine.
#![allow(unsafe_code)]

use super::{
    GROUPS, ROW, Source,
    choose::{Candidates, Kernels, VECTOR},
    portable,
};

/// The vector instructions in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// No vectors beyond those that every machine of this architecture has.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// Returns all kinds of vectors that this machine has, the widest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vbmi2");
            found.extend(avx2.then_some(Self(Kind::Avx2)));
            found.extend(avx512.then_some(Self(Kind::Avx512)));
        }
        found
    }

    /// Returns the widest vectors that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// Returns the name: `portable`, `avx2` or `avx512`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }
}

/// Full-width chunks side by side. Each has `rows` rows of [`ROW`] values. Each row begins `stride`
/// values after the previous one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) chunks: usize,
    pub(super) rows: usize,
    pub(super) stride: usize,
}

/// The copy of a tile.
pub(super) struct Copied<'a> {
    /// The values of each chunk, one chunk after the other.
    pub(super) values: &'a mut [f32],
    /// The largest magnitude of each group, for each chunk.
    pub(super) maxima: &'a mut [[u32; GROUPS]],
}

impl Tile {
    /// Returns the number of values from the first to the last one, or `None` on overflow.
    fn span(self) -> Option<usize> {
        match self.rows.checked_sub(1) {
            Some(last) => last.checked_mul(self.stride)?.checked_add(self.chunks.checked_mul(ROW)?),
            None => Some(0),
        }
    }

    /// Asserts that slices of these lengths hold the tile and its copy. The unsafe code relies on this.
    fn check(self, values: usize, to: &Copied<'_>) {
        assert!(self.span().is_some_and(|span| span <= values), "{values} values do not hold {self:?}");
        let room = self.chunks.checked_mul(self.rows).and_then(|rows| rows.checked_mul(ROW));
        assert_eq!(Some(to.values.len()), room, "each value has room");
        assert_eq!(to.maxima.len(), self.chunks, "each chunk has maxima");
    }
}

/// A tile that is being read. Its rows are copied and the largest magnitudes of its groups are
/// found, one row of a chunk at a time. This happens while values are selected from the chunks read
/// before, so memory is not idle meanwhile.
pub(super) struct Reading<'a> {
    source: Source<'a>,
    tile: Tile,
    to: Copied<'a>,
    /// The next row, in the first chunk.
    row: Row,
    /// The row's number in the chunk.
    number: usize,
    /// The next chunk.
    chunk: usize,
}

/// A row of a chunk.
#[derive(Clone, Copy, Default)]
struct Row {
    /// The row's place in the values.
    at: usize,
    /// The row's place in the copy.
    to: usize,
    /// The place of a row that is read some rows later, for prefetching.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    ahead: usize,
    /// The row's chunk.
    chunk: usize,
    /// The group of the row's first value.
    group: usize,
}

/// The number of rows by which prefetching runs ahead.
const AHEAD: usize = 2;

/// The number of groups by which each row is shifted against the previous one. Thus one large
/// column does not hold all maxima.
const SHIFT: usize = 16;

impl<'a> Reading<'a> {
    /// Starts to read at the first row. The tile begins where the source does.
    pub(super) fn new(source: Source<'a>, tile: Tile, to: Copied<'a>) -> Self {
        tile.check(source.len(), &to);
        to.maxima.fill([0; GROUPS]);
        let mut reading = Self { source, tile, to, row: Row::default(), number: 0, chunk: 0 };
        reading.row = reading.first(0);
        reading
    }

    /// Creates a reading of nothing.
    pub(super) fn none() -> Self {
        let tile = Tile { chunks: 0, rows: 0, stride: 0 };
        Self::new(Source::Values(&[]), tile, Copied { values: &mut [], maxima: &mut [] })
    }

    /// Returns the row with this number of the first chunk. All places are within slices, so
    /// nothing overflows. Places ahead are only prefetched.
    #[inline(always)]
    fn first(&self, number: usize) -> Row {
        let Tile { chunks, rows, stride } = self.tile;
        let ahead = match number.wrapping_add(AHEAD) {
            later if later < rows => later.wrapping_mul(stride),
            // After the last row come the rows of the tile to the right, which is next.
            later => later.wrapping_sub(rows).wrapping_mul(stride).wrapping_add(chunks.wrapping_mul(ROW)),
        };
        let (at, to) = (number.wrapping_mul(stride), number.wrapping_mul(ROW));
        Row { at, to, ahead, chunk: 0, group: number.wrapping_mul(SHIFT) % GROUPS }
    }

    /// Returns the next row, in the order of memory, or `None` after the last one.
    #[inline(always)]
    fn next(&mut self) -> Option<Row> {
        if self.number >= self.tile.rows || self.tile.chunks == 0 {
            return None;
        }
        let (first, chunk) = (self.row, self.chunk);
        self.chunk = chunk.wrapping_add(1);
        if self.chunk >= self.tile.chunks {
            (self.number, self.chunk) = (self.number.wrapping_add(1), 0);
            self.row = self.first(self.number);
        }
        let right = chunk.wrapping_mul(ROW);
        Some(Row {
            at: first.at.wrapping_add(right),
            to: first.to.wrapping_add(right.wrapping_mul(self.tile.rows)),
            ahead: first.ahead.wrapping_add(right),
            chunk,
            group: first.group,
        })
    }
}

/// Reads the rest of a tile.
pub(super) fn finish(simd: Simd, mut reading: Reading<'_>) {
    match simd.0 {
        Kind::Portable => {
            while let Some(Row { at, to: copy, chunk, group, .. }) = reading.next() {
                let (source, to) = (&mut reading.source, &mut reading.to);
                let values = match source {
                    Source::Values(values) => &values[at..at + ROW],
                    Source::Feedback { error, pseudo_gradient, beta } => {
                        let error = &mut error[at..at + ROW];
                        portable::accumulate(error, &pseudo_gradient[at..at + ROW], *beta);
                        error
                    }
                };
                to.values[copy..copy + ROW].copy_from_slice(values);
                portable::keep_largest(values, group, &mut to.maxima[chunk]);
            }
        }
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { while avx2::read(&mut reading) {} },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { while avx512::read(&mut reading) {} },
    }
}

/// Calls [`choose`](super::choose::choose) with these vectors. Meanwhile continues to read
/// `reading`, as far as it gets.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn choose(
    simd: Simd,
    reading: &mut Reading<'_>,
    values: &[f32],
    maxima: &[u32; GROUPS],
    candidates: &mut Candidates,
    positions: &mut [u16],
) -> bool {
    match simd.0 {
        Kind::Portable => {
            let kernels =
                Kernels { at_least: portable::at_least, spread: portable::spread, count: portable::count };
            super::choose(values, maxima, candidates, positions, kernels)
        }
        // SAFETY: the machine has these instructions.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::choose(reading, values, maxima, candidates, positions) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::choose(reading, values, maxima, candidates, positions) },
    }
}

/// Prefetches the row of a chunk at this place.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch(values: *const f32, place: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // Ask for the last value of each cache line's worth: if a row begins inside a cache line, its
    // end is in the next line.
    let row = values.wrapping_add(place).wrapping_add(15);
    for line in 0..ROW / 16 {
        // SAFETY: a prefetch is a hint and does not fault, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line * 16).cast()) };
    }
}

/// Loops over 8 values at a time.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Candidates, GROUPS, Kernels, ROW, Reading, Row, Source, VECTOR, prefetch};
    use crate::select::{MAGNITUDE, choose::choose as generic, portable};
    use std::arch::x86_64::*;

    /// Values of a vector.
    const LANES: usize = 8;

    /// Reads the next row. Returns whether there was one.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn read(reading: &mut Reading<'_>) -> bool {
        let Some(Row { at, to: copy, ahead, chunk, group }) = reading.next() else { return false };
        // SAFETY: the tile lies within its source, and the copy has room for it. This was asserted
        // when the reading began.
        unsafe {
            let maxima = reading.to.maxima.get_unchecked_mut(chunk);
            let copy = reading.to.values.as_mut_ptr().add(copy);
            match &mut reading.source {
                Source::Values(values) => {
                    let values = values.as_ptr();
                    prefetch(values, ahead);
                    let take = |vector: usize| _mm256_loadu_ps(values.add(at.wrapping_add(vector * LANES)));
                    keep(take, copy, group, maxima);
                }
                Source::Feedback { error, pseudo_gradient, beta } => {
                    let error = error.as_mut_ptr();
                    let delta = pseudo_gradient.as_ptr();
                    let beta = _mm256_set1_ps(*beta);
                    prefetch(error, ahead);
                    prefetch(delta, ahead);
                    let add = |vector: usize| {
                        let at = at.wrapping_add(vector * LANES);
                        let kept = _mm256_mul_ps(beta, _mm256_loadu_ps(error.add(at)));
                        let sum = _mm256_add_ps(kept, _mm256_loadu_ps(delta.add(at)));
                        _mm256_storeu_ps(error.add(at), sum);
                        sum
                    };
                    keep(add, copy, group, maxima);
                }
            }
        }
        true
    }

    /// Copies a row's vectors and updates the largest magnitudes of the groups that begin at `group`.
    ///
    /// # Safety
    /// The machine has AVX2; `copy` has room for a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn keep(take: impl Fn(usize) -> __m256, copy: *mut f32, group: usize, maxima: &mut [u32; GROUPS]) {
        let magnitude = _mm256_set1_epi32(MAGNITUDE as i32);
        for vector in 0..ROW / LANES {
            let values = take(vector);
            let key = _mm256_and_si256(_mm256_castps_si256(values), magnitude);
            let most = maxima.as_mut_ptr().wrapping_add(group.wrapping_add(vector * LANES) % GROUPS);
            // SAFETY: groups are counted in whole vectors, so a vector begins at this place. The
            // copy has room for a row.
            unsafe {
                _mm256_storeu_ps(copy.add(vector * LANES), values);
                _mm256_storeu_si256(most.cast(), _mm256_max_epu32(_mm256_loadu_si256(most.cast()), key));
            }
        }
    }

    /// Returns a bit for each value of a row: whether its magnitude is at least `bound`.
    #[target_feature(enable = "avx2")]
    fn at_least(values: &[f32; ROW], bound: u32) -> u64 {
        let magnitude = _mm256_set1_epi32(MAGNITUDE as i32);
        // Magnitudes have the same order as signed integers. `bound - 1` may be -1.
        let below = _mm256_set1_epi32((bound as i32).wrapping_sub(1));
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let mut bits = 0;
        for half in 0..2 {
            let reached = |vector: usize| {
                let from = values[half * ROW / 2 + vector * LANES..][..LANES].as_ptr();
                // SAFETY: the slice holds a vector.
                let values = unsafe { _mm256_loadu_si256(from.cast()) };
                _mm256_cmpgt_epi32(_mm256_and_si256(values, magnitude), below)
            };
            let low = _mm256_packs_epi32(reached(0), reached(1));
            let high = _mm256_packs_epi32(reached(2), reached(3));
            // Packing works on halves of vectors, so the quarters are reordered afterwards.
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            bits |= u64::from(_mm256_movemask_epi8(bytes) as u32) << (half * ROW / 2);
        }
        bits
    }

    /// Calls [`choose`](generic) with these instructions.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn choose(
        reading: &mut Reading<'_>,
        values: &[f32],
        maxima: &[u32; GROUPS],
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) -> bool {
        // The closures inherit the instructions of the enclosing function.
        let kernels = Kernels {
            at_least: |values: &[f32; ROW], bound| at_least(values, bound),
            spread: |bits, first, positions: &mut [u16; ROW]| {
                // SAFETY: the machine has these instructions.
                unsafe { read(reading) };
                portable::spread(bits, first, positions);
            },
            count: |keys: &[[u32; VECTOR]], bound| count(keys, bound),
        };
        generic(values, maxima, candidates, positions, kernels)
    }

    /// Returns how many keys are at least `bound`.
    #[target_feature(enable = "avx2,popcnt")]
    fn count(keys: &[[u32; VECTOR]], bound: u32) -> usize {
        let below = _mm256_set1_epi32((bound as i32).wrapping_sub(1));
        let mut count = 0;
        for keys in keys.as_flattened().chunks_exact(LANES) {
            // SAFETY: the slice holds a vector.
            let keys = unsafe { _mm256_loadu_si256(keys.as_ptr().cast()) };
            let reached = _mm256_castsi256_ps(_mm256_cmpgt_epi32(keys, below));
            count += (_mm256_movemask_ps(reached) as u32).count_ones() as usize;
        }
        count
    }
}

/// Loops over 16 values at a time.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Candidates, GROUPS, Kernels, ROW, Reading, Row, Source, VECTOR, prefetch};
    use crate::select::{MAGNITUDE, choose::choose as generic};
    use std::arch::x86_64::*;

    /// Values of a vector.
    const LANES: usize = 16;
    /// The numbers of the bits of a row.
    const NUMBERS: [u8; ROW] = {
        let mut numbers = [0; ROW];
        let mut at = 0;
        while at < ROW {
            numbers[at] = at as u8;
            at += 1;
        }
        numbers
    };

    /// Reads the next row. Returns whether there was one.
    ///
    /// # Safety
    /// The machine has AVX-512F.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn read(reading: &mut Reading<'_>) -> bool {
        let Some(Row { at, to: copy, ahead, chunk, group }) = reading.next() else { return false };
        // SAFETY: the tile lies within its source, and the copy has room for it. This was asserted
        // when the reading began.
        unsafe {
            let maxima = reading.to.maxima.get_unchecked_mut(chunk);
            let copy = reading.to.values.as_mut_ptr().add(copy);
            match &mut reading.source {
                Source::Values(values) => {
                    let values = values.as_ptr();
                    prefetch(values, ahead);
                    let take = |vector: usize| _mm512_loadu_ps(values.add(at.wrapping_add(vector * LANES)));
                    keep(take, copy, group, maxima);
                }
                Source::Feedback { error, pseudo_gradient, beta } => {
                    let error = error.as_mut_ptr();
                    let delta = pseudo_gradient.as_ptr();
                    let beta = _mm512_set1_ps(*beta);
                    prefetch(error, ahead);
                    prefetch(delta, ahead);
                    let add = |vector: usize| {
                        let at = at.wrapping_add(vector * LANES);
                        let kept = _mm512_mul_ps(beta, _mm512_loadu_ps(error.add(at)));
                        let sum = _mm512_add_ps(kept, _mm512_loadu_ps(delta.add(at)));
                        _mm512_storeu_ps(error.add(at), sum);
                        sum
                    };
                    keep(add, copy, group, maxima);
                }
            }
        }
        true
    }

    /// Copies a row's vectors and updates the largest magnitudes of the groups that begin at `group`.
    ///
    /// # Safety
    /// The machine has AVX-512F; `copy` has room for a row.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn keep(take: impl Fn(usize) -> __m512, copy: *mut f32, group: usize, maxima: &mut [u32; GROUPS]) {
        let magnitude = _mm512_set1_epi32(MAGNITUDE as i32);
        for vector in 0..ROW / LANES {
            let values = take(vector);
            let key = _mm512_and_si512(_mm512_castps_si512(values), magnitude);
            let most = maxima.as_mut_ptr().wrapping_add(group.wrapping_add(vector * LANES) % GROUPS);
            // SAFETY: groups are counted in whole vectors, so a vector begins at this place. The
            // copy has room for a row.
            unsafe {
                _mm512_storeu_ps(copy.add(vector * LANES), values);
                _mm512_storeu_si512(most.cast(), _mm512_max_epu32(_mm512_loadu_si512(most.cast()), key));
            }
        }
    }

    /// Returns a bit for each value of a row: whether its magnitude is at least `bound`.
    #[target_feature(enable = "avx512f")]
    fn at_least(values: &[f32; ROW], bound: u32) -> u64 {
        let (bound, magnitude) = (_mm512_set1_epi32(bound as i32), _mm512_set1_epi32(MAGNITUDE as i32));
        let mut bits = 0;
        for vector in 0..ROW / LANES {
            let from = values[vector * LANES..][..LANES].as_ptr();
            // SAFETY: the slice holds a vector.
            let values = unsafe { _mm512_loadu_si512(from.cast()) };
            let reached = _mm512_cmpge_epu32_mask(_mm512_and_si512(values, magnitude), bound);
            bits |= u64::from(reached) << (vector * LANES);
        }
        bits
    }

    /// Calls [`choose`](generic) with these instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn choose(
        reading: &mut Reading<'_>,
        values: &[f32],
        maxima: &[u32; GROUPS],
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) -> bool {
        // The closures inherit the instructions of the enclosing function.
        let kernels = Kernels {
            at_least: |values: &[f32; ROW], bound| at_least(values, bound),
            spread: |bits, first, positions: &mut [u16; ROW]| {
                // SAFETY: the machine has these instructions.
                unsafe { read(reading) };
                spread(bits, first, positions);
            },
            count: |keys: &[[u32; VECTOR]], bound| count(keys, bound),
        };
        generic(values, maxima, candidates, positions, kernels)
    }

    /// Writes the numbers of the set bits, added to `first`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
    fn spread(bits: u64, first: u16, positions: &mut [u16; ROW]) {
        // SAFETY: the array is a vector.
        let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
        let numbers = _mm512_maskz_compress_epi8(bits, numbers);
        let first = _mm512_set1_epi16(first as i16);
        let low = _mm512_or_si512(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(numbers)), first);
        // SAFETY: the array has room for two vectors.
        unsafe { _mm512_storeu_si512(positions.as_mut_ptr().cast(), low) };
        if bits.count_ones() as usize > ROW / 2 {
            let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(numbers));
            // SAFETY: as above.
            unsafe {
                _mm512_storeu_si512(positions[ROW / 2..].as_mut_ptr().cast(), _mm512_or_si512(high, first))
            };
        }
    }

    /// Returns how many keys are at least `bound`.
    #[target_feature(enable = "avx512f,popcnt")]
    fn count(keys: &[[u32; VECTOR]], bound: u32) -> usize {
        let bound = _mm512_set1_epi32(bound as i32);
        let mut count = 0;
        for keys in keys {
            // SAFETY: the array is a vector.
            let keys = unsafe { _mm512_loadu_si512(keys.as_ptr().cast()) };
            count += _mm512_cmpge_epu32_mask(keys, bound).count_ones() as usize;
        }
        count
    }
}

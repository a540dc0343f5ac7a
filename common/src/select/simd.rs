//! The loops over all values of a chunk, with the widest vectors that the machine has: the only `unsafe` code here.
//!
//! Two things make it unsafe. Vectors are loaded and stored through pointers: each safe function first asserts that all
//! rows lie within its slices. And instructions must exist: a [`Simd`] is only made by asking the machine.
#![allow(unsafe_code)]

use super::{
    GROUPS, ROW,
    choose::{Candidates, Kernels, VECTOR},
    portable,
};

/// The vectors that are used.
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

    /// All that this machine has, the widest last.
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

    /// The widest that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// Its name: `portable`, `avx2`, `avx512`.
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

/// Chunks side by side: of each, rows of [`ROW`] values, each row `stride` values after the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    pub(super) chunks: usize,
    pub(super) rows: usize,
    pub(super) stride: usize,
}

/// What is read of a tile.
pub(super) struct Copied<'a> {
    /// The values of each chunk, one chunk after the other.
    pub(super) values: &'a mut [f32],
    /// The largest magnitudes of its groups, for each chunk.
    pub(super) maxima: &'a mut [[u32; GROUPS]],
}

/// What a pseudo-gradient is added to: `error = beta error + delta`.
pub(super) struct Sum<'a> {
    pub(super) error: &'a mut [f32],
    pub(super) delta: &'a [f32],
    pub(super) beta: f32,
}

impl Tile {
    /// Values from the first to the last one; nothing if they cannot be counted.
    fn span(self) -> Option<usize> {
        match self.rows.checked_sub(1) {
            Some(last) => last.checked_mul(self.stride)?.checked_add(self.chunks.checked_mul(ROW)?),
            None => Some(0),
        }
    }

    /// Asserts that slices of these lengths hold the tile and its copy: what the unsafe code relies on.
    fn check(self, values: usize, to: &Copied<'_>) {
        assert!(self.span().is_some_and(|span| span <= values), "{values} values do not hold {self:?}");
        let room = self.chunks.checked_mul(self.rows).and_then(|rows| rows.checked_mul(ROW));
        assert_eq!(Some(to.values.len()), room, "each value has room");
        assert_eq!(to.maxima.len(), self.chunks, "each chunk has maxima");
    }

    /// Calls `each` for the rows of all chunks, in the order of memory. A column belongs to another group from row to row,
    /// so that one large column does not hold all maxima.
    #[inline(always)]
    fn for_each(self, mut each: impl FnMut(Row)) {
        // All places are within slices, so nothing overflows; those ahead are only asked for.
        let (mut first, size) = (0usize, self.rows.wrapping_mul(ROW));
        for row in 0..self.rows {
            let (group, mut to) = (row.wrapping_mul(SHIFT) % GROUPS, row.wrapping_mul(ROW));
            let mut ahead = match row.wrapping_add(AHEAD) {
                later if later < self.rows => later.wrapping_mul(self.stride),
                // Past the last row, those of the tile to the right, which is next.
                later => {
                    (later - self.rows).wrapping_mul(self.stride).wrapping_add(self.chunks.wrapping_mul(ROW))
                }
            };
            let mut at = first;
            for chunk in 0..self.chunks {
                each(Row { at, to, ahead, chunk, group });
                (at, to, ahead) = (at.wrapping_add(ROW), to.wrapping_add(size), ahead.wrapping_add(ROW));
            }
            first = first.wrapping_add(self.stride);
        }
    }
}

/// The tile to the right of the one that was read last, which is read next: it is asked for, row by row, while the choice
/// leaves memory idle.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) struct Next {
    /// Where the row begins that is asked for next: an address, not a pointer, because nothing is read through it.
    place: usize,
    tile: Tile,
    /// Its row and chunk.
    at: (usize, usize),
}

impl Next {
    /// The tile to the right of this one.
    pub(super) fn after(tile: Tile, values: &[f32]) -> Self {
        let right = tile.chunks * ROW * size_of::<f32>();
        Self { place: values.as_ptr().addr().wrapping_add(right), tile, at: (0, 0) }
    }

    /// Nothing.
    pub(super) fn none() -> Self {
        Self { place: 0, tile: Tile { chunks: 0, rows: 0, stride: 0 }, at: (0, 0) }
    }

    /// Asks for the next row of a chunk, if there is one.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn ask(&mut self) {
        let (row, chunk) = self.at;
        if row >= self.tile.rows {
            return;
        }
        prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(std::ptr::without_provenance(self.place), 0);
        let mut values = ROW;
        self.at.1 = chunk.wrapping_add(1);
        if self.at.1 >= self.tile.chunks {
            self.at = (row.wrapping_add(1), 0);
            // From the tile's last chunk to the first of its next row.
            values = self.tile.stride.wrapping_sub(chunk.wrapping_mul(ROW));
        }
        self.place = self.place.wrapping_add(values.wrapping_mul(size_of::<f32>()));
    }
}

/// A row of a chunk.
#[derive(Clone, Copy)]
struct Row {
    /// Its place in the values.
    at: usize,
    /// Its place in the copy.
    to: usize,
    /// The place of what is read some rows later.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    ahead: usize,
    /// Its chunk.
    chunk: usize,
    /// The group of its first value.
    group: usize,
}

/// How many rows ahead memory is asked for.
const AHEAD: usize = 2;

/// How many groups a row is shifted against the one before it.
const SHIFT: usize = 16;

/// Reads a tile: copies it, and finds the largest magnitudes of its groups.
pub(super) fn load(simd: Simd, values: &[f32], tile: Tile, to: Copied<'_>) {
    tile.check(values.len(), &to);
    to.maxima.fill([0; GROUPS]);
    match simd.0 {
        Kind::Portable => tile.for_each(|Row { at, to: copy, chunk, group, .. }| {
            let values = &values[at..at + ROW];
            to.values[copy..copy + ROW].copy_from_slice(values);
            portable::keep_largest(values, group, &mut to.maxima[chunk]);
        }),
        // SAFETY: the machine has these instructions, and the tile lies within the slices.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::load(values.as_ptr(), tile, to) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::load(values.as_ptr(), tile, to) },
    }
}

/// Adds a tile of a pseudo-gradient, then does what [`load`] does.
pub(super) fn accumulate(simd: Simd, sum: Sum<'_>, tile: Tile, to: Copied<'_>) {
    tile.check(sum.error.len().min(sum.delta.len()), &to);
    to.maxima.fill([0; GROUPS]);
    match simd.0 {
        Kind::Portable => tile.for_each(|Row { at, to: copy, chunk, group, .. }| {
            let error = &mut sum.error[at..at + ROW];
            portable::accumulate(error, &sum.delta[at..at + ROW], sum.beta);
            to.values[copy..copy + ROW].copy_from_slice(error);
            portable::keep_largest(error, group, &mut to.maxima[chunk]);
        }),
        // SAFETY: the machine has these instructions, and the tile lies within the slices.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::accumulate(sum, tile, to) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::accumulate(sum, tile, to) },
    }
}

/// [`choose`](super::choose::choose) with these vectors; meanwhile, asks for what is read next.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub(super) fn choose(
    simd: Simd,
    next: &mut Next,
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
        Kind::Avx2 => unsafe { avx2::choose(next, values, maxima, candidates, positions) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::choose(next, values, maxima, candidates, positions) },
    }
}

/// Asks for the row of a chunk at this place.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch<const HINT: i32>(values: *const f32, place: usize) {
    use std::arch::x86_64::_mm_prefetch;
    // The last value of each line's worth: where rows begin within a line, its end is in the next one.
    let row = values.wrapping_add(place).wrapping_add(15);
    for line in 0..ROW / 16 {
        // SAFETY: it is a hint, which does not fault wherever it points.
        unsafe { _mm_prefetch::<HINT>(row.wrapping_add(line * 16).cast()) };
    }
}

/// 8 values at a time.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Candidates, Copied, GROUPS, Kernels, Next, ROW, Row, Sum, Tile, VECTOR, prefetch};
    use crate::select::{MAGNITUDE, choose::choose as generic, portable};
    use std::arch::x86_64::*;

    /// Values of a vector.
    const LANES: usize = 8;

    /// # Safety
    /// The machine has AVX2; the tile lies within what `values` points to, and `to` has room for it.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn load(values: *const f32, tile: Tile, to: Copied<'_>) {
        tile.for_each(|Row { at, to: copy, ahead, chunk, group }| {
            prefetch::<_MM_HINT_T0>(values, ahead);
            // SAFETY: the caller promised that the tile's rows are there, and room for them.
            unsafe {
                let take = |vector: usize| _mm256_loadu_ps(values.add(at.wrapping_add(vector * LANES)));
                keep(take, to.values.as_mut_ptr().add(copy), group, to.maxima.get_unchecked_mut(chunk));
            }
        });
    }

    /// # Safety
    /// As [`load`], for both of the summands.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn accumulate(sum: Sum<'_>, tile: Tile, to: Copied<'_>) {
        let (error, delta, beta) = (sum.error.as_mut_ptr(), sum.delta.as_ptr(), _mm256_set1_ps(sum.beta));
        tile.for_each(|Row { at, to: copy, ahead, chunk, group }| {
            prefetch::<_MM_HINT_T0>(error, ahead);
            prefetch::<_MM_HINT_T0>(delta, ahead);
            // SAFETY: the caller promised that the tile's rows are there, and room for them.
            unsafe {
                let add = |vector: usize| {
                    let at = at.wrapping_add(vector * LANES);
                    let kept = _mm256_mul_ps(beta, _mm256_loadu_ps(error.add(at)));
                    let sum = _mm256_add_ps(kept, _mm256_loadu_ps(delta.add(at)));
                    _mm256_storeu_ps(error.add(at), sum);
                    sum
                };
                keep(add, to.values.as_mut_ptr().add(copy), group, to.maxima.get_unchecked_mut(chunk));
            }
        });
    }

    /// Copies a row's vectors, and keeps the largest magnitudes of the groups that begin at `group`.
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
            // SAFETY: groups are counted in whole vectors, so one begins at this place; the copy has room for a row.
            unsafe {
                _mm256_storeu_ps(copy.add(vector * LANES), values);
                _mm256_storeu_si256(most.cast(), _mm256_max_epu32(_mm256_loadu_si256(most.cast()), key));
            }
        }
    }

    /// A bit for each value of a row whose magnitude is at least `bound`.
    #[target_feature(enable = "avx2")]
    fn at_least(values: &[f32; ROW], bound: u32) -> u64 {
        let magnitude = _mm256_set1_epi32(MAGNITUDE as i32);
        // Magnitudes are ordered as signed integers too; the bound less 1 may be -1.
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
            // Packing works on halves of vectors: the quarters are put in order after it.
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            bits |= u64::from(_mm256_movemask_epi8(bytes) as u32) << (half * ROW / 2);
        }
        bits
    }

    /// [`choose`](generic) with these instructions.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn choose(
        next: &mut Next,
        values: &[f32],
        maxima: &[u32; GROUPS],
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) -> bool {
        // The closures have the instructions of the function around them.
        let kernels = Kernels {
            at_least: |values: &[f32; ROW], bound| at_least(values, bound),
            spread: |bits, first, positions: &mut [u16; ROW]| {
                next.ask();
                portable::spread(bits, first, positions);
            },
            count: |keys: &[[u32; VECTOR]], bound| count(keys, bound),
        };
        generic(values, maxima, candidates, positions, kernels)
    }

    /// How many keys are at least `bound`.
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

/// 16 values at a time.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Candidates, Copied, GROUPS, Kernels, Next, ROW, Row, Sum, Tile, VECTOR, prefetch};
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

    /// # Safety
    /// The machine has AVX-512F; the tile lies within what `values` points to, and `to` has room for it.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn load(values: *const f32, tile: Tile, to: Copied<'_>) {
        tile.for_each(|Row { at, to: copy, ahead, chunk, group }| {
            prefetch::<_MM_HINT_T0>(values, ahead);
            // SAFETY: the caller promised that the tile's rows are there, and room for them.
            unsafe {
                let take = |vector: usize| _mm512_loadu_ps(values.add(at.wrapping_add(vector * LANES)));
                keep(take, to.values.as_mut_ptr().add(copy), group, to.maxima.get_unchecked_mut(chunk));
            }
        });
    }

    /// # Safety
    /// As [`load`], for both of the summands.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn accumulate(sum: Sum<'_>, tile: Tile, to: Copied<'_>) {
        let (error, delta, beta) = (sum.error.as_mut_ptr(), sum.delta.as_ptr(), _mm512_set1_ps(sum.beta));
        tile.for_each(|Row { at, to: copy, ahead, chunk, group }| {
            prefetch::<_MM_HINT_T0>(error, ahead);
            prefetch::<_MM_HINT_T0>(delta, ahead);
            // SAFETY: the caller promised that the tile's rows are there, and room for them.
            unsafe {
                let add = |vector: usize| {
                    let at = at.wrapping_add(vector * LANES);
                    let kept = _mm512_mul_ps(beta, _mm512_loadu_ps(error.add(at)));
                    let sum = _mm512_add_ps(kept, _mm512_loadu_ps(delta.add(at)));
                    _mm512_storeu_ps(error.add(at), sum);
                    sum
                };
                keep(add, to.values.as_mut_ptr().add(copy), group, to.maxima.get_unchecked_mut(chunk));
            }
        });
    }

    /// Copies a row's vectors, and keeps the largest magnitudes of the groups that begin at `group`.
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
            // SAFETY: groups are counted in whole vectors, so one begins at this place; the copy has room for a row.
            unsafe {
                _mm512_storeu_ps(copy.add(vector * LANES), values);
                _mm512_storeu_si512(most.cast(), _mm512_max_epu32(_mm512_loadu_si512(most.cast()), key));
            }
        }
    }

    /// A bit for each value of a row whose magnitude is at least `bound`.
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

    /// [`choose`](generic) with these instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn choose(
        next: &mut Next,
        values: &[f32],
        maxima: &[u32; GROUPS],
        candidates: &mut Candidates,
        positions: &mut [u16],
    ) -> bool {
        // The closures have the instructions of the function around them.
        let kernels = Kernels {
            at_least: |values: &[f32; ROW], bound| at_least(values, bound),
            spread: |bits, first, positions: &mut [u16; ROW]| {
                next.ask();
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

    /// How many keys are at least `bound`.
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

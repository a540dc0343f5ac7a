//! The choice among the keys of a chunk: a bound that few reach, then exactly among those.

use super::{GROUPS, ROW, portable::magnitude};

/// Most candidates among which the choice is made by counting; chunks with more of them, most values of which are equal,
/// go another way.
pub(super) const MOST: usize = 1024;

/// Keys of which whole multiples are counted.
pub(super) const VECTOR: usize = 16;

/// How often the interval that holds the bound is halved.
const HALVINGS: usize = 7;

/// Memory for the choice.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// The candidates' keys.
    keys: Box<[u32; MOST + ROW]>,
    /// Their positions, ascending.
    positions: Box<[u16; MOST + ROW]>,
    /// All keys, where they are chosen among by partial sorting.
    all: Vec<u32>,
}

impl Default for Candidates {
    fn default() -> Self {
        Self { keys: Box::new([0; MOST + ROW]), positions: Box::new([0; MOST + ROW]), all: Vec::new() }
    }
}

/// What is done with vectors, where there are some.
pub(super) struct Kernels<AtLeast, Spread, Count> {
    /// A bit for each value of a row whose magnitude is at least a bound.
    pub(super) at_least: AtLeast,
    /// Writes the numbers of a row's set bits, added to the number of its first one; what is after them does not matter.
    pub(super) spread: Spread,
    /// How many keys are at least a bound; whole vectors of [`VECTOR`] keys.
    pub(super) count: Count,
}

/// Writes the positions of the largest values, fewer than there are. Whether it did: not if too many may be among them.
///
/// `values` are whole rows, `maxima` the largest magnitudes of groups of them. Inlined into callers that have vectors.
#[inline(always)]
pub(super) fn choose(
    values: &[f32],
    maxima: &[u32; GROUPS],
    candidates: &mut Candidates,
    positions: &mut [u16],
    kernels: Kernels<
        impl Fn(&[f32; ROW], u32) -> u64,
        impl FnMut(u64, u16, &mut [u16; ROW]),
        impl Fn(&[[u32; VECTOR]], u32) -> usize,
    >,
) -> bool {
    let k = positions.len();
    if k > GROUPS || k == 0 {
        return k == 0;
    }
    let Kernels { at_least, spread, count } = kernels;
    let bound = bound(maxima, k, &count);
    let Some(found) = candidates.collect(values, |row| at_least(row, bound), spread) else { return false };
    let most = maxima.iter().fold(0, |most, &key| most.max(key));
    let (threshold, ties) = candidates.threshold(bound..most + 1, found, k, count);
    candidates.write(found, threshold, ties, positions);
    true
}

/// A key that at least `k` of the maxima reach, and not many more.
#[inline(always)]
fn bound(maxima: &[u32; GROUPS], k: usize, count: impl Fn(&[[u32; VECTOR]], u32) -> usize) -> u32 {
    let (least, most) =
        maxima.iter().fold((u32::MAX, 0), |(least, most), &key| (least.min(key), most.max(key)));
    let (maxima, _) = maxima.as_chunks();
    let (mut low, mut high) = (least, most + 1);
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2;
        let reached = count(maxima, middle) >= k;
        (low, high) = if reached { (middle, high) } else { (low, middle) };
    }
    low
}

impl Candidates {
    /// Collects what reaches the bound, in order; how many. Nothing if there are too many.
    #[inline(always)]
    fn collect(
        &mut self,
        values: &[f32],
        at_least: impl Fn(&[f32; ROW]) -> u64,
        mut spread: impl FnMut(u64, u16, &mut [u16; ROW]),
    ) -> Option<usize> {
        let mut found = 0;
        let (rows, _) = values.as_chunks();
        for (row, first) in rows.iter().zip((0u16..).step_by(ROW)) {
            let reached = at_least(row);
            spread(reached, first, self.positions.get_mut(found..)?.first_chunk_mut()?);
            found += reached.count_ones() as usize;
        }
        if found > MOST {
            return None;
        }
        for (key, &position) in self.keys.iter_mut().zip(&self.positions[..found]) {
            *key = magnitude(values[usize::from(position)]);
        }
        // Counting takes whole vectors; zeros reach nothing.
        self.keys[found..found + VECTOR].fill(0);
        Some(found)
    }

    /// What the `k` largest candidates reach, and how many of those that are equal to it are among them, if not all. It is
    /// in `range`, the lower end of which all candidates reach.
    #[inline(always)]
    fn threshold(
        &self,
        range: std::ops::Range<u32>,
        all: usize,
        k: usize,
        count: impl Fn(&[[u32; VECTOR]], u32) -> usize,
    ) -> (u32, Option<usize>) {
        let (keys, _) = self.keys[..all.next_multiple_of(VECTOR)].as_chunks();
        let (mut low, mut reach_low) = (range.start, all);
        let (mut high, mut reach_high) = (range.end, 0);
        while reach_low > k && high - low > 1 {
            let middle = low + (high - low) / 2;
            let reach = count(keys, middle);
            if reach >= k {
                (low, reach_low) = (middle, reach);
            } else {
                (high, reach_high) = (middle, reach);
            }
        }
        (low, (reach_low > k).then_some(k - reach_high))
    }

    /// Writes the positions of candidates that reach the threshold; of those equal to it, only the first `ties`.
    #[inline(always)]
    fn write(&self, found: usize, threshold: u32, ties: Option<usize>, positions: &mut [u16]) {
        let mut chosen = [0; 2 * GROUPS];
        let mut written = 0;
        let candidates = self.keys[..found].iter().zip(&self.positions[..found]);
        if let Some(mut ties) = ties {
            for (&key, &position) in candidates {
                chosen[written % (2 * GROUPS)] = position;
                let tie = key == threshold && ties > 0;
                ties -= usize::from(tie);
                written += usize::from(key > threshold || tie);
            }
        } else {
            for (&key, &position) in candidates {
                chosen[written % (2 * GROUPS)] = position;
                written += usize::from(key >= threshold);
            }
        }
        positions.copy_from_slice(&chosen[..positions.len()]);
    }
}

/// Writes the positions of the largest values, by partial sorting: for small chunks, for many sent, for many equal values.
pub(super) fn choose_slowly(values: &[f32], candidates: &mut Candidates, positions: &mut [u16]) {
    let k = positions.len();
    if k == 0 {
        return;
    }
    let all = &mut candidates.all;
    all.clear();
    all.extend(values.iter().map(|&value| magnitude(value)));
    let kth = all.len() - k;
    let (_, &mut threshold, larger) = all.select_nth_unstable(kth);
    let mut ties = k - larger.iter().filter(|&&key| key > threshold).count();
    let mut slots = positions.iter_mut();
    for (position, &value) in values.iter().enumerate() {
        let key = magnitude(value);
        let tie = key == threshold && ties > 0;
        ties -= usize::from(tie);
        if key > threshold || tie {
            let Some(slot) = slots.next() else { return };
            *slot = position as u16;
        }
    }
}

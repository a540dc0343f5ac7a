//! Selects among the keys of a chunk: first finds a bound that few keys reach, then selects exactly
//! among those.

use super::{GROUPS, ROW, portable::magnitude};

/// The most candidates for selection by counting. Chunks with more candidates, mostly of equal
/// values, use partial sorting instead.
pub(super) const MOST: usize = 1024;

/// The unit of counting: keys are counted in whole multiples of this.
pub(super) const VECTOR: usize = 16;

/// The number of times that the interval of the bound is halved.
const HALVINGS: usize = 7;

/// The memory for a selection.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// The candidates' keys.
    keys: Box<[u32; MOST + ROW]>,
    /// Their positions, ascending.
    positions: Box<[u16; MOST + ROW]>,
    /// All keys, for selection by partial sorting.
    all: Vec<u32>,
}

impl Default for Candidates {
    fn default() -> Self {
        Self { keys: Box::new([0; MOST + ROW]), positions: Box::new([0; MOST + ROW]), all: Vec::new() }
    }
}

/// The operations that use vectors where the machine has them.
pub(super) struct Kernels<AtLeast, Spread, Count> {
    /// Returns a bit for each value of a row: whether its magnitude is at least a bound.
    pub(super) at_least: AtLeast,
    /// Writes the numbers of a row's set bits, added to the number of its first value. The
    /// positions after them are unspecified.
    pub(super) spread: Spread,
    /// Returns how many keys are at least a bound. Takes whole vectors of [`VECTOR`] keys.
    pub(super) count: Count,
}

/// Writes the positions of the largest values. Returns `false`, without a result, if too many
/// values or positions are involved for this method.
///
/// `values` are whole rows with more values than `positions`, and `maxima` are the largest
/// magnitudes of groups of them. Inlined into callers that have vectors.
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

/// Returns a key that at least `k` of the maxima reach, and not many more.
#[inline(always)]
fn bound(maxima: &[u32; GROUPS], k: usize, count: impl Fn(&[[u32; VECTOR]], u32) -> usize) -> u32 {
    let (least, most) =
        maxima.iter().fold((u32::MAX, 0), |(least, most), &key| (least.min(key), most.max(key)));
    let (maxima, _) = maxima.as_chunks();
    let mut low = least;
    let mut high = most + 1;
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2;
        let reached = count(maxima, middle) >= k;
        (low, high) = if reached { (middle, high) } else { (low, middle) };
    }
    low
}

impl Candidates {
    /// Collects the values that reach the bound, in order, and returns their number. Returns `None`
    /// if there are too many.
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
        // Counting takes whole vectors. Zeros reach no bound.
        self.keys[found..found + VECTOR].fill(0);
        Some(found)
    }

    /// Returns the key that the `k` largest candidates reach. If not all candidates equal to it are
    /// selected, also returns the number of those that are. The key is in `range`; all candidates
    /// reach its lower end.
    #[inline(always)]
    fn threshold(
        &self,
        range: std::ops::Range<u32>,
        all: usize,
        k: usize,
        count: impl Fn(&[[u32; VECTOR]], u32) -> usize,
    ) -> (u32, Option<usize>) {
        let (keys, _) = self.keys[..all.next_multiple_of(VECTOR)].as_chunks();
        let mut low = range.start;
        let mut reach_low = all;
        let mut high = range.end;
        let mut reach_high = 0;
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

    /// Writes the positions of the candidates that reach the threshold. Of those equal to it,
    /// writes only the first `ties`.
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

/// Writes the positions of the largest values, by partial sorting. For small chunks, for many
/// selected values, and for many equal values.
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

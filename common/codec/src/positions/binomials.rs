//! Provides binomial coefficients, and converts sets to and from numbers. The set of the rising
//! positions `p_1, p_2, ..` has the number `C(p_1, 1) + C(p_2, 2) + ..` (the combinatorial number
//! system, in colexicographic order).

use super::{MOST_RANKED, MOST_RANKED_COUNT, roots::Roots};

/// Columns of the table, enough for one more than [`MOST_RANKED`]. Not a power of two, so that rows
/// do not compete for the same cache lines.
const COLUMNS: usize = MOST_RANKED as usize + 8;

/// A table of `C(n, k)` for `n` up to [`MOST_RANKED`] and `k` up to [`MOST_RANKED_COUNT`], where it
/// is less than 2^63.
#[derive(Debug)]
pub(super) struct Binomials {
    /// The coefficients by `k`, then by `n`; [`u64::MAX`] where the coefficient is 2^63 or more.
    rows: Vec<[u64; COLUMNS]>,
    roots: Roots,
}

impl Binomials {
    pub(super) fn new() -> Self {
        let mut rows = vec![[1u64; COLUMNS]];
        for k in 1..=MOST_RANKED_COUNT as usize {
            let mut row = [0; COLUMNS];
            for n in 1..COLUMNS {
                let sum = rows[k - 1][n - 1].saturating_add(row[n - 1]);
                row[n] = if sum >> 63 == 0 { sum } else { u64::MAX };
            }
            rows.push(row);
        }
        Self { rows, roots: Roots::new() }
    }

    /// Returns the number of sets of `count` of `size` values, if such sets are written as numbers.
    #[inline]
    pub(super) fn sets(&self, size: u32, count: u32) -> Option<u64> {
        if size > MOST_RANKED || count > MOST_RANKED_COUNT {
            return None;
        }
        Some(self.rows[count as usize][size as usize]).filter(|&sets| sets != u64::MAX)
    }

    /// Returns the number of a set of rising positions, where `start` is the first possible position.
    #[inline]
    pub(super) fn rank(&self, start: u32, positions: &[u16]) -> u64 {
        let terms = self.rows[1..].iter().zip(positions);
        terms.map(|(row, &position)| row[usize::from(position) - start as usize]).sum()
    }

    /// Removes the last of `k` positions from each number. Passes the position, relative to its
    /// part, to `write`, and leaves the number of the remaining positions. `k` is at least 2.
    #[inline]
    pub(super) fn take_last(&self, k: usize, ranks: &mut [u64], mut write: impl FnMut(usize, usize)) {
        if k == 2 {
            return ranks.iter_mut().enumerate().for_each(|(at, rank)| {
                let n = last_of_two(*rank);
                *rank -= n * (n - 1) / 2;
                write(at, n as usize);
            });
        }
        let steps = &self.rows[k - 1];
        let row = &self.rows[k];
        let root = self.roots.of(k);
        for (at, rank) in ranks.iter_mut().enumerate() {
            // The largest `n` with `C(n, k) <= rank` is nearly always the guess, or one more.
            let guess = root.guess(*rank).min(COLUMNS - 2);
            let mut n = guess + usize::from(row[guess + 1] <= *rank);
            let mut rest = rank.wrapping_sub(row[n]);
            // There are `C(n, k - 1)` numbers from one `n` to the next.
            if rest >= steps[n] {
                n = search(row, *rank);
                rest = *rank - row[n];
            }
            *rank = rest;
            write(at, n);
        }
    }
}

/// Returns the largest `n` with `C(n, 2) <= rank`, by solving `n (n - 1) / 2 <= rank`. A rank of at
/// most 512 values is so small that the square root is rounded to the right side.
#[inline]
fn last_of_two(rank: u64) -> u64 {
    (((8 * rank + 1) as i64 as f64).sqrt() as i64 as u64).div_ceil(2)
}

/// Returns the largest `n` with `row[n] <= rank`. Called when the guess was wrong.
#[cold]
fn search(row: &[u64; COLUMNS], rank: u64) -> usize {
    row.partition_point(|&number| number <= rank) - 1
}

/// Returns `C(n, k)` for all `k` up to `n`, which is at most 64.
pub(super) fn row(n: u32) -> Vec<u128> {
    (0..n).fold(vec![1], |row, _| {
        let inner = row.windows(2).map(|pair| pair[0] + pair[1]);
        std::iter::once(1).chain(inner).chain([1]).collect()
    })
}

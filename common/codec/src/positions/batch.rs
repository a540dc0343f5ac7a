//! Sets that are decoded together: each position depends on the ones after it, so a processor is kept busy by those of
//! other sets.

use super::{MOST_RANKED_COUNT, Part, binomials::Binomials};

/// Sets of a batch.
const SETS: usize = 64;

/// Numbers of sets that were read, and where their positions go.
pub(super) struct Batch {
    sets: [Ranked; SETS],
    count: usize,
}

/// A set as a number.
#[derive(Clone, Copy, Default)]
struct Ranked {
    rank: u64,
    /// Where its positions begin among those of the chunk.
    at: u32,
    /// The first value of its part.
    start: u16,
    /// Positions.
    count: u16,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { sets: [Ranked::default(); SETS], count: 0 }
    }

    /// Adds a part's set, whose positions go to `positions[at..]`; decodes all if there is no more room.
    #[inline]
    pub(super) fn add(
        &mut self,
        part: Part,
        rank: u64,
        at: usize,
        binomials: &Binomials,
        positions: &mut [u16],
    ) {
        let set = Ranked { rank, at: at as u32, start: part.start as u16, count: part.count as u16 };
        self.sets[self.count] = set;
        self.count += 1;
        if self.count == SETS {
            self.decode(binomials, positions);
        }
    }

    /// Writes the positions of all sets.
    pub(super) fn decode(&mut self, binomials: &Binomials, positions: &mut [u16]) {
        // From the most positions to the fewest, so that those with a `k`-th position are in front.
        let sets = &self.sets[..self.count];
        let (mut at_least, mut most) = ([0; MOST_RANKED_COUNT as usize + 2], 0);
        for set in sets {
            at_least[usize::from(set.count)] += 1;
            most = most.max(usize::from(set.count));
        }
        for k in (1..most).rev() {
            at_least[k] += at_least[k + 1];
        }
        let mut ranks = [0; SETS];
        let mut ordered = [Ranked::default(); SETS];
        let mut next = at_least;
        for set in sets {
            let slot = &mut next[usize::from(set.count) + 1];
            (ranks[*slot], ordered[*slot]) = (set.rank, *set);
            *slot += 1;
        }
        for k in (2..=most).rev() {
            binomials.take_last(k, &mut ranks[..at_least[k]], |set, position| {
                let set = &ordered[set];
                positions[set.at as usize + k - 1] = set.start + position as u16;
            });
        }
        for (set, rank) in ordered.iter().zip(ranks).take(self.count) {
            positions[set.at as usize] = set.start + rank as u16;
        }
        self.count = 0;
    }
}

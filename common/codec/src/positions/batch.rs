//! Decodes several sets together. Each position of a set depends on the ones after it, so
//! interleaving independent sets keeps the processor busy.

use super::{MOST_RANKED_COUNT, Part, binomials::Binomials};

/// The number of sets in a batch.
const SETS: usize = 64;

/// The numbers of the sets that were read, and the places for their positions.
pub(super) struct Batch {
    sets: [Ranked; SETS],
    count: usize,
}

/// A set in the form of its number.
#[derive(Clone, Copy, Default)]
struct Ranked {
    rank: u64,
    /// The index of its first position in the output.
    at: u32,
    /// The first value of its part.
    start: u16,
    /// The number of positions.
    count: u16,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { sets: [Ranked::default(); SETS], count: 0 }
    }

    /// Adds a part's set, whose positions go to `positions[at..]`. Decodes the whole batch when it is full.
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

    /// Writes the positions of all sets and empties the batch.
    pub(super) fn decode(&mut self, binomials: &Binomials, positions: &mut [u16]) {
        // Sorts the sets from the most positions to the fewest, so that those with a `k`-th
        // position are in front.
        let sets = &self.sets[..self.count];
        let mut at_least = [0; MOST_RANKED_COUNT as usize + 2];
        let mut most = 0;
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

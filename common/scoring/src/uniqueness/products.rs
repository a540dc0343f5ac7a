//! Computes the products of many sparse vectors with each other.

use super::Fingerprint;

/// The values of one chunk of all vectors, sorted by position.
#[derive(Debug, Default)]
struct Columns {
    /// The end of each position in `entries`.
    ends: Vec<usize>,
    /// Number of the vector, and value.
    entries: Vec<(u32, i32)>,
}

/// Returns the products of the first `left` vectors with all vectors: row after row.
///
/// A pair costs a step for each position that both have, so sparse vectors cost little. The chunks are
/// divided among `threads` threads. Sums of integers do not depend on that.
pub(super) fn products(vectors: &[&Fingerprint], left: usize, threads: usize) -> Vec<i64> {
    let chunks = vectors.iter().map(|vector| vector.chunks()).max().unwrap_or(0);
    let threads = threads.clamp(1, chunks.max(1));
    let part = |thread: usize| {
        let mut sums = vec![0; left * vectors.len()];
        let mut columns = Columns::default();
        for chunk in (thread..chunks).step_by(threads) {
            columns.fill(vectors, chunk);
            columns.add_products(vectors.len(), left as u32, &mut sums);
        }
        sums
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let mut sums = part(0);
        for other in others {
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sums.iter_mut().zip(other).for_each(|(sum, more)| *sum += more);
        }
        sums
    })
}

impl Columns {
    /// Takes the values of a chunk of all vectors (a counting sort by position).
    fn fill(&mut self, vectors: &[&Fingerprint], chunk: usize) {
        self.ends.clear();
        for (position, _) in vectors.iter().flat_map(|vector| vector.chunk(chunk)) {
            let position = usize::from(*position);
            if self.ends.len() <= position {
                self.ends.resize(position + 1, 0);
            }
            self.ends[position] += 1;
        }
        let mut total = 0;
        for end in &mut self.ends {
            (total, *end) = (total + *end, total);
        }
        self.entries.clear();
        self.entries.resize(total, (0, 0));
        for (number, vector) in vectors.iter().enumerate() {
            for &(position, value) in vector.chunk(chunk) {
                let place = &mut self.ends[usize::from(position)];
                self.entries[*place] = (number as u32, value.into());
                *place += 1;
            }
        }
    }

    /// Adds the products of all pairs that share a position.
    fn add_products(&self, row: usize, left: u32, sums: &mut [i64]) {
        let mut start = 0;
        for &end in &self.ends {
            let entries = &self.entries[start..end];
            start = end;
            // Vectors come in the order of their numbers, so those of the left side come first.
            for &(number, value) in entries.iter().take_while(|(number, _)| *number < left) {
                let sums = &mut sums[number as usize * row..][..row];
                for &(other, factor) in entries {
                    sums[other as usize] += i64::from(value * factor);
                }
            }
        }
    }
}

//! Adds terms in a fixed tree, so that their sum has the same bits on every machine.

/// A sum in a fixed tree. For each run of `2^n` terms that begins at a multiple of `2^n`, each half
/// is summed first. The incomplete runs at the end are added from the smallest up.
pub(crate) struct Pairwise {
    /// Sums of `2^n` terms that wait for their other half.
    waiting: [f64; 64],
    count: u64,
}

impl Default for Pairwise {
    fn default() -> Self {
        Self { waiting: [0.0; 64], count: 0 }
    }
}

impl Pairwise {
    /// Adds the next term.
    pub(crate) fn add(&mut self, term: f64) {
        let levels = self.count.trailing_ones() as usize;
        self.waiting[levels] = self.waiting[..levels].iter().fold(term, |sum, left| left + sum);
        self.count += 1;
    }

    /// Returns the sum of all terms.
    pub(crate) fn total(&self) -> f64 {
        let levels = (0..64).filter(|level| self.count >> level & 1 == 1);
        levels.fold(0.0, |sum, level| self.waiting[level] + sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computes the same tree, from the top.
    fn tree(terms: &[f64]) -> f64 {
        match terms.len() {
            0 => 0.0,
            1 => terms[0],
            count if count.is_power_of_two() => tree(&terms[..count / 2]) + tree(&terms[count / 2..]),
            count => {
                let left = 1 << count.ilog2();
                tree(&terms[..left]) + tree(&terms[left..])
            }
        }
    }

    proptest! {
        #[test]
        fn the_tree_is_fixed(terms in proptest::collection::vec(0.0f64..1.0, 0..70)) {
            let mut sum = Pairwise::default();
            terms.iter().for_each(|&term| sum.add(term));
            prop_assert_eq!(sum.total().to_bits(), tree(&terms).to_bits());
        }
    }
}

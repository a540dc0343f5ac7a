//! [`Score`], the amount by which a miner is paid.
//!
//! `score = contribution^2 x proof x credit`. [Weights](crate::weights) are proportional to it. The
//! [contribution](crate::gauntlet::contribution) includes the share of samples and the uniqueness of the
//! miner's updates, each with the power 1 in the score.
//!
//! * Pay is proportional, without ranks: equal miners earn the same, and a little more work earns a little
//!   more.
//! * The square pays one miner more than two that each do half. Splitting a training run thus never pays.

use base::Millionths;

/// The score by which a miner is paid, in units of 1e-12. A miner that has passed and contributes as much as
/// the field has about 1e12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub u64);

impl Score {
    /// Computes a score from the mean contribution (0 to 2), the factor of the proof and the credit (each 0
    /// to 1). The product is rounded down once.
    #[must_use]
    pub fn of(contribution: Millionths, proof: Millionths, credit: Millionths) -> Self {
        let part = |number: Millionths, most: i64| u128::from(number.0.clamp(0, most).unsigned_abs());
        let contribution = part(contribution, 2 * Millionths::ONE.0);
        let factors = part(proof, Millionths::ONE.0) * part(credit, Millionths::ONE.0);
        Self((contribution * contribution * factors / WHOLE) as u64)
    }

    /// Returns the score as a number: 1 for a contribution of 1 with all factors 1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0 as f64 / WHOLE as f64
    }
}

/// The number of units of a score of 1, and the scale of two factors in millionths.
const WHOLE: u128 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scores_are_products() {
        let score = |c, p, k| Score::of(Millionths(c), Millionths(p), Millionths(k)).get();
        assert_eq!(score(1_000_000, 1_000_000, 1_000_000), 1.0);
        assert_eq!(score(500_000, 500_000, 750_000), 0.25 * 0.5 * 0.75);
        assert_eq!(score(5_000_000, 1_000_000, 1_000_000), 4.0);
        assert_eq!((score(-1, 1, 1), score(1_000_000, 0, 1_000_000)), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn more_of_anything_never_scores_less(
            c in 0..2_000_000i64, p in 0..1_000_000i64, k in 0..1_000_000i64, more in 0..1_000_000i64,
        ) {
            let score = |c, p, k| Score::of(Millionths(c), Millionths(p), Millionths(k));
            let least = score(c, p, k);
            prop_assert!(score(c + more, p, k) >= least && score(c, p + more, k) >= least);
            prop_assert!(score(c, p, k + more) >= least);
        }
    }
}

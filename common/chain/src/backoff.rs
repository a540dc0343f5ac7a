//! Pauses between attempts: exponential backoff with jitter and an upper bound.

use std::time::Duration;

use rand::Rng;

/// The sequence of pauses between attempts. Each pause is drawn between half and all of a bound that doubles.
/// The jitter keeps many clients of one node from reconnecting at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempt: 0 }
    }

    /// Draws the pause before the next attempt.
    pub(crate) fn pause(&mut self, rng: &mut impl Rng) -> Duration {
        let bound = self.first.saturating_mul(1 << self.attempt.min(20)).min(self.longest);
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Starts again with the shortest pause, after an attempt that succeeded.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for bound in [100, 200, 400, 800, 1600, 2000, 2000, 2000] {
            let pause = backoff.pause(&mut rng);
            let bound = Duration::from_millis(bound);
            assert!(pause >= bound / 2 && pause <= bound, "{pause:?} for a bound of {bound:?}");
        }
    }

    #[test]
    fn a_thousand_attempts_do_not_overflow() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        assert!((0..1000).all(|_| backoff.pause(&mut rng) <= Duration::from_secs(30)));
    }

    #[test]
    fn after_a_success_pauses_are_short_again() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let before: Vec<_> = (0..9).map(|_| backoff.pause(&mut rng)).collect();
        assert!(before[8] > Duration::from_secs(12), "{before:?}");
        backoff.reset();
        assert!(backoff.pause(&mut rng) <= Duration::from_millis(100));
    }
}

//! A small generator of pseudo-random numbers: the same numbers for the same seed on every machine.

/// A generator of pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Creates a generator. `purpose` separates the numbers of one seed.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws a number below `bound`, or 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // The high half of the product: no division, and a bias that no test can see.
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Draws a number from `first` to `last`, both included.
    pub(crate) fn within(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// Returns true `parts` times out of a thousand.
    pub(crate) fn per_mille(&mut self, parts: u64) -> bool {
        self.below(1000) < parts
    }

    /// Draws a place of a list; `None` if the list is empty.
    pub(crate) fn pick(&mut self, length: usize) -> Option<usize> {
        let place = self.below(length as u64);
        (length > 0).then(|| usize::try_from(place).unwrap_or(0))
    }
}

/// Returns 32 bytes that depend on each of the numbers.
pub(crate) fn bytes(purpose: u64, numbers: [u64; 3]) -> [u8; 32] {
    let mut state = mix(purpose.wrapping_add(0x9e37_79b9_7f4a_7c15));
    for number in numbers {
        state = mix(state ^ mix(number.wrapping_add(0x2545_f491_4f6c_dd1d)));
    }
    let mut result = [0; 32];
    for (place, part) in result.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&mix(state.wrapping_add(place as u64)).to_le_bytes());
    }
    result
}

/// Mixes the bits of a number.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_known_and_within_bounds() {
        let mut random = Random::new(1, 2);
        let drawn: Vec<u64> = (0..4).map(|_| random.within(10, 19)).collect();
        let mut again = Random::new(1, 2);
        assert_eq!(drawn, (0..4).map(|_| again.within(10, 19)).collect::<Vec<_>>());
        assert!((0..1000).map(|_| random.within(3, 5)).all(|number| (3..=5).contains(&number)));
        assert_eq!((random.below(0), random.pick(0)), (0, None));
        assert_ne!(bytes(1, [1, 2, 3]), bytes(1, [1, 3, 2]));
    }
}

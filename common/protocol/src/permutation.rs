//! Keyed permutations of the numbers below `n`, one element at a time.
//!
//! The permutation is a Feistel network over pairs `(a, b)` with `a, b < s`, where `s` is the
//! smallest number with `s x s >= n`. A result of `n` or above goes through the network again
//! (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). The round
//! function is BLAKE3 under a key. Without the key, the result cannot be told from a random
//! permutation.

/// Rounds of the network. Four are enough against attackers who choose inputs. This is twice as many.
const ROUNDS: u8 = 8;

/// A permutation of the numbers below [`Self::len`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    key: [u8; 32],
    length: u64,
    side: u64,
}

impl Permutation {
    /// Creates the permutation of the numbers below `length` under a key.
    #[must_use]
    pub fn new(key: [u8; 32], length: u64) -> Self {
        let root = length.isqrt();
        let side = if root * root == length { root } else { root + 1 };
        Self { key, length, side }
    }

    /// Returns how many numbers it permutes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Checks whether there is no number to permute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the image of `position`, or `None` if it is not below [`Self::len`].
    #[must_use]
    pub fn at(&self, position: u64) -> Option<u64> {
        if position >= self.length {
            return None;
        }
        // The network permutes the larger square. So cycle walking from a number below `length`
        // ends below it.
        let mut number = self.network(position);
        while number >= self.length {
            number = self.network(number);
        }
        Some(number)
    }

    fn network(&self, number: u64) -> u64 {
        let side = self.side;
        let mut left = number / side;
        let mut right = number % side;
        for round in 0..ROUNDS {
            let mixed = u128::from(left) + u128::from(self.round(round, right));
            let next = u64::try_from(mixed % u128::from(side)).expect("a remainder of a u64");
            (left, right) = (right, next);
        }
        // `side` is at most 2^32, so the product is at most 2^64 - 1.
        left * side + right
    }

    fn round(&self, round: u8, half: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[round]).update(&half.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_small_length_is_permuted() {
        for length in 0..200 {
            let permutation = Permutation::new([7; 32], length);
            let image: BTreeSet<_> = (0..length).filter_map(|position| permutation.at(position)).collect();
            assert!(image.into_iter().eq(0..length), "{length}");
            assert_eq!(permutation.at(length), None);
        }
    }

    #[test]
    fn known_numbers() {
        let permutation = Permutation::new([7; 32], 1000);
        let first = [0, 1, 2, 3, 4].map(|position| permutation.at(position).unwrap());
        assert_eq!(first, [757, 957, 761, 115, 680]);
    }

    #[test]
    fn positions_are_spread_evenly() {
        // Sends position 0 of 10 under 1000 keys: each place gets about 100 (standard deviation 9.5).
        let mut counts = [0u32; 10];
        for key in 0..1000u32 {
            let key = *blake3::hash(&key.to_le_bytes()).as_bytes();
            counts[Permutation::new(key, 10).at(0).unwrap() as usize] += 1;
        }
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn large_permutations_stay_in_range_and_do_not_collide(key: [u8; 32], length in 2u64.., a: u64, b: u64) {
            let permutation = Permutation::new(key, length);
            let a = a % length;
            let b = b % length;
            let images = [a, b].map(|position| permutation.at(position).unwrap());
            prop_assert!(images.iter().all(|image| *image < length));
            prop_assert_eq!(images[0] == images[1], a == b);
        }
    }
}

//! Random numbers that follow from a seed, the same on every machine.

/// A stream of random numbers.
pub(crate) struct Random(blake3::OutputReader);

impl Random {
    /// Creates the stream of a seed.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(&seed).finalize_xof())
    }

    /// Returns a number from 0 to 2^64 - 1.
    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Returns whether an event of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        (self.number() as f64) < probability * (u64::MAX as f64)
    }

    /// Returns values that are even between -1 and 1.
    pub(crate) fn noise(&mut self, count: usize) -> Vec<f32> {
        let mut bytes = vec![0; 4 * count];
        self.0.fill(&mut bytes);
        let value = |four: &[u8; 4]| i32::from_le_bytes(*four) as f32 / i32::MAX as f32;
        bytes.as_chunks().0.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_seed_others() {
        let numbers = |seed| Random::new([seed; 32]).noise(1000);
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        let values = numbers(1);
        assert!(values.iter().all(|value| value.abs() <= 1.0));
        assert!((values.iter().sum::<f32>() / 1000.0).abs() < 0.1);
        let mut random = Random::new([3; 32]);
        let hits = (0..1000).filter(|_| random.happens(0.25)).count();
        assert!((200..300).contains(&hits), "{hits}");
    }
}

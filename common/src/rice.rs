//! Positions of a chunk's values as Golomb-Rice codes of the gaps between them.
//!
//! Of the gap before each position, `b` low bits are written as they are and the rest in unary: as many zeros, then a
//! one. For 64 positions of 4096 `b` is 5, and uniformly chosen positions take 7.53 bits each, where no code can do
//! with less than log2 C(4096, 64) / 64 = 7.364. Gaps cannot be negative, so bits decode to ascending positions or
//! to none at all.

mod bits;

pub use bits::{BitReader, BitWriter};

/// Why bits are no positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RiceError {
    /// The bits end within a position.
    #[error("the bits end within a position")]
    Truncated,
    /// A position that the chunk does not have.
    #[error("a position is not in its chunk")]
    Outside,
}

/// How the positions of chunks of one size are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rice {
    /// Values of a chunk.
    size: u32,
    /// Positions written of each chunk.
    count: u32,
    /// Low bits of a gap that are written as they are.
    low: u32,
}

impl Rice {
    /// The code for `count` positions in chunks of `size` values (at most 65,536).
    #[must_use]
    pub fn new(size: usize, count: usize) -> Self {
        let (size, count) = (size as u32, count.min(size) as u32);
        // Half of the mean gap is near the best parameter, its logarithm times ln 2: 5 for 64 of 4096.
        let low = size.checked_div(count).map_or(0, |gap| gap.max(1).ilog2().saturating_sub(1));
        Self { size, count, low }
    }

    /// Most bits that the positions of a chunk can take.
    #[must_use]
    pub fn most_bits(&self) -> usize {
        if self.is_whole() {
            return 0;
        }
        // The unary parts cannot add up to more than the values between the positions.
        (self.count * (self.low + 1) + ((self.size - self.count) >> self.low)) as usize
    }

    /// Whether all values of a chunk are sent, so that their positions need no bits.
    fn is_whole(&self) -> bool {
        self.count == self.size
    }

    /// Appends the positions of a chunk: as many as the code is for, ascending, in the chunk.
    pub fn write(&self, positions: &[u16], to: &mut BitWriter<'_>) {
        debug_assert_eq!(positions.len(), self.count as usize, "a chunk sends a fixed number of values");
        if self.is_whole() {
            return;
        }
        let mut next = 0;
        for &position in positions {
            let gap = u32::from(position) - next;
            to.write(gap & ((1 << self.low) - 1), self.low);
            to.write_unary(gap >> self.low);
            next = u32::from(position) + 1;
        }
    }

    /// Reads the positions of a chunk into `positions`, which has room for exactly those.
    ///
    /// # Errors
    /// The bits end before, or a position is not in the chunk.
    pub fn read(&self, from: &mut BitReader<'_>, positions: &mut [u16]) -> Result<(), RiceError> {
        debug_assert_eq!(positions.len(), self.count as usize, "a chunk sends a fixed number of values");
        if self.is_whole() {
            positions.iter_mut().enumerate().for_each(|(at, position)| *position = at as u16);
            return Ok(());
        }
        let mut next = 0;
        for slot in positions {
            let low = from.read(self.low)?;
            let high = from.read_unary(self.size >> self.low)?;
            let position = next + (high << self.low) + low;
            if position >= self.size {
                return Err(RiceError::Outside);
            }
            *slot = position as u16;
            next = position + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(rice: Rice, positions: &[u16]) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        rice.write(positions, &mut writer);
        let bits = writer.finish();
        (bytes, bits)
    }

    /// Positions of a chunk, chosen uniformly.
    fn positions(size: usize, count: usize) -> impl Strategy<Value = Vec<u16>> {
        proptest::sample::subsequence((0..size).map(|at| at as u16).collect::<Vec<_>>(), count)
    }

    #[test]
    fn the_parameter_suits_the_density() {
        let low = |size, count| Rice::new(size, count).low;
        assert_eq!((low(4096, 64), low(4096, 32), low(1300, 64), low(128, 64), low(64, 64)), (5, 6, 3, 0, 0));
        assert_eq!(Rice::new(4096, 64).most_bits(), 64 * 6 + 126);
        assert_eq!(Rice::new(64, 64).most_bits(), 0);
        assert_eq!(Rice::new(0, 64).most_bits(), 0);
    }

    #[test]
    fn the_longest_code_is_as_long_as_promised() {
        let rice = Rice::new(4096, 64);
        let last: Vec<u16> = (4096 - 64..4096).map(|at| at as u16).collect();
        assert_eq!(written(rice, &last).1, rice.most_bits());
    }

    /// On uniformly chosen positions, 64 of 4096: the bound is 7.364, the expectation 7.526.
    #[test]
    fn positions_take_at_most_7_55_bits() {
        let (rice, chunks) = (Rice::new(4096, 64), 4000);
        let mut stream = blake3::Hasher::new().finalize_xof();
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        for _ in 0..chunks {
            let mut chosen = std::collections::BTreeSet::new();
            while chosen.len() < 64 {
                let mut draw = [0; 2];
                stream.fill(&mut draw);
                chosen.insert(u16::from_le_bytes(draw) & 4095);
            }
            rice.write(&chosen.into_iter().collect::<Vec<_>>(), &mut writer);
        }
        let bits = writer.finish() as f64 / f64::from(chunks * 64);
        assert!((7.45..=7.55).contains(&bits), "{bits}");
    }

    #[test]
    fn positions_outside_of_the_chunk_are_refused() {
        let rice = Rice::new(1300, 64);
        let zeros = [0; 400];
        assert_eq!(rice.read(&mut BitReader::new(&zeros), &mut [0; 64]), Err(RiceError::Outside));
        let (bytes, _) = written(Rice::new(4096, 64), &(4032..4096).map(|at| at as u16).collect::<Vec<_>>());
        let short = Rice { size: 4000, ..Rice::new(4096, 64) };
        assert_eq!(short.read(&mut BitReader::new(&bytes), &mut [0; 64]), Err(RiceError::Outside));
    }

    proptest! {
        #[test]
        fn positions_come_back_and_every_cut_is_noticed(
            (size, positions) in (1usize..3000).prop_flat_map(|size| (0..=size.min(100)).prop_flat_map(move |count| (Just(size), positions(size, count)))),
        ) {
            let rice = Rice::new(size, positions.len());
            let (bytes, bits) = written(rice, &positions);
            prop_assert!(bits <= rice.most_bits());
            let mut reader = BitReader::new(&bytes);
            let mut read = vec![0; positions.len()];
            prop_assert_eq!(rice.read(&mut reader, &mut read), Ok(()));
            prop_assert_eq!(&read, &positions);
            prop_assert_eq!(reader.position(), bits);
            prop_assert!(reader.is_padding());
            if !bytes.is_empty() {
                let cut = rice.read(&mut BitReader::new(&bytes[..bytes.len() - 1]), &mut read);
                prop_assert_eq!(cut, Err(RiceError::Truncated));
            }
        }

        #[test]
        fn any_bits_are_positions_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut read = [0; 64];
            if Rice::new(4096, 64).read(&mut BitReader::new(&bytes), &mut read).is_ok() {
                prop_assert!(read.is_sorted_by(|a, b| a < b) && read[63] < 4096);
            }
        }
    }
}

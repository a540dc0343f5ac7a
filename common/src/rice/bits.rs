//! Bits in bytes, the lowest bit of each byte first.

use super::RiceError;

/// Appends bits to bytes.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits that do not fill a byte yet.
    pending: u64,
    /// Their number, less than 8 between calls.
    count: u32,
    /// Bits written in all.
    written: usize,
}

/// Reads bits from bytes.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

/// Bits that [`BitReader::window`] holds at least, unless the input ends before.
const WINDOW: usize = 57;

impl<'a> BitWriter<'a> {
    /// Appends after what `bytes` holds.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0, written: 0 }
    }

    /// Appends the lowest `count` bits of a number that has no higher ones; at most 32.
    pub fn write(&mut self, bits: u32, count: u32) {
        debug_assert!(count == 32 || bits >> count == 0, "a number fits its bits");
        self.pending |= u64::from(bits) << self.count;
        self.count += count;
        self.written += count as usize;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Appends so many zeros, then a one.
    pub fn write_unary(&mut self, mut zeros: u32) {
        while zeros >= 31 {
            self.write(0, 31);
            zeros -= 31;
        }
        self.write(1 << zeros, zeros + 1);
    }

    /// Fills the last byte with zeros; how many bits were written before.
    pub fn finish(self) -> usize {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.written
    }
}

impl<'a> BitReader<'a> {
    /// Reads from the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bits read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bits not read yet.
    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    /// The next bits, lowest first: at least [`WINDOW`] of them or all that are left; zeros follow the last.
    fn window(&self) -> u64 {
        let rest = &self.bytes[self.position / 8..];
        let bits = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => rest.iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte)),
        };
        bits >> (self.position % 8)
    }

    /// Reads a number of `count` bits, at most 32.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn read(&mut self, count: u32) -> Result<u32, RiceError> {
        if self.left() < count as usize {
            return Err(RiceError::Truncated);
        }
        let bits = self.window() & ((1 << count) - 1);
        self.position += count as usize;
        Ok(bits as u32)
    }

    /// Reads zeros up to a one; how many there were.
    ///
    /// # Errors
    /// There are more than `most`, or the input ends before the one.
    pub fn read_unary(&mut self, most: u32) -> Result<u32, RiceError> {
        let mut total = 0;
        loop {
            let held = self.left().min(WINDOW) as u32;
            let zeros = self.window().trailing_zeros().min(held);
            total += zeros;
            if total > most {
                return Err(RiceError::Outside);
            }
            if zeros < held {
                self.position += zeros as usize + 1;
                return Ok(total);
            }
            if held < WINDOW as u32 {
                return Err(RiceError::Truncated);
            }
            self.position += held as usize;
        }
    }

    /// Whether what is left is less than a byte and all zeros: the padding of a whole number of bytes.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.left() < 8 && self.window() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lowest_bit_comes_first() {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        writer.write(0b01, 2);
        writer.write_unary(3);
        writer.write(0b111, 3);
        assert_eq!(writer.finish(), 9);
        assert_eq!(bytes, [0b1110_0001, 0b1]);
        assert!(!BitReader::new(&[0, 0]).is_padding(), "a whole byte is no padding");
        let mut reader = BitReader::new(&[0b10]);
        assert_eq!((reader.read(1), reader.is_padding()), (Ok(0), false));
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::vec((any::<u32>(), 0u32..=32, 0u32..300), 0..50)) {
            let numbers: Vec<_> =
                numbers.iter().map(|&(bits, count, zeros)| ((u64::from(bits) & ((1 << count) - 1)) as u32, count, zeros)).collect();
            let mut bytes = vec![7];
            let mut writer = BitWriter::new(&mut bytes);
            for &(bits, count, zeros) in &numbers {
                writer.write(bits, count);
                writer.write_unary(zeros);
            }
            let written = writer.finish();
            prop_assert_eq!(bytes[0], 7);
            prop_assert_eq!(bytes.len(), 1 + written.div_ceil(8));
            let mut reader = BitReader::new(&bytes[1..]);
            for &(bits, count, zeros) in &numbers {
                prop_assert_eq!(reader.read(count), Ok(bits));
                prop_assert_eq!(reader.read_unary(300), Ok(zeros));
            }
            prop_assert_eq!(reader.position(), written);
            prop_assert!(reader.is_padding());
            let end = reader.read_unary(300);
            prop_assert_eq!(end, Err(RiceError::Truncated));
        }
    }
}

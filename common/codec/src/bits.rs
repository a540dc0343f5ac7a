//! Reads and writes bits in bytes, the lowest bit of each byte first.

/// Appends bits to bytes.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// The bits that do not fill eight bytes yet.
    pending: u64,
    /// The number of pending bits, less than 64 between calls.
    count: u32,
    /// The total number of bits written.
    written: usize,
}

/// Reads bits from bytes. After the last bit it reads zeros, so a read cannot fail. After the last
/// read, call [`overrun`](Self::overrun) once to detect missing bits.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// The number of bits read so far.
    position: usize,
}

/// The code for one of `count` equally likely numbers: `floor(log2 count)` bits, or one bit more for the
/// larger numbers. This is truncated binary, in an order that suits reading from the lowest bit.
#[derive(Clone, Copy, Debug)]
struct Truncated {
    /// The number of bits that every number has.
    bits: u32,
    /// Numbers below this have no extra bit.
    short: u64,
}

impl Truncated {
    /// Creates the code for numbers below `count`, which is 1 to 2^63 - 1.
    #[inline]
    fn new(count: u64) -> Self {
        let bits = count.ilog2();
        Self { bits, short: (2 << bits) - count }
    }

    /// Returns the number of bits of a number's code.
    #[inline]
    fn bits_of(self, number: u64) -> u32 {
        self.bits + u32::from(number >= self.short)
    }

    /// Returns the value that the extra bit adds to a number.
    #[inline]
    fn step(self) -> u64 {
        (1 << self.bits) - self.short
    }
}

/// Returns the number of bits that [`BitWriter::write_below`] writes.
#[must_use]
pub fn bits_below(count: u64, number: u64) -> u32 {
    Truncated::new(count).bits_of(number)
}

impl<'a> BitWriter<'a> {
    /// Creates a writer that appends to the contents of `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0, written: 0 }
    }

    /// Appends the lowest `count` bits of a number, at most 63. The number must have no higher bits.
    #[inline]
    pub fn write(&mut self, bits: u64, count: u32) {
        debug_assert!(count < 64 && bits >> count == 0, "a number fits its bits");
        self.pending |= bits << self.count;
        self.written += count as usize;
        let filled = self.count + count;
        if filled < 64 {
            self.count = filled;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_le_bytes());
        // The bits that did not fit, or none if all did.
        self.pending = bits.checked_shr(64 - self.count).unwrap_or_default();
        self.count = filled - 64;
    }

    /// Appends one of `count` equally likely numbers; `count` is 1 to 2^63 - 1.
    #[inline]
    pub fn write_below(&mut self, count: u64, number: u64) {
        debug_assert!(number < count, "a number is in its range");
        let code = Truncated::new(count);
        if number < code.short {
            self.write(number, code.bits);
        } else {
            let high = u64::from(number >> code.bits != 0);
            self.write((number - high * code.step()) | (high << code.bits), code.bits + 1);
        }
    }

    /// Fills the last byte with zeros. Returns the number of bits written before that.
    pub fn finish(self) -> usize {
        let bytes = self.pending.to_le_bytes();
        self.bytes.extend_from_slice(&bytes[..self.count.div_ceil(8) as usize]);
        self.written
    }
}

impl<'a> BitReader<'a> {
    /// Creates a reader that starts at the beginning of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Returns the number of bits read so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the next 64 bits, lowest first, without advancing.
    #[inline]
    #[must_use]
    pub fn window(&self) -> u64 {
        let (at, shift) = (self.position / 8, self.position % 8);
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => (u128::from_le_bytes(*bytes) >> shift) as u64,
            None => self.last_window(),
        }
    }

    /// Returns the next 64 bits when fewer than 16 bytes are left.
    #[cold]
    fn last_window(&self) -> u64 {
        let rest = self.bytes.get(self.position / 8..).unwrap_or_default();
        let bits = rest.iter().rev().fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
        (bits >> (self.position % 8)) as u64
    }

    /// Advances by `count` bits.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.position += count as usize;
    }

    /// Reads one of `count` equally likely numbers; `count` is 1 to 2^63 - 1. The result is below
    /// `count`, whatever the bits are.
    #[inline]
    pub fn read_below(&mut self, count: u64) -> u64 {
        let code = Truncated::new(count);
        let window = self.window();
        let low = window & ((1 << code.bits) - 1);
        let long = u64::from(low >= code.short);
        self.position += (code.bits + long as u32) as usize;
        low + (long & window >> code.bits) * code.step()
    }

    /// Returns whether more bits were read than there are.
    #[must_use]
    pub fn overrun(&self) -> bool {
        self.position > self.bytes.len() * 8
    }

    /// Returns whether less than a byte is left and all its bits are zeros. Such bits are the
    /// padding to a whole number of bytes.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        !self.overrun() && self.bytes.len() * 8 - self.position < 8 && self.window() == 0
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
        writer.write(0b1000, 4);
        writer.write(0b111, 3);
        assert_eq!(writer.finish(), 9);
        assert_eq!(bytes, [0b1110_0001, 0b1]);
        assert!(!BitReader::new(&[0, 0]).is_padding(), "a whole byte is not padding");
        assert!(!BitReader::new(&[0b10]).is_padding());
        assert!(BitReader::new(&[]).is_padding());
    }

    #[test]
    fn each_of_a_few_numbers_has_its_own_bits() {
        for count in 1..200u64 {
            let mut written = Vec::new();
            for number in 0..count {
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                writer.write_below(count, number);
                let bits = writer.finish();
                assert_eq!(bits as u32, bits_below(count, number));
                assert!(bits as u32 - count.ilog2() <= 1);
                bytes.resize(2, 0);
                written.push((bits, bytes));
            }
            // The code is complete: each sequence of 9 bits begins with exactly one code word.
            assert_eq!(written.iter().map(|(bits, _)| 512 >> bits).sum::<u64>(), 512, "{count}");
            written.sort_unstable();
            written.dedup();
            assert_eq!(written.len() as u64, count);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::vec((any::<u64>(), 0u32..64, 1u64..1 << 63), 0..50)) {
            let mut bytes = vec![7];
            let mut writer = BitWriter::new(&mut bytes);
            for &(number, count, below) in &numbers {
                writer.write(number & ((1 << count) - 1), count);
                writer.write_below(below, number % below);
            }
            let written = writer.finish();
            prop_assert_eq!(bytes[0], 7);
            prop_assert_eq!(bytes.len(), 1 + written.div_ceil(8));
            let mut reader = BitReader::new(&bytes[1..]);
            for &(number, count, below) in &numbers {
                prop_assert_eq!(reader.window() & ((1 << count) - 1), number & ((1 << count) - 1));
                reader.skip(count);
                prop_assert_eq!(reader.read_below(below), number % below);
            }
            prop_assert_eq!(reader.position(), written);
            prop_assert!(reader.is_padding());
            reader.skip(8);
            prop_assert!(reader.overrun() && !reader.is_padding() && reader.window() == 0);
        }

        #[test]
        fn any_bits_are_a_number_in_its_range(bytes: [u8; 8], count in 1u64..1 << 63) {
            let mut reader = BitReader::new(&bytes);
            let number = reader.read_below(count);
            prop_assert!(number < count);
            let mut again = Vec::new();
            let mut writer = BitWriter::new(&mut again);
            writer.write_below(count, number);
            prop_assert_eq!(writer.finish(), reader.position());
        }
    }
}

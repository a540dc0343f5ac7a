//! Bits in bytes, the lowest bit of each byte first.

/// Appends bits to bytes.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits that do not fill eight bytes yet.
    pending: u64,
    /// Their number, less than 64 between calls.
    count: u32,
    /// Bits written in all.
    written: usize,
}

/// Reads bits from bytes. Behind the last bit there are zeros, so that reading cannot fail; whoever has read everything
/// asks [`overrun`](Self::overrun) once.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

/// How one of `count` equally likely numbers is written: `floor(log2 count)` bits, and for those that need it one more
/// (truncated binary, in an order that suits bits read from the lowest).
#[derive(Clone, Copy, Debug)]
struct Truncated {
    /// Bits that each number has.
    bits: u32,
    /// Numbers below this have no more.
    short: u64,
}

impl Truncated {
    /// The code for numbers below `count`, which is 1 to 2^63 - 1.
    #[inline]
    fn new(count: u64) -> Self {
        let bits = count.ilog2();
        Self { bits, short: (2 << bits) - count }
    }

    /// Bits of a number.
    #[inline]
    fn bits_of(self, number: u64) -> u32 {
        self.bits + u32::from(number >= self.short)
    }

    /// What the extra bit adds to a number.
    #[inline]
    fn step(self) -> u64 {
        (1 << self.bits) - self.short
    }
}

/// Bits that [`BitWriter::write_below`] writes.
#[must_use]
pub fn bits_below(count: u64, number: u64) -> u32 {
    Truncated::new(count).bits_of(number)
}

impl<'a> BitWriter<'a> {
    /// Appends after what `bytes` holds.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0, written: 0 }
    }

    /// Appends the lowest `count` bits of a number that has no higher ones; at most 63.
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
        // What did not fit; nothing if all did.
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

    /// Fills the last byte with zeros; how many bits were written before.
    pub fn finish(self) -> usize {
        let bytes = self.pending.to_le_bytes();
        self.bytes.extend_from_slice(&bytes[..self.count.div_ceil(8) as usize]);
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

    /// The next 64 bits, lowest first.
    #[inline]
    #[must_use]
    pub fn window(&self) -> u64 {
        let (at, shift) = (self.position / 8, self.position % 8);
        match self.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            Some(bytes) => (u128::from_le_bytes(*bytes) >> shift) as u64,
            None => self.last_window(),
        }
    }

    /// The next 64 bits where fewer than 16 bytes are left.
    #[cold]
    fn last_window(&self) -> u64 {
        let rest = self.bytes.get(self.position / 8..).unwrap_or_default();
        let bits = rest.iter().rev().fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
        (bits >> (self.position % 8)) as u64
    }

    /// Goes on by so many bits.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.position += count as usize;
    }

    /// Reads one of `count` equally likely numbers; `count` is 1 to 2^63 - 1. What is read is below it, whatever the bits.
    #[inline]
    pub fn read_below(&mut self, count: u64) -> u64 {
        let code = Truncated::new(count);
        let window = self.window();
        let low = window & ((1 << code.bits) - 1);
        let long = u64::from(low >= code.short);
        self.position += (code.bits + long as u32) as usize;
        low + (long & window >> code.bits) * code.step()
    }

    /// Whether more bits were read than there are.
    #[must_use]
    pub fn overrun(&self) -> bool {
        self.position > self.bytes.len() * 8
    }

    /// Whether what is left is less than a byte and all zeros: the padding of a whole number of bytes.
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
        assert!(!BitReader::new(&[0, 0]).is_padding(), "a whole byte is no padding");
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
            // The code is complete: every 2^9 bits begin with exactly one of them.
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

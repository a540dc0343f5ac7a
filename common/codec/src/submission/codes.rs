//! Encodes and decodes the 2-bit codes of a tensor. Four codes form a symbol. Symbols are written
//! in a prefix code that follows from their frequencies.
//!
//! Symbols compress better than single codes: if the scale differs from chunk to chunk, small
//! values stand beside small ones. A tensor of many values therefore has a table of its symbols, a
//! small tensor only a table of its codes.

use super::BodyError;
use crate::{
    bits::{BitReader, BitWriter},
    prefix::PrefixCode,
};
use base::wire::Reader;

/// The most bits of a symbol.
const MOST_BITS: u32 = 12;
/// The number of symbols that 64 bits hold at least.
const AT_ONCE: usize = (64 / MOST_BITS) as usize;
/// The number of values from which a tensor has a table of its symbols.
pub(super) const MANY_VALUES: usize = 1 << 15;
/// Bytes of a table of codes.
const CODE_TABLE_BYTES: usize = 4;
/// Bytes of a table of symbols.
const SYMBOL_TABLE_BYTES: usize = 128;

/// The number of times that each symbol of a tensor occurs.
#[derive(Clone, Debug)]
pub(crate) struct SymbolCounts([u64; 256]);

/// The table in a tensor that defines its prefix code.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Table {
    /// The frequency of each code, in 255ths of the most frequent one. It is 0 only if the code
    /// does not occur.
    Codes([u8; CODE_TABLE_BYTES]),
    /// The length of each symbol plus 1, or 0 if it does not occur. Two lengths to a byte, the
    /// first one lowest.
    Symbols([u8; SYMBOL_TABLE_BYTES]),
}

/// The encoding of a tensor's codes: its table and its prefix code.
#[derive(Clone, Debug)]
pub(super) struct CodeBook {
    table: Table,
    symbols: PrefixCode,
}

/// Returns the number of bytes of the table of a tensor with this number of values.
pub(super) fn table_bytes(values: usize) -> usize {
    if values < MANY_VALUES { CODE_TABLE_BYTES } else { SYMBOL_TABLE_BYTES }
}

impl Default for SymbolCounts {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl SymbolCounts {
    /// Adds the codes of a group.
    pub(super) fn add(&mut self, codes: &[u8]) {
        symbols(codes).for_each(|symbol| self.0[usize::from(symbol)] += 1);
    }

    /// Returns the frequency of each code, in 255ths of the most frequent one.
    fn codes(&self) -> [u8; 4] {
        let mut counts = [0; 4];
        for (symbol, &count) in (0..=u8::MAX).zip(&self.0) {
            spread(symbol).iter().for_each(|&code| counts[usize::from(code)] += count);
        }
        let most = counts.into_iter().max().unwrap_or_default().max(1);
        counts.map(|count| if count == 0 { 0 } else { (count * 255 / most).max(1) as u8 })
    }
}

impl CodeBook {
    /// Creates the code book for a tensor with this number of values, from the frequencies of its symbols.
    pub(super) fn new(counts: &SymbolCounts, values: usize) -> Self {
        if values < MANY_VALUES {
            return Self::of_codes(counts.codes());
        }
        let symbols = PrefixCode::new(&counts.0.map(u128::from), MOST_BITS);
        let mut table = [0; SYMBOL_TABLE_BYTES];
        for (symbol, length) in symbols.lengths().enumerate() {
            table[symbol / 2] |= length.map_or(0, |length| length + 1) << (symbol % 2 * 4);
        }
        Self { table: Table::Symbols(table), symbols }
    }

    /// Reads the table of a tensor with this number of values.
    ///
    /// # Errors
    /// Fails if the table is truncated, or does not define a prefix code.
    pub(super) fn read_table(values: usize, from: &mut Reader<'_>) -> Result<Self, BodyError> {
        let what = "the table of the codes";
        if values < MANY_VALUES {
            return Ok(Self::of_codes(from.array(what)?));
        }
        let table: [u8; SYMBOL_TABLE_BYTES] = from.array(what)?;
        let lengths: Vec<_> = table
            .iter()
            .flat_map(|pair| [pair & 15, pair >> 4])
            .map(|length| length.checked_sub(1))
            .collect();
        let symbols = PrefixCode::with_lengths(&lengths, MOST_BITS).ok_or(BodyError::Table)?;
        Ok(Self { table: Table::Symbols(table), symbols })
    }

    /// Creates the code book for codes of these weights. A symbol's weight is the product of its
    /// codes' weights.
    fn of_codes(weights: [u8; CODE_TABLE_BYTES]) -> Self {
        let weight = |code: u8| u128::from(weights[usize::from(code)]);
        let products: Vec<u128> =
            (0..=u8::MAX).map(|symbol| spread(symbol).into_iter().map(weight).product()).collect();
        Self { table: Table::Codes(weights), symbols: PrefixCode::new(&products, MOST_BITS) }
    }

    /// Appends the table.
    pub(super) fn write_table(&self, to: &mut Vec<u8>) {
        match &self.table {
            Table::Codes(table) => to.extend_from_slice(table),
            Table::Symbols(table) => to.extend_from_slice(table),
        }
    }

    /// Checks that this is the code book for a tensor with these symbols.
    ///
    /// # Errors
    /// Fails if the symbols give another table.
    pub(super) fn check(&self, counts: &SymbolCounts, values: usize) -> Result<(), BodyError> {
        if Self::new(counts, values).table == self.table { Ok(()) } else { Err(BodyError::Table) }
    }

    /// Appends the codes of a group: as symbols in their prefix code, or as plain bytes if these
    /// are not longer.
    pub(super) fn write(&self, codes: &[u8], to: &mut Vec<u8>) {
        let bits_of =
            |symbol: u8| self.symbols.bits(symbol.into()).expect("the book is made for these codes");
        let bits: usize = symbols(codes).map(|symbol| bits_of(symbol).1 as usize).sum();
        if bits.div_ceil(8) >= codes.len().div_ceil(4) {
            to.extend(symbols(codes));
            return;
        }
        let mut writer = BitWriter::new(to);
        for symbol in symbols(codes) {
            let (bits, count) = bits_of(symbol);
            writer.write(bits, count);
        }
        writer.finish();
    }

    /// Appends the `count` codes of a group, decoded from exactly their bytes.
    ///
    /// # Errors
    /// Fails if [`write`](Self::write) would never produce these bytes.
    pub(super) fn read(
        &self,
        group: usize,
        bytes: &[u8],
        count: usize,
        to: &mut Vec<u8>,
    ) -> Result<(), BodyError> {
        let start = to.len();
        let symbols = count.div_ceil(4);
        to.resize(start + 4 * symbols, 0);
        let slots = to[start..].as_chunks_mut().0;
        let bits = if bytes.len() < symbols {
            self.read_symbols(bytes, slots)
        } else {
            self.read_bytes(bytes, slots)
        };
        let fine = bits.is_some_and(|bits| bytes.len() == symbols.min(bits.div_ceil(8)));
        let last = to[..start + count].last().copied();
        let fillers = &to[start + count..];
        let filled = fillers.iter().all(|&filler| Some(filler) == last);
        to.truncate(start + count);
        if fine && filled { Ok(()) } else { Err(BodyError::Codes(group)) }
    }

    /// Decodes symbols. Returns the number of their bits, or `None` if they are not followed by
    /// zeros up to the next byte.
    fn read_symbols(&self, bytes: &[u8], slots: &mut [[u8; 4]]) -> Option<usize> {
        let mut reader = BitReader::new(bytes);
        for slots in slots.chunks_mut(AT_ONCE) {
            let mut window = reader.window();
            let mut bits = 0;
            for slot in slots {
                let (symbol, count) = self.symbols.symbol(window);
                window >>= count;
                bits += count;
                *slot = spread(symbol as u8);
            }
            reader.skip(bits);
        }
        reader.is_padding().then(|| reader.position())
    }

    /// Reads plain bytes as symbols. Returns the number of bits that they have in the prefix code,
    /// or `None` if it lacks a symbol.
    fn read_bytes(&self, bytes: &[u8], slots: &mut [[u8; 4]]) -> Option<usize> {
        slots.iter_mut().zip(bytes).try_fold(0, |bits, (slot, &symbol)| {
            *slot = spread(symbol);
            Some(bits + self.symbols.bits(symbol.into())?.1 as usize)
        })
    }
}

/// Returns the symbols of the codes of a group, the first code lowest. The last code fills up the
/// last symbol.
fn symbols(codes: &[u8]) -> impl Iterator<Item = u8> {
    codes.chunks(4).map(|codes| {
        let code = |at: usize| codes.get(at).or(codes.last()).map_or(0, |code| code & 3);
        code(0) | code(1) << 2 | code(2) << 4 | code(3) << 6
    })
}

/// Returns the codes of a symbol.
fn spread(symbol: u8) -> [u8; 4] {
    let symbol = u32::from(symbol);
    ((symbol | symbol << 6 | symbol << 12 | symbol << 18) & 0x0303_0303).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Creates the code book for these codes of one group.
    fn book(codes: &[u8], values: usize) -> CodeBook {
        let mut counts = SymbolCounts::default();
        counts.add(codes);
        CodeBook::new(&counts, values)
    }

    /// Generates codes of which some are frequent.
    fn codes() -> impl Strategy<Value = Vec<u8>> {
        let code = prop_oneof![8 => Just(1u8), 4 => Just(3u8), 1 => 0u8..4];
        prop_oneof![
            proptest::collection::vec(code, 1..3000),
            proptest::collection::vec(0u8..4, 1..300),
            (0u8..4, 1usize..50).prop_map(|(code, count)| vec![code; count]),
        ]
    }

    proptest! {
        #[test]
        fn codes_come_back_and_other_bytes_are_other_codes(codes in codes(), values in prop_oneof![Just(1), Just(MANY_VALUES)], bit: usize) {
            let book = book(&codes, values);
            let mut bytes = Vec::new();
            book.write(&codes, &mut bytes);
            prop_assert!(bytes.len() <= codes.len().div_ceil(4));
            let mut read = vec![7];
            prop_assert_eq!(book.read(0, &bytes, codes.len(), &mut read), Ok(()));
            prop_assert_eq!(&read[1..], &codes);
            let mut flipped = bytes.clone();
            let at = bit % (bytes.len() * 8).max(1);
            flipped.iter_mut().skip(at / 8).take(1).for_each(|byte| *byte ^= 1 << (at % 8));
            let longer = [&bytes[..], &[0]].concat();
            let shorter = bytes.split_last().map(|(_, rest)| rest.to_vec());
            for other in [flipped, longer].into_iter().chain(shorter).filter(|other| *other != bytes) {
                let mut read = Vec::new();
                if book.read(0, &other, codes.len(), &mut read).is_ok() {
                    prop_assert_ne!(&read, &codes);
                    let mut again = Vec::new();
                    book.write(&read, &mut again);
                    prop_assert_eq!(again, other);
                }
            }
        }

        #[test]
        fn tables_come_back_and_are_those_of_their_codes(codes in codes(), others in codes(), values in prop_oneof![Just(1), Just(MANY_VALUES)]) {
            let (book, other) = (book(&codes, values), book(&others, values));
            let mut table = Vec::new();
            book.write_table(&mut table);
            prop_assert_eq!(table.len(), table_bytes(values));
            let read = CodeBook::read_table(values, &mut Reader::new(&table)).unwrap();
            prop_assert_eq!(&read.table, &book.table);
            let mut counts = SymbolCounts::default();
            counts.add(&codes);
            prop_assert_eq!(read.check(&counts, values), Ok(()));
            prop_assert_eq!(other.check(&counts, values).is_ok(), other.table == book.table);
        }
    }

    #[test]
    fn tables_that_are_no_code_are_refused() {
        for first in [0x11, 0x22, 0x02, 0xff] {
            let mut table = [0; SYMBOL_TABLE_BYTES];
            table[0] = first;
            let refused = CodeBook::read_table(MANY_VALUES, &mut Reader::new(&table)).map(|_| ());
            assert_eq!(refused, if first == 0x22 { Ok(()) } else { Err(BodyError::Table) }, "{first:#x}");
        }
        let small = CodeBook::read_table(1, &mut Reader::new(&[0; 4])).unwrap();
        assert_eq!(small.read(0, &[0], 4, &mut Vec::new()), Err(BodyError::Codes(0)), "all weights are zero");
        assert_eq!(small.read(0, &[], 0, &mut Vec::new()), Ok(()));
    }

    #[test]
    fn what_goes_together_takes_fewer_bits() {
        // Runs of 32 equal codes take 1 bit per code one by one, and 0.25 bits per code in fours.
        let codes: Vec<u8> = (0..MANY_VALUES).map(|at| (at / 32 % 2) as u8).collect();
        let length = |values| {
            let mut bytes = Vec::new();
            book(&codes, values).write(&codes, &mut bytes);
            bytes.len()
        };
        assert_eq!((length(1), length(MANY_VALUES)), (MANY_VALUES / 8, MANY_VALUES / 32));
    }
}

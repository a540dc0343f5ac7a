//! Encodes the positions of a chunk's values, in close to the fewest bits that any code can reach.
//!
//! A chunk is halved. The number of positions in its left half is written with a prefix code, made for
//! positions that are equally likely to be in either half. Then each half is written in the same way. A part
//! is not halved if it has at most 512 values, at most 32 positions, and fewer than 2^63 sets of that many
//! positions. Instead, the number of its set among these sets is written.
//!
//! 64 uniformly chosen positions of 4096 take 7.383 bits each. No code can use fewer than log2
//! C(4096, 64) / 64 = 7.364. Each set has exactly one encoding. All bits decode to a set, unless a
//! half would have more positions than values.

mod batch;
mod binomials;
mod longest;
mod roots;

use crate::{
    bits::{BitReader, BitWriter, bits_below},
    prefix::PrefixCode,
};
use batch::Batch;
use binomials::Binomials;
use std::sync::LazyLock;

/// An error in encoded positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionsError {
    /// A half of a part has fewer values than positions.
    #[error("a half of {size} values cannot have {count} positions")]
    Half {
        /// The number of values of the half.
        size: u32,
        /// The number of positions in it.
        count: u32,
    },
}

/// The code for the positions of chunks of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// Values per chunk.
    size: u32,
    /// Positions per chunk.
    count: u32,
    /// The largest number of bits that the positions of a chunk can take.
    most_bits: usize,
}

/// A part of a chunk and its number of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    /// The first value.
    start: u32,
    /// The number of values.
    size: u32,
    /// The number of positions among them.
    count: u32,
}

/// The most values of a part whose set is written as a number.
const MOST_RANKED: u32 = 512;
/// The most positions of a part whose set is written as a number.
const MOST_RANKED_COUNT: u32 = 32;
/// The most positions of a part whose split is written with a prefix code. For larger counts, all
/// splits are written as equally likely.
const MOST_CODED: u32 = 64;
/// The most bits of such a prefix code.
const MOST_BITS: u32 = 10;
/// The most parts that wait while others are read: one for each halving of 2^16 values.
const DEPTH: usize = 17;

/// The tables behind all codes.
struct Tables {
    binomials: Binomials,
    /// The prefix code of the number of positions in the left half, for each total up to [`MOST_CODED`].
    halves: Vec<PrefixCode>,
}

/// The tables, created on first use.
static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let code = |count: u32| {
        let weights = binomials::row(count);
        PrefixCode::new(&weights, MOST_BITS)
    };
    Tables { binomials: Binomials::new(), halves: (0..=MOST_CODED).map(code).collect() }
});

impl Halving {
    /// Creates the code for `count` positions in chunks of `size` values (at most 65,536).
    #[must_use]
    pub fn new(size: usize, count: usize) -> Self {
        let (size, count) = (size as u32, count.min(size) as u32);
        let most_bits = longest::bits(Part { start: 0, size, count }, &TABLES);
        Self { size, count, most_bits }
    }

    /// Returns the largest number of bits that the positions of a chunk can take. Some positions do
    /// take that many.
    #[must_use]
    pub fn most_bits(self) -> usize {
        self.most_bits
    }

    /// Returns the part that is the whole chunk.
    fn whole(self) -> Part {
        Part { start: 0, size: self.size, count: self.count }
    }

    /// Appends the positions of a chunk: exactly the number that the code is for, ascending, within
    /// the chunk.
    pub fn write(self, positions: &[u16], to: &mut BitWriter<'_>) {
        debug_assert_eq!(positions.len(), self.count as usize, "a chunk sends a fixed number of values");
        let tables = &*TABLES;
        let mut waiting = Waiting::new(self.whole());
        let mut rest = positions;
        while let Some(part) = waiting.next() {
            let (these, others) = rest.split_at(part.count as usize);
            match part.kind(tables) {
                Kind::Known => rest = others,
                Kind::Ranked(sets) => {
                    to.write_below(sets, tables.binomials.rank(part.start, these));
                    rest = others;
                }
                Kind::Halved => {
                    let middle = part.start + part.left_size();
                    let left = these.partition_point(|&position| u32::from(position) < middle) as u32;
                    part.write_left(left, tables, to);
                    waiting.push(part.halves(left));
                }
            }
        }
    }

    /// Reads the positions of chunks until `positions` is full. Missing bits are read as zeros.
    ///
    /// # Errors
    /// Fails if a half has fewer values than positions.
    pub fn read(self, from: &mut BitReader<'_>, positions: &mut [u16]) -> Result<(), PositionsError> {
        let tables = &*TABLES;
        let mut batch = Batch::new();
        for first in (0..positions.len()).step_by(self.count.max(1) as usize) {
            self.read_chunk(tables, from, first, &mut batch, positions)?;
        }
        batch.decode(&tables.binomials, positions);
        Ok(())
    }

    /// Reads the positions of one chunk into `positions[first..]`, immediately or with the rest of the batch.
    #[inline]
    fn read_chunk(
        self,
        tables: &Tables,
        from: &mut BitReader<'_>,
        first: usize,
        batch: &mut Batch,
        positions: &mut [u16],
    ) -> Result<(), PositionsError> {
        let mut waiting = Waiting::new(self.whole());
        let mut at = first;
        while let Some(part) = waiting.next() {
            match part.kind(tables) {
                Kind::Known => {
                    // Either all values are positions, or no value is.
                    let these = &mut positions[at..at + part.count as usize];
                    these.iter_mut().zip(part.start..).for_each(|(slot, position)| *slot = position as u16);
                }
                Kind::Ranked(sets) => {
                    batch.add(part, from.read_below(sets), at, &tables.binomials, positions);
                }
                Kind::Halved => {
                    let left = part.read_left(tables, from)?;
                    waiting.push(part.halves(left));
                    continue;
                }
            }
            at += part.count as usize;
        }
        Ok(())
    }
}

/// The way in which a part is written.
enum Kind {
    /// Writes nothing: all values are positions, or no value is.
    Known,
    /// Writes the number of its set; holds the number of possible sets.
    Ranked(u64),
    /// Writes its two halves.
    Halved,
}

impl Part {
    #[inline]
    fn kind(self, tables: &Tables) -> Kind {
        if self.count == 0 || self.count == self.size {
            return Kind::Known;
        }
        tables.binomials.sets(self.size, self.count).map_or(Kind::Halved, Kind::Ranked)
    }

    /// Returns the number of values of the left half. For an odd size it has one more than the right half.
    fn left_size(self) -> u32 {
        self.size.div_ceil(2)
    }

    /// Returns the number of values of the right half.
    fn right_size(self) -> u32 {
        self.size / 2
    }

    /// Returns the halves, with `left` positions in the left one.
    #[inline]
    fn halves(self, left: u32) -> [Self; 2] {
        let middle = self.start + self.left_size();
        [
            Self { start: self.start, size: self.left_size(), count: left },
            Self { start: middle, size: self.right_size(), count: self.count - left },
        ]
    }

    /// Returns the fewest and the most positions that the left half can have.
    fn range(self) -> (u32, u32) {
        (self.count.saturating_sub(self.right_size()), self.count.min(self.left_size()))
    }

    /// Writes the number of positions in the left half.
    #[inline]
    fn write_left(self, left: u32, tables: &Tables, to: &mut BitWriter<'_>) {
        match tables.halves.get(self.count as usize) {
            Some(code) => {
                let (bits, count) =
                    code.bits(left as usize).expect("all numbers up to the count have a code");
                to.write(bits, count);
            }
            None => {
                let (least, most) = self.range();
                to.write_below(u64::from(most - least) + 1, (left - least).into());
            }
        }
    }

    /// Returns the number of bits that the number of positions in the left half takes.
    fn left_bits(self, left: u32, tables: &Tables) -> u32 {
        let (least, most) = self.range();
        match tables.halves.get(self.count as usize) {
            Some(code) => code.bits(left as usize).map_or(0, |(_, count)| count),
            None => bits_below(u64::from(most - least) + 1, (left - least).into()),
        }
    }

    /// Reads the number of positions in the left half.
    #[inline]
    fn read_left(self, tables: &Tables, from: &mut BitReader<'_>) -> Result<u32, PositionsError> {
        let (least, most) = self.range();
        let Some(code) = tables.halves.get(self.count as usize) else {
            return Ok(least + from.read_below(u64::from(most - least) + 1) as u32);
        };
        let (left, bits) = code.symbol(from.window());
        from.skip(bits);
        let left = left as u32;
        match left {
            _ if left > most => Err(PositionsError::Half { size: self.left_size(), count: left }),
            _ if left < least => {
                Err(PositionsError::Half { size: self.right_size(), count: self.count - left })
            }
            _ => Ok(left),
        }
    }
}

/// The parts that are still to be written or read. The next one is last.
struct Waiting {
    parts: [Part; DEPTH],
    count: usize,
}

impl Waiting {
    fn new(first: Part) -> Self {
        let mut parts = [Part::default(); DEPTH];
        parts[0] = first;
        Self { parts, count: 1 }
    }

    #[inline]
    fn next(&mut self) -> Option<Part> {
        self.count = self.count.checked_sub(1)?;
        Some(self.parts[self.count])
    }

    #[inline]
    fn push(&mut self, [left, right]: [Part; 2]) {
        self.parts[self.count] = right;
        self.parts[self.count + 1] = left;
        self.count += 2;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(halving: Halving, positions: &[u16]) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        halving.write(positions, &mut writer);
        let bits = writer.finish();
        (bytes, bits)
    }

    /// Generates positions of a chunk, chosen uniformly.
    fn positions(size: usize, count: usize) -> impl Strategy<Value = Vec<u16>> {
        proptest::sample::subsequence((0..size).map(|at| at as u16).collect::<Vec<_>>(), count)
    }

    /// Generates chunks of any size and density, with positions that are uniform or adjacent.
    fn any_positions() -> impl Strategy<Value = (usize, Vec<u16>)> {
        let chunk = (1usize..3000).prop_flat_map(|size| (Just(size), 0..=size));
        let chunk = prop_oneof![
            chunk,
            Just((4096, 64)),
            Just((65_536, 300)),
            (1usize..200).prop_map(|size| (size, size / 2))
        ];
        chunk.prop_flat_map(|(size, count)| {
            let run = (0..=size - count)
                .prop_map(move |first| (first..first + count).map(|at| at as u16).collect());
            (Just(size), prop_oneof![3 => positions(size, count), 1 => run])
        })
    }

    /// Returns positions that take the largest number of bits.
    pub(crate) fn longest(size: usize, count: usize) -> Vec<u16> {
        fn most(part: Part) -> usize {
            longest::bits(part, &TABLES)
        }
        fn fill(part: Part, to: &mut Vec<u16>) {
            match part.kind(&TABLES) {
                // The last set has the largest number.
                Kind::Known | Kind::Ranked(_) => {
                    let end = part.start + part.size;
                    to.extend((end - part.count..end).map(|position| position as u16));
                }
                Kind::Halved => {
                    let (least, last) = part.range();
                    let bits = |left: &u32| {
                        let [one, other] = part.halves(*left);
                        part.left_bits(*left, &TABLES) as usize + most(one) + most(other)
                    };
                    let left = (least..=last).max_by_key(bits).unwrap();
                    part.halves(left).into_iter().for_each(|half| fill(half, to));
                }
            }
        }
        let mut positions = Vec::new();
        fill(Part { start: 0, size: size as u32, count: count as u32 }, &mut positions);
        positions
    }

    #[test]
    fn the_longest_positions_are_as_long_as_promised() {
        for (size, count) in
            [(4096, 64), (4096, 32), (2500, 64), (676, 64), (64, 6), (100, 70), (1000, 200), (10, 10)]
        {
            let halving = Halving::new(size, count);
            assert_eq!(written(halving, &longest(size, count)).1, halving.most_bits(), "{count} of {size}");
        }
        assert_eq!(Halving::new(4096, 64).most_bits(), 487);
        assert_eq!(Halving::new(64, 64).most_bits(), 0);
        assert_eq!(Halving::new(0, 64).most_bits(), 0);
    }

    /// Checks 64 uniformly chosen positions of 4096: the bound is 7.364, the expectation 7.383.
    #[test]
    fn positions_take_at_most_7_39_bits() {
        let halving = Halving::new(4096, 64);
        let chunks = 4000;
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
            halving.write(&chosen.into_iter().collect::<Vec<_>>(), &mut writer);
        }
        let bits = writer.finish() as f64 / f64::from(chunks * 64);
        assert!((7.364..=7.39).contains(&bits), "{bits}");
    }

    /// Checks all sets of small chunks: each has its own bits, and any bits belong to one set.
    #[test]
    fn each_set_has_its_own_bits() {
        for size in 1..=10u32 {
            for set in 0u32..1 << size {
                let positions: Vec<u16> =
                    (0..size).filter(|at| set >> at & 1 == 1).map(|at| at as u16).collect();
                let halving = Halving::new(size as usize, positions.len());
                let (bytes, bits) = written(halving, &positions);
                let sets = binomials::row(size)[positions.len()];
                assert!(
                    bits as u32 == sets.ilog2() || bits as u32 == sets.ilog2() + 1,
                    "{size} {positions:?}"
                );
                let mut read = vec![0; positions.len()];
                halving.read(&mut BitReader::new(&bytes), &mut read).unwrap();
                assert_eq!(read, positions);
            }
        }
    }

    #[test]
    fn a_half_with_too_many_positions_is_refused() {
        // 64 of 70: the left half has at least 29 positions in its 35 values. The code still has a
        // code word for 0.
        let (bits, _) = TABLES.halves[64].bits(0).unwrap();
        let refused = Halving::new(70, 64).read(&mut BitReader::new(&bits.to_le_bytes()), &mut [0; 64]);
        assert_eq!(refused, Err(PositionsError::Half { size: 35, count: 64 }));
        let (bits, _) = TABLES.halves[64].bits(64).unwrap();
        let refused = Halving::new(71, 64).read(&mut BitReader::new(&bits.to_le_bytes()), &mut [0; 64]);
        assert_eq!(refused, Err(PositionsError::Half { size: 36, count: 64 }));
    }

    /// Checks numbers at the edges of each step of the last position: a wrong guess is corrected.
    #[test]
    fn numbers_are_sets() {
        let binomials = &TABLES.binomials;
        for count in 1..=MOST_RANKED_COUNT {
            for size in (count + 1..=MOST_RANKED).rev() {
                let Some(sets) = binomials.sets(size, count) else { continue };
                let step = binomials.sets(size - 1, count).unwrap();
                let mut positions = vec![0; count as usize];
                for rank in [step.saturating_sub(1), step, step + 1, step + (sets - step) / 3, sets - 1] {
                    let rank = rank.min(sets - 1);
                    let mut batch = Batch::new();
                    batch.add(Part { start: 0, size, count }, rank, 0, binomials, &mut positions);
                    batch.decode(binomials, &mut positions);
                    assert!(positions.is_sorted_by(|a, b| a < b), "{count} of {size}: {rank}");
                    assert_eq!(binomials.rank(0, &positions), rank);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn positions_come_back((size, positions) in any_positions(), chunks in 1usize..4) {
            let halving = Halving::new(size, positions.len());
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            (0..chunks).for_each(|_| halving.write(&positions, &mut writer));
            let bits = writer.finish();
            prop_assert!(bits <= chunks * halving.most_bits());
            let mut reader = BitReader::new(&bytes);
            let mut read = vec![0; chunks * positions.len()];
            prop_assert_eq!(halving.read(&mut reader, &mut read), Ok(()));
            prop_assert_eq!(&read, &positions.repeat(chunks));
            prop_assert_eq!(reader.position(), bits);
            prop_assert!(reader.is_padding());
            if !bytes.is_empty() {
                let mut reader = BitReader::new(&bytes[..bytes.len() - 1]);
                prop_assert!(halving.read(&mut reader, &mut read).is_err() || !reader.is_padding());
            }
        }

        /// Checks that positions read from any bits are written with the same bits.
        #[test]
        fn any_bits_are_positions_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            (size, count) in prop_oneof![Just((4096usize, 64usize)), (1usize..500, 0usize..500), Just((70, 64)), Just((65_536, 200))],
        ) {
            let halving = Halving::new(size, count);
            let mut read = vec![0; count.min(size)];
            let mut reader = BitReader::new(&bytes);
            if halving.read(&mut reader, &mut read).is_ok() {
                prop_assert!(read.is_sorted_by(|a, b| a < b));
                prop_assert!(read.last().is_none_or(|&last| usize::from(last) < size));
                let (again, bits) = written(halving, &read);
                prop_assert_eq!(bits, reader.position());
                let mut expected = BitReader::new(&bytes);
                let mut found = BitReader::new(&again);
                for _ in 0..bits {
                    prop_assert_eq!(expected.window() & 1, found.window() & 1);
                    expected.skip(1);
                    found.skip(1);
                }
            }
        }
    }
}

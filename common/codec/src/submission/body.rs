//! Encodes and decodes the bytes of a tensor: the quantizer's data per tensor, the lengths of its
//! groups, the groups.
//!
//! A group begins with the parts of fixed length (scales, values). Then follow all its codes, then all its
//! positions.

use super::{
    BodyError, SubmissionError, TensorLayout,
    codes::{CodeBook, SymbolCounts},
    signs::{read_signs, write_signs},
};
use crate::{
    bits::{BitReader, BitWriter},
    pairwise::Pairwise,
    quantize::{CentroidChunk, Ratio, Values},
    sparse::{ChunkValues, Quantizer, SparseTensor},
};
use base::wire::{Reader, WireError};
use std::ops::Range;

/// Decoded groups, and memory for decoding the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupBuffer {
    positions: Vec<u16>,
    codes: Vec<u8>,
    scales: Vec<CentroidChunk>,
    magnitudes: Vec<Ratio>,
    values: Vec<f32>,
}

/// The bytes of a tensor, split into groups.
#[derive(Debug)]
pub(crate) struct TensorReader<'a> {
    layout: &'a TensorLayout,
    prefix: Prefix,
    /// The lengths of the codes and of the positions of each group.
    lengths: Vec<[u16; 2]>,
    /// The start of each group, and the end of the last.
    starts: Vec<usize>,
    bytes: &'a [u8],
}

/// The data that a quantizer stores per tensor.
#[derive(Debug)]
enum Prefix {
    Templar([f32; 4], CodeBook),
    SignCentroid(f32, CodeBook),
    Sign(f32),
    F32,
}

impl GroupBuffer {
    pub(crate) fn clear(&mut self) {
        self.positions.clear();
        self.codes.clear();
        self.scales.clear();
        self.magnitudes.clear();
        self.values.clear();
    }
}

impl Prefix {
    fn read(layout: &TensorLayout, from: &mut Reader<'_>) -> Result<Self, BodyError> {
        let values = layout.values();
        match layout.quantizer() {
            Quantizer::Templar => {
                let what = "a level of the tensor";
                let mut levels = [0.0; 4];
                for level in &mut levels {
                    *level = finite(from.f32(what)?, what)?;
                }
                Ok(Self::Templar(levels, CodeBook::read_table(values, from)?))
            }
            Quantizer::SignCentroid => {
                Ok(Self::SignCentroid(read_base(from)?, CodeBook::read_table(values, from)?))
            }
            Quantizer::Sign => Ok(Self::Sign(read_base(from)?)),
            Quantizer::F32 => Ok(Self::F32),
        }
    }

    /// Returns the code book, if codes are in a prefix code.
    fn book(&self) -> Option<&CodeBook> {
        match self {
            Self::Templar(_, book) | Self::SignCentroid(_, book) => Some(book),
            Self::Sign(_) | Self::F32 => None,
        }
    }

    /// Converts the contents of all decoded groups to values.
    fn values(&self, buffer: GroupBuffer) -> Values {
        match *self {
            Self::Templar(levels, _) => Values::Templar { levels, codes: buffer.codes },
            Self::SignCentroid(base, _) => {
                Values::SignCentroid { base, scales: buffer.scales, codes: buffer.codes }
            }
            Self::Sign(base) => Values::Sign { base, magnitudes: buffer.magnitudes, codes: buffer.codes },
            Self::F32 => Values::F32(buffer.values),
        }
    }
}

/// Returns the number if it is finite.
fn finite(value: f32, what: &'static str) -> Result<f32, BodyError> {
    if value.is_finite() { Ok(value) } else { Err(BodyError::NotFinite(what)) }
}

/// Reads the scale of a tensor.
fn read_base(from: &mut Reader<'_>) -> Result<f32, BodyError> {
    let what = "the scale of the tensor";
    let base = finite(from.f32(what)?, what)?;
    if base.is_sign_positive() { Ok(base) } else { Err(BodyError::NotFinite(what)) }
}

impl<'a> TensorReader<'a> {
    /// Splits the tensor that `bytes` begin with. Checks the quantizer's data and the lengths of the groups.
    pub(crate) fn new(layout: &'a TensorLayout, bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(bytes);
        let prefix = Prefix::read(layout, &mut reader)?;
        // The bytes of the table must exist before memory is reserved for its contents.
        let mut table = Reader::new(reader.raw("the lengths of the groups", 4 * layout.groups())?);
        let mut lengths = Vec::with_capacity(layout.groups());
        let mut starts = Vec::with_capacity(layout.groups() + 1);
        for group in 0..layout.groups() {
            let chunks = layout.group_chunks(group);
            let stated = [table.u16("the length of codes")?, table.u16("the length of positions")?];
            let most = [layout.most_code_bytes(chunks), layout.most_position_bytes(chunks)];
            if let Some(part) = (0..2).find(|&part| usize::from(stated[part]) > most[part]) {
                return Err(BodyError::GroupLength { group, stated: stated[part], most: most[part] });
            }
            lengths.push(stated);
            starts.push(reader.offset());
            let [codes, positions] = stated.map(usize::from);
            reader.raw("a group", layout.fixed_bytes(chunks) + codes + positions)?;
        }
        starts.push(reader.offset());
        Ok(Self { layout, prefix, lengths, starts, bytes })
    }

    /// Wraps an error within the bytes of the tensor.
    pub(crate) fn error(&self, source: BodyError) -> SubmissionError {
        SubmissionError::tensor(self.layout, source)
    }

    /// Returns the number of bytes of the tensor.
    fn length(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Returns the number of values of a group.
    fn count(&self, group: usize) -> usize {
        self.layout.group_chunks(group) * self.layout.sent()
    }

    /// Returns the bytes of a group: the parts of fixed length, the codes, the positions.
    fn group(&self, group: usize) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let bytes = &self.bytes[self.starts[group]..self.starts[group + 1]];
        let (fixed, rest) = bytes.split_at(self.layout.fixed_bytes(self.layout.group_chunks(group)));
        let (codes, positions) = rest.split_at(self.lengths[group][0].into());
        (fixed, codes, positions)
    }

    /// Decodes the values of a group, but not their positions.
    pub(crate) fn read_values(&self, group: usize, to: &mut GroupBuffer) -> Result<(), BodyError> {
        let (fixed, codes, _) = self.group(group);
        match self.layout.quantizer() {
            Quantizer::Templar => {}
            Quantizer::SignCentroid => read_scales(group, fixed, &mut to.scales)?,
            Quantizer::Sign => {
                let (magnitudes, signs) = fixed.split_at(self.layout.group_chunks(group));
                to.magnitudes.extend(magnitudes.iter().map(|&share| Ratio(share)));
                read_signs(group, signs, self.count(group), &mut to.codes)?;
            }
            Quantizer::F32 => read_values(fixed, &mut to.values)?,
        }
        match self.prefix.book() {
            Some(book) => book.read(group, codes, self.count(group), &mut to.codes),
            None => Ok(()),
        }
    }

    /// Decodes the positions of the values of a group.
    pub(crate) fn read_positions(&self, group: usize, to: &mut GroupBuffer) -> Result<(), BodyError> {
        let (_, _, bytes) = self.group(group);
        let mut bits = BitReader::new(bytes);
        let before = to.positions.len();
        to.positions.resize(before + self.count(group), 0);
        let read = self.layout.halving().read(&mut bits, &mut to.positions[before..]);
        read.map_err(|source| BodyError::Positions { group, source })?;
        if bits.is_padding() { Ok(()) } else { Err(BodyError::Padding(group)) }
    }

    /// Returns the values of a chunk, given its number in the group. The buffer must hold that group alone.
    pub(crate) fn chunk_values<'b>(&self, chunk: usize, buffer: &'b GroupBuffer) -> ChunkValues<'b> {
        let range = self.range(chunk);
        match self.prefix {
            Prefix::Templar(levels, _) => ChunkValues::Coded(levels, &buffer.codes[range]),
            Prefix::SignCentroid(base, _) => {
                ChunkValues::Coded(buffer.scales[chunk].levels(base), &buffer.codes[range])
            }
            Prefix::Sign(base) => {
                ChunkValues::Signed(buffer.magnitudes[chunk].magnitude(base), &buffer.codes[range])
            }
            Prefix::F32 => ChunkValues::Plain(&buffer.values[range]),
        }
    }

    /// Returns the positions of a chunk, given its number in the group. The buffer must hold that
    /// group alone.
    pub(crate) fn chunk_positions<'b>(&self, chunk: usize, buffer: &'b GroupBuffer) -> &'b [u16] {
        &buffer.positions[self.range(chunk)]
    }

    /// Returns the range of a chunk's values among those of its group.
    fn range(&self, chunk: usize) -> Range<usize> {
        chunk * self.layout.sent()..(chunk + 1) * self.layout.sent()
    }

    /// Decodes one group after another, and calls `after` with the number of each. Checks the code book at
    /// the end.
    fn each_group(
        &self,
        buffer: &mut GroupBuffer,
        mut after: impl FnMut(usize, &mut GroupBuffer),
    ) -> Result<(), BodyError> {
        let mut counts = SymbolCounts::default();
        for group in 0..self.layout.groups() {
            let before = buffer.codes.len();
            self.read_values(group, buffer)?;
            self.read_positions(group, buffer)?;
            counts.add(&buffer.codes[before..]);
            after(group, buffer);
        }
        self.prefix.book().map_or(Ok(()), |book| book.check(&counts, self.layout.values()))
    }
}

impl TensorLayout {
    /// Decodes the tensor from exactly its bytes.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<SparseTensor, BodyError> {
        let reader = TensorReader::new(self, bytes)?;
        let mut buffer = GroupBuffer::default();
        buffer.positions.reserve(self.geometry().chunks() * self.sent());
        reader.each_group(&mut buffer, |_, _| ())?;
        match bytes.len() - reader.length() {
            0 => {
                let positions = std::mem::take(&mut buffer.positions);
                Ok(SparseTensor { sent: self.sent(), positions, values: reader.prefix.values(buffer) })
            }
            left => Err(WireError::Trailing { what: "the tensor", offset: reader.length(), left }.into()),
        }
    }

    /// Checks the tensor that `bytes` begin with. Needs the memory of one group and of the lengths
    /// of all groups. Returns the tensor's length, and the Euclidean norm of the sent values: the energies of
    /// the chunks, added in a fixed tree.
    pub(super) fn check(&self, bytes: &[u8], buffer: &mut GroupBuffer) -> Result<(usize, f64), BodyError> {
        let reader = TensorReader::new(self, bytes)?;
        buffer.clear();
        let mut energy = Pairwise::default();
        reader.each_group(buffer, |group, buffer| {
            let chunks = 0..self.group_chunks(group);
            chunks.for_each(|chunk| energy.add(reader.chunk_values(chunk, buffer).energy()));
            buffer.clear();
        })?;
        Ok((reader.length(), energy.total().sqrt()))
    }

    /// Appends the bytes of the tensor.
    pub(super) fn write(&self, tensor: &SparseTensor, to: &mut Vec<u8>) {
        let book = || self.book(tensor.codes());
        let prefix = match *tensor.values() {
            Values::Templar { levels, .. } => Prefix::Templar(levels, book()),
            Values::SignCentroid { base, .. } => Prefix::SignCentroid(base, book()),
            Values::Sign { base, .. } => Prefix::Sign(base),
            Values::F32(_) => Prefix::F32,
        };
        prefix.write(to);
        let lengths = to.len();
        to.resize(lengths + 4 * self.groups(), 0);
        for group in 0..self.groups() {
            let stated = self.write_group(group, tensor, prefix.book(), to);
            for (part, length) in stated.into_iter().enumerate() {
                let length = u16::try_from(length).expect("a group has at most 2^15 values, or one chunk");
                to[lengths + 4 * group + 2 * part..][..2].copy_from_slice(&length.to_le_bytes());
            }
        }
    }

    /// Creates the code book for the codes of the tensor.
    fn book(&self, codes: &[u8]) -> CodeBook {
        let mut counts = SymbolCounts::default();
        let group = self.chunks_per_group() * self.sent();
        codes.chunks(group.max(1)).for_each(|codes| counts.add(codes));
        CodeBook::new(&counts, self.values())
    }

    /// Appends the bytes of a group. Returns the lengths of its codes and of its positions.
    fn write_group(
        &self,
        group: usize,
        tensor: &SparseTensor,
        book: Option<&CodeBook>,
        to: &mut Vec<u8>,
    ) -> [usize; 2] {
        let first = group * self.chunks_per_group();
        let chunks = first..first + self.group_chunks(group);
        let range = chunks.start * self.sent()..chunks.end * self.sent();
        match tensor.values() {
            Values::Templar { .. } => {}
            Values::SignCentroid { scales, .. } => {
                scales[chunks.clone()].iter().for_each(|pair| to.extend([pair.small.0, pair.large.0]));
            }
            Values::Sign { magnitudes, codes, .. } => {
                to.extend(magnitudes[chunks.clone()].iter().map(|share| share.0));
                write_signs(&codes[range.clone()], to);
            }
            Values::F32(values) => {
                values[range.clone()].iter().for_each(|value| to.extend_from_slice(&value.to_le_bytes()));
            }
        }
        let codes = to.len();
        if let Some(book) = book {
            book.write(&tensor.codes()[range], to);
        }
        let positions = to.len();
        let mut bits = BitWriter::new(to);
        chunks.for_each(|chunk| self.halving().write(tensor.chunk_positions(chunk), &mut bits));
        bits.finish();
        [positions - codes, to.len() - positions]
    }
}

impl Prefix {
    /// Appends the quantizer's data of the tensor.
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Templar(levels, _) => levels.iter().for_each(|level| to.extend(level.to_le_bytes())),
            Self::SignCentroid(base, _) | Self::Sign(base) => to.extend(base.to_le_bytes()),
            Self::F32 => {}
        }
        if let Some(book) = self.book() {
            book.write_table(to);
        }
    }
}

/// Decodes two magnitudes per chunk.
fn read_scales(group: usize, bytes: &[u8], to: &mut Vec<CentroidChunk>) -> Result<(), BodyError> {
    for pair in bytes.chunks_exact(2) {
        let scales = CentroidChunk { small: Ratio(pair[0]), large: Ratio(pair[1]) };
        if !scales.is_ordered() {
            return Err(BodyError::Magnitudes(group));
        }
        to.push(scales);
    }
    Ok(())
}

/// Decodes unquantized values.
fn read_values(bytes: &[u8], to: &mut Vec<f32>) -> Result<(), BodyError> {
    let mut reader = Reader::new(bytes);
    while reader.left() > 0 {
        to.push(finite(reader.f32("a value")?, "a value")?);
    }
    Ok(())
}

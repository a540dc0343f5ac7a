//! The bytes of a tensor: what its quantizer keeps per tensor, the lengths of its groups, the groups.
//!
//! A group is what its chunks have in common length (scales, codes), then the positions of all its chunks as bits.

use super::{BodyError, GROUP_CHUNKS, TensorLayout};
use crate::{
    quantize::{CentroidChunk, Ratio, Values},
    rice::{BitReader, BitWriter},
    sparse::{Quantizer, SparseTensor},
    wire::{Reader, WireError},
};

/// Decoded groups, and memory for decoding the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupBuffer {
    positions: Vec<u16>,
    codes: Vec<u8>,
    scales: Vec<CentroidChunk>,
    values: Vec<f32>,
}

/// What a quantizer keeps per tensor.
#[derive(Clone, Copy, Debug)]
enum Prefix {
    Templar([f32; 4]),
    SignCentroid(f32),
    F32,
}

impl GroupBuffer {
    fn clear(&mut self) {
        self.positions.clear();
        self.codes.clear();
        self.scales.clear();
        self.values.clear();
    }
}

impl Prefix {
    fn read(quantizer: Quantizer, from: &mut Reader<'_>) -> Result<Self, BodyError> {
        let what = "a level of the tensor";
        Ok(match quantizer {
            Quantizer::Templar => {
                let mut levels = [0.0; 4];
                for level in &mut levels {
                    *level = finite(from.f32(what)?, what)?;
                }
                Self::Templar(levels)
            }
            Quantizer::SignCentroid => {
                let what = "the scale of the tensor";
                match finite(from.f32(what)?, what)? {
                    base if base.is_sign_positive() => Self::SignCentroid(base),
                    _ => return Err(BodyError::NotFinite(what)),
                }
            }
            Quantizer::F32 => Self::F32,
        })
    }

    /// The values of all decoded groups.
    fn values(self, buffer: GroupBuffer) -> Values {
        match self {
            Self::Templar(levels) => Values::Templar { levels, codes: buffer.codes },
            Self::SignCentroid(base) => {
                Values::SignCentroid { base, scales: buffer.scales, codes: buffer.codes }
            }
            Self::F32 => Values::F32(buffer.values),
        }
    }
}

/// A number that is finite.
fn finite(value: f32, what: &'static str) -> Result<f32, BodyError> {
    if value.is_finite() { Ok(value) } else { Err(BodyError::NotFinite(what)) }
}

impl TensorLayout {
    /// Decodes the tensor from exactly its bytes.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<SparseTensor, BodyError> {
        let mut buffer = GroupBuffer::default();
        buffer.positions.reserve(self.geometry().chunks() * self.sent());
        let (prefix, length) = self.each_group(bytes, &mut buffer, |_| ())?;
        match bytes.len() - length {
            0 => {
                let positions = std::mem::take(&mut buffer.positions);
                Ok(SparseTensor { sent: self.sent(), positions, values: prefix.values(buffer) })
            }
            left => Err(WireError::Trailing { what: "the tensor", offset: length, left }.into()),
        }
    }

    /// Checks the tensor that `bytes` begin with, in the memory of one group; its length.
    pub(super) fn check(&self, bytes: &[u8], buffer: &mut GroupBuffer) -> Result<usize, BodyError> {
        buffer.clear();
        Ok(self.each_group(bytes, buffer, GroupBuffer::clear)?.1)
    }

    /// Decodes group after group, and calls `after` behind each; what the quantizer keeps, and the tensor's length.
    fn each_group(
        &self,
        bytes: &[u8],
        buffer: &mut GroupBuffer,
        after: impl Fn(&mut GroupBuffer),
    ) -> Result<(Prefix, usize), BodyError> {
        let mut reader = Reader::new(bytes);
        let prefix = Prefix::read(self.quantizer(), &mut reader)?;
        let mut lengths = Reader::new(reader.raw("the lengths of the groups", 4 * self.groups())?);
        for group in 0..self.groups() {
            let (chunks, stated) = (self.group_chunks(group), lengths.u32("the length of a group")?);
            let (least, most) = (self.fixed_bytes(chunks), self.most_group_bytes(chunks));
            if !(least..=most).contains(&(stated as usize)) {
                return Err(BodyError::GroupLength { group, stated, least, most });
            }
            self.read_group(group, reader.raw("a group", stated as usize)?, buffer)?;
            after(buffer);
        }
        Ok((prefix, reader.offset()))
    }

    /// Decodes a group from exactly its bytes, at least those that do not depend on positions.
    fn read_group(&self, group: usize, bytes: &[u8], to: &mut GroupBuffer) -> Result<(), BodyError> {
        let chunks = self.group_chunks(group);
        let count = chunks * self.sent();
        let (fixed, positions) = bytes.split_at(self.fixed_bytes(chunks));
        match self.quantizer() {
            Quantizer::Templar => read_codes(group, fixed, count, &mut to.codes)?,
            Quantizer::SignCentroid => {
                let (scales, codes) = fixed.split_at(2 * chunks);
                read_scales(group, scales, &mut to.scales)?;
                read_codes(group, codes, count, &mut to.codes)?;
            }
            Quantizer::F32 => read_values(fixed, &mut to.values)?,
        }
        self.read_positions(group, positions, count, &mut to.positions)
    }

    /// Decodes the positions of a group's chunks.
    fn read_positions(
        &self,
        group: usize,
        bytes: &[u8],
        count: usize,
        to: &mut Vec<u16>,
    ) -> Result<(), BodyError> {
        let mut bits = BitReader::new(bytes);
        let before = to.len();
        to.resize(before + count, 0);
        for chunk in to[before..].chunks_exact_mut(self.sent().max(1)) {
            self.rice().read(&mut bits, chunk).map_err(|source| BodyError::Positions { group, source })?;
        }
        if bits.is_padding() { Ok(()) } else { Err(BodyError::Padding(group)) }
    }

    /// Appends the bytes of the tensor.
    pub(super) fn write(&self, tensor: &SparseTensor, to: &mut Vec<u8>) {
        match tensor.values() {
            Values::Templar { levels, .. } => {
                levels.iter().for_each(|level| to.extend_from_slice(&level.to_le_bytes()));
            }
            Values::SignCentroid { base, .. } => to.extend_from_slice(&base.to_le_bytes()),
            Values::F32(_) => {}
        }
        let lengths = to.len();
        to.resize(lengths + 4 * self.groups(), 0);
        for group in 0..self.groups() {
            let start = to.len();
            self.write_group(group, tensor, to);
            let length = u32::try_from(to.len() - start).expect("a group has at most 16.8 MB of values");
            to[lengths + 4 * group..][..4].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Appends the bytes of a group.
    fn write_group(&self, group: usize, tensor: &SparseTensor, to: &mut Vec<u8>) {
        let first = group * GROUP_CHUNKS;
        let chunks = first..first + self.group_chunks(group);
        let range = chunks.start * self.sent()..chunks.end * self.sent();
        match tensor.values() {
            Values::Templar { codes, .. } => write_codes(&codes[range], to),
            Values::SignCentroid { scales, codes, .. } => {
                scales[chunks.clone()].iter().for_each(|pair| to.extend([pair.small.0, pair.large.0]));
                write_codes(&codes[range], to);
            }
            Values::F32(values) => {
                values[range].iter().for_each(|value| to.extend_from_slice(&value.to_le_bytes()));
            }
        }
        let mut bits = BitWriter::new(to);
        chunks.for_each(|chunk| self.rice().write(tensor.chunk_positions(chunk), &mut bits));
        bits.finish();
    }
}

/// Appends codes of 2 bits, four to a byte, the first one lowest.
fn write_codes(codes: &[u8], to: &mut Vec<u8>) {
    let pack = |four: &[u8]| four.iter().rev().fold(0, |byte, &code| byte << 2 | code & 3);
    to.extend(codes.chunks(4).map(pack));
}

/// Decodes `count` codes of 2 bits from as many bytes as they take.
fn read_codes(group: usize, bytes: &[u8], count: usize, to: &mut Vec<u8>) -> Result<(), BodyError> {
    let unpack = |byte: &u8| [byte & 3, byte >> 2 & 3, byte >> 4 & 3, byte >> 6];
    let end = to.len() + count;
    to.extend(bytes.iter().flat_map(unpack));
    if to.drain(end..).any(|padding| padding != 0) {
        return Err(BodyError::Padding(group));
    }
    Ok(())
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

/// Decodes values as they are.
fn read_values(bytes: &[u8], to: &mut Vec<f32>) -> Result<(), BodyError> {
    let mut reader = Reader::new(bytes);
    while reader.left() > 0 {
        to.push(finite(reader.f32("a value")?, "a value")?);
    }
    Ok(())
}

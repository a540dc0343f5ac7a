//! Computes the layout of a run's submissions from its run spec.

use super::{HEADER_BYTES, SubmissionError, TRAILER_BYTES, codes::table_bytes, signs::sign_bytes};
use crate::{
    chunks::{Geometry, GeometryError},
    positions::Halving,
    sparse::{Quantizer, SparseSpec},
};
use base::{
    tensor::TensorSpec,
    wire::{Reader, Writer},
};
use std::collections::BTreeMap;

/// The most chunks per group. Groups begin at whole bytes, so each can be decoded separately.
pub const GROUP_CHUNKS: usize = 64;

/// The most values of a group of more than one chunk. One decoded group of every submission must
/// fit into memory at once.
pub const GROUP_VALUES: usize = 1 << 15;

/// Bytes of a tensor's entry in the table: rows, columns, offset.
const ENTRY_BYTES: usize = 4 + 4 + 8;

/// The tensors of a run's submissions and their encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmissionLayout {
    spec: SparseSpec,
    tensors: Vec<TensorLayout>,
}

/// The encoding of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorLayout {
    name: String,
    /// Rows (0 for a vector) and columns.
    shape: [u32; 2],
    geometry: Geometry,
    quantizer: Quantizer,
    /// Values sent per chunk.
    sent: usize,
    halving: Halving,
}

/// An error from laying out tensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A tensor cannot be cut into chunks.
    #[error("tensor {name}")]
    Geometry {
        /// The tensor's name.
        name: String,
        /// The reason.
        source: GeometryError,
    },
    /// A dimension has more than 32 bits.
    #[error("tensor {name} has a dimension of {size}: the most is 4294967295")]
    Dimension {
        /// The tensor's name.
        name: String,
        /// The dimension.
        size: usize,
    },
}

impl SubmissionLayout {
    /// Creates the layout for a model's tensors, in their order. The spec must have been checked.
    ///
    /// # Errors
    /// Fails if a tensor is neither a vector nor a matrix, or is too large.
    pub fn new(tensors: &[TensorSpec], spec: &SparseSpec) -> Result<Self, LayoutError> {
        // A model has many tensors of few shapes, and creating a `Halving` is slow: create one per shape.
        let mut halvings = BTreeMap::new();
        let mut halving =
            |size, sent| *halvings.entry((size, sent)).or_insert_with(|| Halving::new(size, sent));
        let layout = |tensor| TensorLayout::new(tensor, spec, &mut halving);
        let tensors = tensors.iter().map(layout).collect::<Result<_, _>>()?;
        Ok(Self { spec: *spec, tensors })
    }

    /// Returns the run's settings of compression.
    #[must_use]
    pub fn spec(&self) -> &SparseSpec {
        &self.spec
    }

    /// Returns the tensors, in their order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorLayout] {
        &self.tensors
    }

    /// Returns the offset of the first tensor: after header and table.
    pub(super) fn body_offset(&self) -> usize {
        HEADER_BYTES + self.tensors.len() * ENTRY_BYTES
    }

    /// Returns the largest size of a submission, in bytes. This is exact: some submissions have this size.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        let bodies = self.tensors.iter().map(|tensor| tensor.most_bytes()).sum::<u64>();
        (self.body_offset() + TRAILER_BYTES) as u64 + bodies
    }

    /// Returns the number of values that a submission sends.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.values() as u64).sum()
    }
}

impl TensorLayout {
    fn new(
        tensor: &TensorSpec,
        spec: &SparseSpec,
        halving: &mut impl FnMut(usize, usize) -> Halving,
    ) -> Result<Self, LayoutError> {
        let name = tensor.name.clone();
        let geometry = Geometry::new(&tensor.shape, spec.edge());
        let geometry = geometry.map_err(|source| LayoutError::Geometry { name: name.clone(), source })?;
        let size = |size: usize| {
            u32::try_from(size).map_err(|_| LayoutError::Dimension { name: name.clone(), size })
        };
        let shape = match *tensor.shape {
            [rows, columns] => [size(rows)?, size(columns)?],
            _ => [0, size(geometry.len())?],
        };
        let sent = geometry.sent(spec.topk as usize);
        let halving = halving(geometry.size(), sent);
        Ok(Self { name, shape, geometry, quantizer: spec.quantizer, sent, halving })
    }

    /// Returns the tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its division into chunks.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the encoding of its values.
    #[must_use]
    pub fn quantizer(&self) -> Quantizer {
        self.quantizer
    }

    /// Returns the number of values sent per chunk.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Returns the number of values sent of it.
    pub(super) fn values(&self) -> usize {
        self.geometry.chunks() * self.sent
    }

    /// Returns the encoding of its positions.
    pub(super) fn halving(&self) -> Halving {
        self.halving
    }

    /// Returns the number of chunks per group.
    #[must_use]
    pub fn chunks_per_group(&self) -> usize {
        (GROUP_VALUES / self.sent.max(1)).clamp(1, GROUP_CHUNKS)
    }

    /// Returns the number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.geometry.chunks().div_ceil(self.chunks_per_group())
    }

    /// Returns the number of chunks of one group. The last group may have fewer.
    pub(super) fn group_chunks(&self, group: usize) -> usize {
        let each = self.chunks_per_group();
        (self.geometry.chunks() - group * each).min(each)
    }

    /// Returns the number of bytes before the lengths of the groups: the quantizer's data per tensor.
    pub(super) fn prefix_bytes(&self) -> usize {
        match self.quantizer {
            Quantizer::Templar => 16 + table_bytes(self.values()),
            Quantizer::SignCentroid => 4 + table_bytes(self.values()),
            Quantizer::Sign => 4,
            Quantizer::F32 => 0,
        }
    }

    /// Returns the number of bytes of the parts of fixed length of `chunks` chunks.
    pub(super) fn fixed_bytes(&self, chunks: usize) -> usize {
        match self.quantizer {
            Quantizer::Templar => 0,
            Quantizer::SignCentroid => 2 * chunks,
            Quantizer::Sign => chunks + sign_bytes(chunks * self.sent),
            Quantizer::F32 => 4 * chunks * self.sent,
        }
    }

    /// Returns the most bytes of the codes of `chunks` chunks of a group, if codes are in a prefix
    /// code. This is the length of codes written as plain bytes.
    pub(super) fn most_code_bytes(&self, chunks: usize) -> usize {
        match self.quantizer {
            Quantizer::Templar | Quantizer::SignCentroid => (chunks * self.sent).div_ceil(4),
            Quantizer::Sign | Quantizer::F32 => 0,
        }
    }

    /// Returns the most bytes of the positions of `chunks` chunks of a group.
    pub(super) fn most_position_bytes(&self, chunks: usize) -> usize {
        (chunks * self.halving.most_bits()).div_ceil(8)
    }

    /// Returns the most bytes of a group of `chunks` chunks.
    fn most_group_bytes(&self, chunks: usize) -> usize {
        self.fixed_bytes(chunks) + self.most_code_bytes(chunks) + self.most_position_bytes(chunks)
    }

    /// Returns the most bytes of the tensor.
    fn most_bytes(&self) -> u64 {
        let (chunks, each) = (self.geometry.chunks(), self.chunks_per_group());
        let groups = chunks / each * self.most_group_bytes(each) + self.most_group_bytes(chunks % each);
        (self.prefix_bytes() + 4 * self.groups() + groups) as u64
    }

    /// Appends the tensor's entry in the table.
    pub(super) fn write_entry(&self, offset: u64, to: &mut Writer) {
        to.u32(self.shape[0]).u32(self.shape[1]).u64(offset);
    }

    /// Reads the tensor's entry in the table, which must state its shape and its offset.
    pub(super) fn check_entry(&self, from: &mut Reader<'_>, offset: u64) -> Result<(), SubmissionError> {
        let found = [from.u32("the rows of a tensor")?, from.u32("the columns of a tensor")?];
        if found != self.shape {
            return Err(SubmissionError::Shape { tensor: self.name.clone(), found, expected: self.shape });
        }
        match from.u64("the offset of a tensor")? {
            stated if stated == offset => Ok(()),
            stated => Err(SubmissionError::Offset { tensor: self.name.clone(), stated, found: offset }),
        }
    }
}

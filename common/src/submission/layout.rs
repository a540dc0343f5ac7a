//! What a run spec says about the bytes of its submissions.

use super::{HEADER_BYTES, SubmissionError, TRAILER_BYTES};
use crate::{
    chunks::{Geometry, GeometryError},
    model::TensorSpec,
    rice::Rice,
    sparse::{Quantizer, SparseSpec},
    wire::{Reader, Writer},
};

/// Chunks of a group: groups begin at whole bytes, so each can be decoded alone.
pub const GROUP_CHUNKS: usize = 64;

/// Bytes of a tensor's entry in the table: rows, columns, offset.
const ENTRY_BYTES: usize = 4 + 4 + 8;

/// The tensors of a run's submissions and how they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    spec: SparseSpec,
    tensors: Vec<TensorLayout>,
}

/// How one tensor is written.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorLayout {
    name: String,
    /// Rows (0 for a vector) and columns.
    shape: [u32; 2],
    geometry: Geometry,
    quantizer: Quantizer,
    /// Values sent of each chunk.
    sent: usize,
    rice: Rice,
}

/// Why tensors cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A tensor that cannot be cut into chunks.
    #[error("tensor {name}: {source}")]
    Geometry {
        /// Its name.
        name: String,
        /// Why not.
        source: GeometryError,
    },
    /// A dimension of more than 32 bits.
    #[error("tensor {name} has a dimension of {size}: at most 4294967295")]
    Dimension {
        /// Its name.
        name: String,
        /// The dimension.
        size: usize,
    },
}

impl Layout {
    /// The layout for a model's tensors, in their order. The spec is one that was checked.
    ///
    /// # Errors
    /// A tensor is neither a vector nor a matrix, or too large.
    pub fn new(tensors: &[TensorSpec], spec: &SparseSpec) -> Result<Self, LayoutError> {
        let tensors =
            tensors.iter().map(|tensor| TensorLayout::new(tensor, spec)).collect::<Result<_, _>>()?;
        Ok(Self { spec: *spec, tensors })
    }

    /// The choices of the run.
    #[must_use]
    pub fn spec(&self) -> &SparseSpec {
        &self.spec
    }

    /// The tensors, in their order.
    #[must_use]
    pub fn tensors(&self) -> &[TensorLayout] {
        &self.tensors
    }

    /// Where the first tensor begins: after header and table.
    pub(super) fn body_offset(&self) -> usize {
        HEADER_BYTES + self.tensors.len() * ENTRY_BYTES
    }

    /// The largest size of a submission, in bytes. It is reached, so it is no estimate.
    #[must_use]
    pub fn most_bytes(&self) -> u64 {
        let bodies = self.tensors.iter().map(|tensor| tensor.most_bytes()).sum::<u64>();
        (self.body_offset() + TRAILER_BYTES) as u64 + bodies
    }

    /// Values that a submission sends.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.tensors.iter().map(|tensor| (tensor.geometry.chunks() * tensor.sent) as u64).sum()
    }
}

impl TensorLayout {
    fn new(tensor: &TensorSpec, spec: &SparseSpec) -> Result<Self, LayoutError> {
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
        let rice = Rice::new(geometry.size(), sent);
        Ok(Self { name, shape, geometry, quantizer: spec.quantizer, sent, rice })
    }

    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its chunks.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How its values are written.
    #[must_use]
    pub fn quantizer(&self) -> Quantizer {
        self.quantizer
    }

    /// Values sent of each chunk.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// How its positions are written.
    pub(super) fn rice(&self) -> Rice {
        self.rice
    }

    /// Number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.geometry.chunks().div_ceil(GROUP_CHUNKS)
    }

    /// Chunks of a group: the last one may have fewer.
    pub(super) fn group_chunks(&self, group: usize) -> usize {
        (self.geometry.chunks() - group * GROUP_CHUNKS).min(GROUP_CHUNKS)
    }

    /// Bytes before the lengths of the groups: what the quantizer keeps per tensor.
    pub(super) fn prefix_bytes(&self) -> usize {
        match self.quantizer {
            Quantizer::Templar => 16,
            Quantizer::SignCentroid => 4,
            Quantizer::F32 => 0,
        }
    }

    /// Bytes of so many chunks that do not depend on where their values are.
    pub(super) fn fixed_bytes(&self, chunks: usize) -> usize {
        let values = chunks * self.sent;
        match self.quantizer {
            Quantizer::Templar => values.div_ceil(4),
            Quantizer::SignCentroid => 2 * chunks + values.div_ceil(4),
            Quantizer::F32 => 4 * values,
        }
    }

    /// Most bytes of a group of so many chunks.
    pub(super) fn most_group_bytes(&self, chunks: usize) -> usize {
        self.fixed_bytes(chunks) + (chunks * self.rice.most_bits()).div_ceil(8)
    }

    /// Most bytes of the tensor.
    fn most_bytes(&self) -> u64 {
        let (full, rest) = (self.geometry.chunks() / GROUP_CHUNKS, self.geometry.chunks() % GROUP_CHUNKS);
        let groups = full * self.most_group_bytes(GROUP_CHUNKS) + self.most_group_bytes(rest);
        (self.prefix_bytes() + 4 * self.groups() + groups) as u64
    }

    /// Appends the tensor's entry in the table.
    pub(super) fn write_entry(&self, offset: u64, to: &mut Writer) {
        to.u32(self.shape[0]).u32(self.shape[1]).u64(offset);
    }

    /// Reads the tensor's entry in the table, which must be its shape and where it begins.
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

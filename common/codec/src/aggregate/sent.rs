//! Provides the sent values of an update: decoded already, or decoded group by group on demand.

use super::{AggregateError, clip::Pairwise};
use crate::{
    sparse::{ChunkValues, SparseTensor},
    submission::{BodyError, GroupBuffer, SubmissionError, TensorReader},
};
use base::Hotkey;

/// The values that an update sends of a tensor, chunk by chunk.
pub(super) trait Sent: Sync {
    /// Decodes the chunks of a group into a buffer, which then holds nothing else.
    fn decode(&self, group: usize, buffer: &mut GroupBuffer) -> Result<(), AggregateError>;

    /// Returns a chunk's positions and values, given its number in the group that the buffer holds.
    fn chunk<'b>(&'b self, chunk: usize, buffer: &'b GroupBuffer) -> (&'b [u16], ChunkValues<'b>);
}

/// A decoded tensor counts as one group.
impl Sent for &SparseTensor {
    fn decode(&self, _: usize, _: &mut GroupBuffer) -> Result<(), AggregateError> {
        Ok(())
    }

    fn chunk<'b>(&'b self, chunk: usize, _: &'b GroupBuffer) -> (&'b [u16], ChunkValues<'b>) {
        (self.chunk_positions(chunk), self.chunk_values(chunk))
    }
}

/// A tensor of a submission, still encoded.
pub(super) struct Encoded<'a> {
    hotkey: Hotkey,
    tensor: TensorReader<'a>,
}

impl<'a> Encoded<'a> {
    pub(super) fn new(
        hotkey: Hotkey,
        tensor: Result<TensorReader<'a>, SubmissionError>,
    ) -> Result<Self, AggregateError> {
        match tensor {
            Ok(tensor) => Ok(Self { hotkey, tensor }),
            Err(source) => Err(AggregateError::Submission { hotkey, source }),
        }
    }

    /// Returns the norm of the sent values, equal to [`norm`](super::norm) of the decoded tensor.
    /// Decodes no position.
    pub(super) fn norm(&self, buffer: &mut GroupBuffer) -> Result<f64, AggregateError> {
        let mut energy = Pairwise::default();
        for group in 0..self.tensor.groups() {
            let read = self.tensor.read_energies(group, buffer, |chunk| energy.add(chunk));
            read.map_err(|source| self.error(source))?;
        }
        Ok(energy.total().sqrt())
    }

    fn error(&self, source: BodyError) -> AggregateError {
        AggregateError::Submission { hotkey: self.hotkey, source: self.tensor.error(source) }
    }
}

impl Sent for Encoded<'_> {
    fn decode(&self, group: usize, buffer: &mut GroupBuffer) -> Result<(), AggregateError> {
        buffer.clear();
        let read = self.tensor.read_values(group, buffer);
        read.and_then(|()| self.tensor.read_positions(group, buffer)).map_err(|source| self.error(source))
    }

    fn chunk<'b>(&'b self, chunk: usize, buffer: &'b GroupBuffer) -> (&'b [u16], ChunkValues<'b>) {
        (self.tensor.chunk_positions(chunk, buffer), self.tensor.chunk_values(chunk, buffer))
    }
}

//! Decodes a tensor of an accepted submission group by group, while it is added.

use super::AggregateError;
use crate::{
    sparse::ChunkValues,
    submission::{BodyError, GroupBuffer, Submission, TensorReader},
};
use base::Hotkey;

/// The values that an accepted submission sends of a tensor, still encoded, and their clip factor.
pub(super) struct Update<'a> {
    hotkey: Hotkey,
    tensor: TensorReader<'a>,
    /// The factor of the values: of the clipping, and of the weight.
    pub(super) factor: f32,
    /// The weight, in the unit of the merge.
    pub(super) count: i32,
}

impl<'a> Update<'a> {
    /// Creates the update of the tensor with this number.
    pub(super) fn new<B: AsRef<[u8]>>(
        submission: &'a Submission<B>,
        number: usize,
        factor: f32,
        count: i32,
    ) -> Result<Self, AggregateError> {
        let hotkey = submission.header().neuron.hotkey;
        match submission.reader(number) {
            Ok(tensor) => Ok(Self { hotkey, tensor, factor, count }),
            Err(source) => Err(AggregateError::Submission { hotkey, source }),
        }
    }

    /// Decodes the chunks of a group into a buffer, which then holds nothing else.
    pub(super) fn decode(&self, group: usize, buffer: &mut GroupBuffer) -> Result<(), AggregateError> {
        buffer.clear();
        let read = self.tensor.read_values(group, buffer);
        read.and_then(|()| self.tensor.read_positions(group, buffer)).map_err(|source| self.error(source))
    }

    /// Returns a chunk's positions and values, given its number in the group that the buffer holds.
    pub(super) fn chunk<'b>(&self, chunk: usize, buffer: &'b GroupBuffer) -> (&'b [u16], ChunkValues<'b>) {
        (self.tensor.chunk_positions(chunk, buffer), self.tensor.chunk_values(chunk, buffer))
    }

    fn error(&self, source: BodyError) -> AggregateError {
        AggregateError::Submission { hotkey: self.hotkey, source: self.tensor.error(source) }
    }
}

//! Batches: sequences of tokens, checked before a model reads them.

use crate::layout::int;
use protocol::model::ModelSpec;
use std::ops::Range;
use tch::{Device, TchError, Tensor};

/// Sequences of the same length. Each token after the first of a sequence is a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    sequence: usize,
}

/// The reason why tokens do not form a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A sequence without a target.
    #[error("sequences of {0} tokens: at least 2 are needed, since the last token has no target")]
    Short(usize),
    /// No sequences, or an incomplete sequence.
    #[error("cannot split {tokens} tokens into one or more whole sequences of {sequence}")]
    Uneven {
        /// Tokens given.
        tokens: usize,
        /// Tokens of a sequence.
        sequence: usize,
    },
    /// A sequence that is longer than the model allows.
    #[error("sequences of {found} tokens: the model reads at most {most} (model.sequence)")]
    Long {
        /// Tokens of a sequence.
        found: usize,
        /// The model's longest sequence.
        most: u32,
    },
    /// A token outside the model's vocabulary.
    #[error(
        "token {found} at position {position} of sequence {sequence}: the vocabulary has {vocab} (model.vocab); \
         the data was made with another tokenizer"
    )]
    Token {
        /// The token.
        found: u32,
        /// The sequence within the batch, from 0.
        sequence: usize,
        /// The position within the sequence, from 0.
        position: usize,
        /// The size of the vocabulary.
        vocab: u32,
    },
    /// Fewer sequences than a step takes.
    #[error("a batch of {found} sequences: a step takes at least {wanted} (train.batch)")]
    Few {
        /// Sequences given.
        found: usize,
        /// Sequences of a step.
        wanted: u32,
    },
    /// Sequences of another length than the run's.
    #[error("sequences of {found} tokens: the run's have {wanted} (train.sequence)")]
    Length {
        /// Tokens of a sequence given.
        found: usize,
        /// Tokens of the run's sequences.
        wanted: u32,
    },
}

impl Batch {
    /// Creates a batch from sequences of `sequence` tokens, stored one after the other.
    ///
    /// # Errors
    /// The sequences have fewer than 2 tokens, there is no sequence, or the last sequence is incomplete.
    pub fn new(tokens: Vec<u32>, sequence: usize) -> Result<Self, BatchError> {
        if sequence < 2 {
            return Err(BatchError::Short(sequence));
        }
        if tokens.is_empty() || !tokens.len().is_multiple_of(sequence) {
            return Err(BatchError::Uneven { tokens: tokens.len(), sequence });
        }
        Ok(Self { tokens, sequence })
    }

    /// Returns the number of sequences, at least 1.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.tokens.len() / self.sequence
    }

    /// Returns the number of tokens of each sequence, at least 2.
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.sequence
    }

    /// Returns all tokens.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Returns the number of targets: all tokens but the first of each sequence.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.sequences() * (self.sequence - 1)
    }

    /// Checks that a model can read the batch.
    ///
    /// # Errors
    /// Names the token or the length that does not fit.
    pub fn check(&self, model: &ModelSpec) -> Result<(), BatchError> {
        if self.sequence > model.sequence as usize {
            return Err(BatchError::Long { found: self.sequence, most: model.sequence });
        }
        match self.tokens.iter().position(|&token| token >= model.vocab) {
            None => Ok(()),
            Some(place) => Err(BatchError::Token {
                found: self.tokens[place],
                sequence: place / self.sequence,
                position: place % self.sequence,
                vocab: model.vocab,
            }),
        }
    }

    /// Returns ranges of at most `size` sequences that cover the batch.
    pub(crate) fn parts(&self, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let count = self.sequences();
        (0..count).step_by(size).map(move |start| start..count.min(start + size))
    }

    /// Copies some of the sequences to a device, as `[count, sequence]` of i64.
    pub(crate) fn tensor(&self, sequences: Range<usize>, device: Device) -> Result<Tensor, TchError> {
        let shape = [int(sequences.len()), int(self.sequence)];
        let tokens = &self.tokens[sequences.start * self.sequence..sequences.end * self.sequence];
        let wide: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        Tensor::f_from_slice(&wide)?.f_reshape(shape)?.f_to_device(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::small;

    #[test]
    fn tokens_that_are_no_batch_are_refused() {
        let refuse = |count, sequence| Batch::new(vec![0; count], sequence).unwrap_err().to_string();
        assert!(refuse(4, 1).starts_with("sequences of 1 tokens: at least 2"));
        assert_eq!(refuse(0, 4), "cannot split 0 tokens into one or more whole sequences of 4");
        assert_eq!(refuse(7, 4), "cannot split 7 tokens into one or more whole sequences of 4");
    }

    #[test]
    fn a_model_reads_its_own_tokens_only() {
        let model = small();
        let check = |tokens, sequence| Batch::new(tokens, sequence).unwrap().check(&model);
        assert_eq!(check(vec![0, 1, 2, model.vocab - 1], 2), Ok(()));
        let error = check(vec![0, 1, 2, model.vocab], 2).unwrap_err();
        let expected = format!("token {} at position 1 of sequence 1: the vocabulary has", model.vocab);
        assert!(error.to_string().starts_with(&expected), "{error}");
        let length = model.sequence as usize + 1;
        assert!(
            matches!(check(vec![0; length], length), Err(BatchError::Long { found, .. }) if found == length)
        );
    }

    #[test]
    fn parts_cover_the_batch() {
        let batch = Batch::new(vec![0; 14], 2).unwrap();
        assert_eq!(batch.parts(3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert_eq!(batch.targets(), 7);
    }
}

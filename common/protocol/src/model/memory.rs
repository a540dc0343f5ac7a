//! Estimates the memory that a model needs.

use super::ModelSpec;

/// The bytes that a node needs for a model, by use. All of them but the activations are exact for f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The parameters.
    pub parameters: u64,
    /// The parameters at the start of the window, from which the pseudo-gradient is computed. Miners only.
    pub start: u64,
    /// The gradients. Miners only.
    pub gradients: u64,
    /// AdamW's two moments. Miners only.
    pub moments: u64,
    /// The error feedback. Miners only.
    pub error_feedback: u64,
    /// The activations that a forward pass keeps for the backward pass. This is an estimate for f32
    /// without recomputation, and with attention by blocks (no matrix of scores).
    pub activations: u64,
}

/// Size of a value in bytes.
const F32: u64 = 4;

impl MemoryEstimate {
    /// Returns the bytes that a miner needs.
    #[must_use]
    pub fn miner(&self) -> u64 {
        self.validator() + self.start + self.gradients + self.moments + self.error_feedback
    }

    /// Returns the most bytes that a validator needs. It makes forward passes only, so its
    /// activations are fewer.
    #[must_use]
    pub fn validator(&self) -> u64 {
        self.parameters.saturating_add(self.activations)
    }
}

impl ModelSpec {
    /// Estimates the memory for training on micro-batches of `micro_batch` sequences of `sequence` tokens.
    #[must_use]
    pub fn memory(&self, micro_batch: u32, sequence: u32) -> MemoryEstimate {
        let parameters = self.parameters() * F32;
        MemoryEstimate {
            parameters,
            start: parameters,
            gradients: parameters,
            moments: 2 * parameters,
            error_feedback: parameters,
            activations: self.activations(u64::from(micro_batch) * u64::from(sequence)),
        }
    }

    /// Returns the bytes kept for the backward pass of `tokens` tokens.
    ///
    /// Per layer and token these are: six vectors as wide as the residual stream (two norms and
    /// their inputs, two sums); queries, keys, values and the result of attention; four vectors as
    /// wide as the feed-forward layer. At the end come the logits, their softmax and its gradient.
    fn activations(&self, tokens: u64) -> u64 {
        let [vocab, hidden, layers, ffn] = [self.vocab, self.hidden, self.layers, self.ffn].map(u64::from);
        let [heads, kv_heads, head_dim] = [self.heads, self.kv_heads, self.head_dim].map(u64::from);
        let layer = 6 * hidden + 2 * (heads + kv_heads) * head_dim + 4 * ffn;
        tokens.saturating_mul(F32 * (layers * layer + 3 * vocab))
    }
}

#[cfg(test)]
mod tests {
    use crate::model::tests::tiny;

    #[test]
    fn moments_and_feedback_are_three_times_the_parameters() {
        let memory = tiny().memory(8, 128);
        assert_eq!(memory.parameters, 1_574_016 * 4);
        assert_eq!(memory.moments + memory.error_feedback, 3 * memory.parameters);
        assert_eq!(memory.miner() - memory.activations, 6 * memory.parameters);
        assert_eq!(tiny().memory(16, 128).activations, 2 * memory.activations);
    }
}

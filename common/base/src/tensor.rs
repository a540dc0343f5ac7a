//! Describes a tensor of a model: name, shape, role.

/// A parameter tensor, f32, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in Hugging Face's Llama checkpoints, like `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Its dimensions: `[n]`, or `[output, input]` as `torch.nn.Linear` keeps them.
    pub shape: Vec<usize>,
    /// Its role in the model.
    pub role: TensorRole,
}

/// The role of a tensor, as far as other code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorRole {
    /// The gain of an RMSNorm. It begins as 1 and does not decay.
    Norm,
    /// The embedding or the output layer, with one row per token.
    Vocabulary,
    /// A matrix that writes to the residual stream (`o_proj`, `down_proj`).
    Residual,
    /// Any other matrix.
    Matrix,
}

impl TensorSpec {
    /// Returns the number of values of the tensor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Checks whether the tensor has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

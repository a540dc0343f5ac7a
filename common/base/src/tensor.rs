//! Tensors of a model as the wire formats see them: name, shape, role.

/// A parameter tensor, f32, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in Hugging Face's Llama checkpoints, as `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Its dimensions: `[n]`, or `[output, input]` as `torch.nn.Linear` keeps them.
    pub shape: Vec<usize>,
    /// What it does in the model.
    pub role: Role,
}

/// What a tensor does, as far as anything depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The gain of an RMSNorm: begins as 1, not decayed.
    Norm,
    /// The embedding, or the output layer: one row per token.
    Vocabulary,
    /// A matrix that writes to the residual stream (`o_proj`, `down_proj`).
    Residual,
    /// Any other matrix.
    Matrix,
}

impl TensorSpec {
    /// Values of the tensor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

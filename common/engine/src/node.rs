//! A function whose gradient libtorch derives.

use tch::{TchError, Tensor};

/// A function's inputs and output, and the graph between them. Without gradients, in a
/// [`no_grad_guard`](tch::no_grad_guard), it has no graph.
pub(crate) struct Node {
    inputs: Vec<Tensor>,
    output: Tensor,
}

impl Node {
    /// Applies a function to tensors. The graph begins at them.
    pub(crate) fn new<const N: usize>(
        inputs: [&Tensor; N],
        f: impl FnOnce(&[Tensor]) -> Result<Tensor, TchError>,
    ) -> Result<Self, TchError> {
        let leaf = |tensor: &Tensor| tensor.f_detach()?.f_set_requires_grad(true);
        let inputs = inputs.into_iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
        let output = f(&inputs)?;
        Ok(Self { inputs, output })
    }

    /// Returns the output, outside the graph.
    pub(crate) fn value(&self) -> Result<Tensor, TchError> {
        self.output.f_detach()
    }

    /// Returns the gradients by all inputs, for the gradient by the output.
    pub(crate) fn backward(self, gradient: &Tensor) -> Result<Vec<Tensor>, TchError> {
        // libtorch's gradient of the product by the output is exactly `gradient`.
        let product = self.output.f_flatten(0, -1)?.f_dot(&gradient.f_flatten(0, -1)?)?;
        drop(self.output);
        Tensor::f_run_backward(&[product], &self.inputs, false, false)
    }
}

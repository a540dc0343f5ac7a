//! Wraps libtorch's top-k, for comparison.

use tch::{Kind, Tensor};

/// The values in a libtorch tensor: one row per chunk.
pub(crate) struct Torch(Tensor);

impl Torch {
    pub(crate) fn new(values: &[f32], chunk: usize) -> Self {
        Self(Tensor::from_slice(values).view([-1, chunk as i64]))
    }

    /// Returns the positions of the `k` largest magnitudes of each chunk.
    pub(crate) fn top_k(&self, k: usize, threads: usize) -> Tensor {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        let (_, positions) = tch::no_grad(|| self.0.abs().topk(k as i64, 1, true, false));
        positions.to_kind(Kind::Int64)
    }
}

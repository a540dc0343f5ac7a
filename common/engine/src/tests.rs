//! The helpers shared by the tests of several files.

use protocol::model::ModelSpec;

/// Returns a model with grouped queries and a separate output matrix, small enough for numeric checks.
pub(crate) fn small() -> ModelSpec {
    ModelSpec {
        vocab: 40,
        hidden: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        ffn: 24,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        sequence: 32,
    }
}

//! What the tests of several files share.

use protocol::model::ModelSpec;

/// A model with grouped queries and an output matrix of its own, small enough to differentiate by hand.
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

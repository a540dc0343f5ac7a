//! The arithmetic of a layer: a decoder of the Llama family, equal to `LlamaForCausalLM` of `transformers`.

use crate::rope::Rope;
use protocol::model::ModelSpec;
use tch::{TchError, Tensor};

/// Applies a layer: `[batch, length, hidden]` to the same shape.
///
/// `weights` are the tensors of the layer's unit, see [`Units`](crate::unit::Units).
pub(crate) fn layer(
    spec: &ModelSpec,
    weights: &[Tensor],
    stream: &Tensor,
    rope: &Rope,
) -> Result<Tensor, TchError> {
    let [attention_norm, query, key, value, output, feed_norm, gate, up, down] = weights else {
        return Err(TchError::Shape(format!("a layer of {} tensors", weights.len())));
    };
    let normed = rms_norm(spec, stream, attention_norm)?;
    let stream = stream.f_add(&attention(spec, [query, key, value, output], &normed, rope)?)?;
    let normed = rms_norm(spec, &stream, feed_norm)?;
    stream.f_add(&feed_forward([gate, up, down], &normed)?)
}

/// Applies causal attention with grouped queries: `[batch, length, hidden]` to the same shape.
fn attention(
    spec: &ModelSpec,
    [query, key, value, output]: [&Tensor; 4],
    input: &Tensor,
    rope: &Rope,
) -> Result<Tensor, TchError> {
    let (batch, length, _) = input.size3()?;
    let (heads, kv_heads) = (i64::from(spec.heads), i64::from(spec.kv_heads));
    let width = i64::from(spec.head_dim);
    let project = |weight: &Tensor, heads: i64| {
        linear(input, weight)?.f_reshape([batch, length, heads, width])?.f_transpose(1, 2)
    };
    let query = rope.turn(&project(query, heads)?)?;
    let key = rope.turn(&project(key, kv_heads)?)?;
    let value = project(value, kv_heads)?;
    let mixed = Tensor::f_scaled_dot_product_attention(
        &query,
        &key,
        &value,
        None::<&Tensor>,
        0.0,
        true,
        None,
        heads != kv_heads,
    )?;
    linear(&mixed.f_transpose(1, 2)?.f_reshape([batch, length, heads * width])?, output)
}

/// Applies SwiGLU: `down(silu(gate(x)) * up(x))`.
fn feed_forward([gate, up, down]: [&Tensor; 3], input: &Tensor) -> Result<Tensor, TchError> {
    linear(&linear(input, gate)?.f_silu()?.f_mul(&linear(input, up)?)?, down)
}

/// Applies an RMSNorm with its gain.
pub(crate) fn rms_norm(spec: &ModelSpec, input: &Tensor, gain: &Tensor) -> Result<Tensor, TchError> {
    input.f_rms_norm([i64::from(spec.hidden)], Some(gain), spec.norm_eps)
}

fn linear(input: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    input.f_linear(weight, None::<&Tensor>)
}

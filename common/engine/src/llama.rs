//! The forward pass: a decoder of the Llama family, equal to `LlamaForCausalLM` of `transformers`.

use crate::rope::Rope;
use protocol::model::{ModelSpec, ParameterLayout};
use tch::{Device, Kind, TchError, Tensor};

/// The structure of a model. Each pass receives the weights.
#[derive(Debug)]
pub(crate) struct Llama {
    spec: ModelSpec,
    rope: Rope,
    embedding: usize,
    layers: Vec<Layer>,
    norm: usize,
    /// The output matrix: the embedding if the model is tied.
    output: usize,
}

/// The indices of a layer's tensors in the list of all tensors.
#[derive(Debug)]
struct Layer {
    attention_norm: usize,
    query: usize,
    key: usize,
    value: usize,
    attention_output: usize,
    feed_norm: usize,
    gate: usize,
    up: usize,
    down: usize,
}

impl Llama {
    /// Creates the structure of a checked model.
    pub(crate) fn new(spec: ModelSpec, layout: &ParameterLayout, device: Device) -> Result<Self, TchError> {
        let place =
            |name: &str| layout.position(&format!("{name}.weight")).expect("the layout is of the same model");
        let layer = |number: u32| {
            let place = |name: &str| place(&format!("model.layers.{number}.{name}"));
            Layer {
                attention_norm: place("input_layernorm"),
                query: place("self_attn.q_proj"),
                key: place("self_attn.k_proj"),
                value: place("self_attn.v_proj"),
                attention_output: place("self_attn.o_proj"),
                feed_norm: place("post_attention_layernorm"),
                gate: place("mlp.gate_proj"),
                up: place("mlp.up_proj"),
                down: place("mlp.down_proj"),
            }
        };
        let embedding = place("model.embed_tokens");
        Ok(Self {
            spec,
            rope: Rope::new(&spec, device)?,
            embedding,
            layers: (0..spec.layers).map(layer).collect(),
            norm: place("model.norm"),
            output: if spec.tied { embedding } else { place("lm_head") },
        })
    }

    /// Returns the logits of tokens: `[batch, length]` of i64 to `[batch, length, vocab]` in the
    /// weights' number type.
    ///
    /// `weights` are all tensors of the model, in order.
    pub(crate) fn logits(&self, weights: &[Tensor], tokens: &Tensor) -> Result<Tensor, TchError> {
        let (_, length) = tokens.size2()?;
        let mut stream = Tensor::f_embedding(&weights[self.embedding], tokens, -1, false, false)?;
        let rope = self.rope.first(length, stream.f_kind()?)?;
        for layer in &self.layers {
            let normed = self.rms_norm(&stream, &weights[layer.attention_norm])?;
            stream = stream.f_add(&self.attention(layer, weights, &normed, &rope)?)?;
            let normed = self.rms_norm(&stream, &weights[layer.feed_norm])?;
            stream = stream.f_add(&feed_forward(layer, weights, &normed)?)?;
        }
        linear(&self.rms_norm(&stream, &weights[self.norm])?, &weights[self.output])
    }

    /// Applies causal attention with grouped queries: `[batch, length, hidden]` to the same shape.
    fn attention(
        &self,
        layer: &Layer,
        weights: &[Tensor],
        input: &Tensor,
        rope: &Rope,
    ) -> Result<Tensor, TchError> {
        let (batch, length, _) = input.size3()?;
        let (heads, kv_heads) = (i64::from(self.spec.heads), i64::from(self.spec.kv_heads));
        let width = i64::from(self.spec.head_dim);
        let project = |weight: usize, heads: i64| {
            linear(input, &weights[weight])?.f_reshape([batch, length, heads, width])?.f_transpose(1, 2)
        };
        let query = rope.turn(&project(layer.query, heads)?)?;
        let key = rope.turn(&project(layer.key, kv_heads)?)?;
        let value = project(layer.value, kv_heads)?;
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
        let joined = mixed.f_transpose(1, 2)?.f_reshape([batch, length, heads * width])?;
        linear(&joined, &weights[layer.attention_output])
    }

    fn rms_norm(&self, input: &Tensor, gain: &Tensor) -> Result<Tensor, TchError> {
        input.f_rms_norm([i64::from(self.spec.hidden)], Some(gain), self.spec.norm_eps)
    }
}

/// Applies SwiGLU: `down(silu(gate(x)) * up(x))`.
fn feed_forward(layer: &Layer, weights: &[Tensor], input: &Tensor) -> Result<Tensor, TchError> {
    let gate = linear(input, &weights[layer.gate])?.f_silu()?;
    linear(&gate.f_mul(&linear(input, &weights[layer.up])?)?, &weights[layer.down])
}

fn linear(input: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    input.f_linear(weight, None::<&Tensor>)
}

/// Returns the cross-entropy of each target in nats: `[batch, length]`, f32.
pub(crate) fn nats(logits: &Tensor, targets: &Tensor) -> Result<Tensor, TchError> {
    let (batch, length) = targets.size2()?;
    let rows = logits.f_reshape([batch * length, -1])?.f_to_kind(Kind::Float)?;
    let targets = targets.f_reshape([batch * length])?;
    rows.f_cross_entropy_loss(&targets, None::<&Tensor>, tch::Reduction::None, -100, 0.0)?
        .f_reshape([batch, length])
}

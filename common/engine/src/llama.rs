//! A layer and its gradient: a decoder of the Llama family, equal to `LlamaForCausalLM` of `transformers`.
//!
//! libtorch derives the norms and the attention. The other gradients are written out: the products of
//! matrices are then free to use the fastest function of the device, see [`product`].

use crate::{matrix::product, node::Node, rope::Rope};
use protocol::model::ModelSpec;
use tch::{TchError, Tensor};

/// The weights of a layer, in the order of its unit, see [`Units`](crate::unit::Units).
pub(crate) struct LayerWeights {
    attention_norm: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    feed_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// The settings of a pass: sequences of one length, one after the other in the rows of the stream.
pub(crate) struct Sequences<'a> {
    pub(crate) spec: &'a ModelSpec,
    pub(crate) rope: &'a Rope,
    pub(crate) length: i64,
}

/// The intermediate results of a layer, for its gradient.
pub(crate) struct LayerGraph {
    attention: AttentionGraph,
    feed: FeedGraph,
}

struct AttentionGraph {
    norm: Node,
    mix: Node,
}

struct FeedGraph {
    norm: Node,
    gate: Tensor,
    activated: Tensor,
    up: Tensor,
    product: Tensor,
}

impl LayerWeights {
    /// Takes the weights of a layer's unit.
    pub(crate) fn new(weights: Vec<Tensor>) -> Result<Self, TchError> {
        let count = weights.len();
        let wrong = |_| TchError::Shape(format!("a layer of {count} tensors"));
        let [attention_norm, query, key, value, output, feed_norm, gate, up, down] =
            <[Tensor; 9]>::try_from(weights).map_err(wrong)?;
        Ok(Self { attention_norm, query, key, value, output, feed_norm, gate, up, down })
    }
}

impl Sequences<'_> {
    /// Applies a layer: `[tokens, hidden]` to the same shape.
    pub(crate) fn layer(&self, weights: &LayerWeights, stream: &Tensor) -> Result<Tensor, TchError> {
        let _guard = tch::no_grad_guard();
        let (stream, _) = self.attention(weights, stream)?;
        let (stream, _) = self.feed_forward(weights, &stream)?;
        Ok(stream)
    }

    /// Applies a layer as [`Self::layer`] does, with the same bits, and keeps what its gradient needs.
    pub(crate) fn layer_with_graph(
        &self,
        weights: &LayerWeights,
        stream: &Tensor,
    ) -> Result<(Tensor, LayerGraph), TchError> {
        let (stream, attention) = self.attention(weights, stream)?;
        let (stream, feed) = self.feed_forward(weights, &stream)?;
        Ok((stream, LayerGraph { attention, feed }))
    }

    /// Adds causal attention with grouped queries to the stream.
    fn attention(
        &self,
        weights: &LayerWeights,
        stream: &Tensor,
    ) -> Result<(Tensor, AttentionGraph), TchError> {
        let norm = rms_norm(self.spec, stream, &weights.attention_norm)?;
        let input = norm.value()?;
        let project = |weight| self.split(&product(&input, weight)?);
        let query = self.rope.turn(&project(&weights.query)?)?;
        let key = self.rope.turn(&project(&weights.key)?)?;
        let value = project(&weights.value)?;
        let mix = Node::new([&query, &key, &value], |inputs| self.mix(inputs))?;
        let stream = product(&mix.value()?, &weights.output)?.f_add_(stream)?;
        Ok((stream, AttentionGraph { norm, mix }))
    }

    /// Mixes values by queries and keys, each `[batch, length, heads, head_dim]`, to `[tokens, ..]`.
    fn mix(&self, inputs: &[Tensor]) -> Result<Tensor, TchError> {
        let heads = |number: usize| inputs[number].f_transpose(1, 2);
        let grouped = self.spec.heads != self.spec.kv_heads;
        let none = None::<&Tensor>;
        let mixed = Tensor::f_scaled_dot_product_attention(
            &heads(0)?,
            &heads(1)?,
            &heads(2)?,
            none,
            0.0,
            true,
            None,
            grouped,
        )?;
        self.join(&mixed.f_transpose(1, 2)?)
    }

    /// Adds SwiGLU to the stream: `down(silu(gate(x)) * up(x))`.
    fn feed_forward(&self, weights: &LayerWeights, stream: &Tensor) -> Result<(Tensor, FeedGraph), TchError> {
        let norm = rms_norm(self.spec, stream, &weights.feed_norm)?;
        let input = norm.value()?;
        let (gate, up) = (product(&input, &weights.gate)?, product(&input, &weights.up)?);
        let activated = gate.f_silu()?;
        let inner = activated.f_mul(&up)?;
        let stream = product(&inner, &weights.down)?.f_add_(stream)?;
        Ok((stream, FeedGraph { norm, gate, activated, up, product: inner }))
    }

    /// Splits rows into heads: `[tokens, heads * head_dim]` to `[batch, length, heads, head_dim]`.
    fn split(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        let width = i64::from(self.spec.head_dim);
        rows.f_view([-1, self.length, rows.size()[1] / width, width])
    }

    /// Joins heads to rows, the inverse of [`Self::split`].
    fn join(&self, heads: &Tensor) -> Result<Tensor, TchError> {
        let size = heads.size();
        heads.f_reshape([size[0] * size[1], size[2] * size[3]])
    }

    /// Returns the gradients of a layer by its input and by its weights, for the gradient by its output.
    pub(crate) fn layer_gradient(
        &self,
        weights: &LayerWeights,
        graph: LayerGraph,
        gradient: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>), TchError> {
        let (gradient, feed) = feed_gradient(weights, graph.feed, gradient)?;
        let (gradient, mut by_weights) = self.attention_gradient(weights, graph.attention, &gradient)?;
        by_weights.extend(feed);
        Ok((gradient, by_weights))
    }

    fn attention_gradient(
        &self,
        weights: &LayerWeights,
        graph: AttentionGraph,
        gradient: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>), TchError> {
        let output = by_weight(gradient, &graph.mix.value()?)?;
        let by_heads = graph.mix.backward(&by_input(gradient, &weights.output)?)?;
        let query = self.join(&self.rope.turn_back(&by_heads[0])?)?;
        let key = self.join(&self.rope.turn_back(&by_heads[1])?)?;
        let value = self.join(&by_heads[2])?;
        drop(by_heads);
        let input = graph.norm.value()?;
        let by_weights = [&query, &key, &value].map(|gradient| by_weight(gradient, &input));
        drop(input);
        let [by_query, by_key, by_value] = by_weights;
        let mut by_normed = by_input(&query, &weights.query)?;
        by_normed = by_normed.f_add_(&by_input(&key, &weights.key)?)?;
        by_normed = by_normed.f_add_(&by_input(&value, &weights.value)?)?;
        let (by_stream, by_gain) = norm_gradient(graph.norm, &by_normed, gradient)?;
        Ok((by_stream, vec![by_gain, by_query?, by_key?, by_value?, output]))
    }
}

/// Returns the gradients of [`Sequences::feed_forward`] by its input, and by the gain and the three matrices.
fn feed_gradient(
    weights: &LayerWeights,
    graph: FeedGraph,
    gradient: &Tensor,
) -> Result<(Tensor, [Tensor; 4]), TchError> {
    let FeedGraph { norm, gate, activated, up, product } = graph;
    let by_down = by_weight(gradient, &product)?;
    drop(product);
    let mut inner = by_input(gradient, &weights.down)?;
    let by_up = inner.f_mul(&activated)?;
    drop(activated);
    let by_gate = gate.f_silu_backward(&inner.f_mul_(&up)?)?;
    drop((inner, gate, up));
    let input = norm.value()?;
    let matrices = [by_weight(&by_gate, &input)?, by_weight(&by_up, &input)?];
    drop(input);
    let mut by_normed = by_input(&by_gate, &weights.gate)?;
    by_normed = by_normed.f_add_(&by_input(&by_up, &weights.up)?)?;
    let (by_stream, by_gain) = norm_gradient(norm, &by_normed, gradient)?;
    let [gate, up] = matrices;
    Ok((by_stream, [by_gain, gate, up, by_down]))
}

/// Applies an RMSNorm with its gain.
pub(crate) fn rms_norm(spec: &ModelSpec, input: &Tensor, gain: &Tensor) -> Result<Node, TchError> {
    Node::new([input, gain], |inputs| {
        inputs[0].f_rms_norm([i64::from(spec.hidden)], Some(&inputs[1]), spec.norm_eps)
    })
}

/// Returns the gradient by the input of a norm beside which the stream passes unchanged, and that by the
/// gain.
fn norm_gradient(norm: Node, gradient: &Tensor, beside: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let mut gradients = norm.backward(gradient)?;
    let gain = gradients.remove(1);
    Ok((gradients.remove(0).f_add_(beside)?, gain))
}

/// Returns the gradient of `product(input, weight)` by the input.
fn by_input(gradient: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    product(gradient, &weight.f_transpose(0, 1)?)
}

/// Returns the gradient of `product(input, weight)` by the weight.
fn by_weight(gradient: &Tensor, input: &Tensor) -> Result<Tensor, TchError> {
    product(&gradient.f_transpose(0, 1)?, &input.f_transpose(0, 1)?)
}

//! The passes through a decoder, unit by unit: each needs the weights of one unit at a time. Where the
//! weights come from, and where the gradients go, is the store's part.

use crate::{
    head,
    layout::int,
    llama::{LayerGraph, LayerWeights, Sequences, rms_norm},
    matrix::product,
    raw,
    rope::Rope,
    store::ShardStore,
    unit::Units,
};
use protocol::model::ModelSpec;
use tch::{Device, Kind, TchError, Tensor};

/// The structure of a model. Each pass receives the store of its weights.
#[derive(Debug)]
pub(crate) struct Decoder {
    spec: ModelSpec,
    rope: Rope,
    layers: usize,
    /// The number of layers, from the bottom, that are computed again in the backward pass.
    ///
    /// The backward pass begins at the top. When it reaches the layers that it computes again, it has freed
    /// all kept graphs. If these layers were at the top, all kept graphs would be in memory beside theirs.
    recomputed: usize,
}

/// A layer after the forward pass.
enum Passed {
    /// Its input: it is computed again.
    Input(Tensor),
    /// Its intermediate results.
    Graph(LayerGraph),
}

impl Decoder {
    /// Creates the structure of a checked model.
    pub(crate) fn new(spec: ModelSpec, recomputed: usize, device: Device) -> Result<Self, TchError> {
        Ok(Self { spec, rope: Rope::new(&spec, device)?, layers: spec.layers as usize, recomputed })
    }

    /// Calls a function with the logits of some tokens at a time, in order: `[tokens, vocab]` in the
    /// weights' number type. The tokens are `[batch, length]` of i64.
    pub(crate) fn logits(
        &self,
        store: &dyn ShardStore,
        tokens: &Tensor,
        mut f: impl FnMut(&Tensor) -> Result<(), TchError>,
    ) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        let (rows, weights) = self.rows(store, tokens)?;
        head::chunks(rows.size()[0])
            .try_for_each(|(start, len)| f(&product(&rows.f_narrow(0, start, len)?, &weights[1])?))
    }

    /// Returns the cross-entropy of all tokens after the first: `[batch, length]` of tokens to
    /// `[batch, length - 1]` of nats, f32.
    pub(crate) fn nats(&self, store: &dyn ShardStore, tokens: &Tensor) -> Result<Tensor, TchError> {
        let _guard = tch::no_grad_guard();
        let (inputs, targets) = shifted(tokens)?;
        let (rows, weights) = self.rows(store, &inputs)?;
        head::nats(&rows, &weights[1], &targets)?.f_reshape([inputs.size()[0], -1])
    }

    /// Adds the gradient of `scale` times the sum of all cross-entropies to the store's sums. Returns the
    /// sum of the cross-entropies in nats.
    pub(crate) fn gradient(
        &self,
        store: &mut dyn ShardStore,
        tokens: &Tensor,
        scale: f64,
    ) -> Result<f64, TchError> {
        let (inputs, targets) = shifted(tokens)?;
        let mut stream = self.embed(store, &inputs)?;
        let rope = self.rope.first(inputs.size()[1], stream.f_kind()?)?;
        let sequences = self.sequences(&inputs, &rope);
        // One buffer for all inputs: single tensors would lie between the intermediate results of the
        // layers, and leave gaps in the heap that are too small for those of the next layer.
        let size = [&[int(self.recomputed)], &stream.size()[..]].concat();
        let kept = Tensor::f_empty(&size[..], (stream.f_kind()?, stream.device()))?;
        let mut passed = Vec::with_capacity(self.layers);
        for layer in 0..self.layers {
            let weights = LayerWeights::new(store.weights(layer + 1)?)?;
            if layer < self.recomputed {
                let mut input = kept.f_select(0, int(layer))?;
                input.f_copy_(&stream)?;
                stream = sequences.layer(&weights, &stream)?;
                passed.push(Passed::Input(input));
            } else {
                let (output, graph) = sequences.layer_with_graph(&weights, &stream)?;
                stream = output;
                passed.push(Passed::Graph(graph));
            }
        }
        let (nats, mut gradient) = self.head_gradient(store, stream, &targets, scale)?;
        if self.recomputed > 0 {
            raw::release_gaps(); // Of the forward pass and of the logits.
        }
        for (layer, passed) in passed.into_iter().enumerate().rev() {
            let weights = LayerWeights::new(store.weights(layer + 1)?)?;
            let graph = match passed {
                Passed::Graph(graph) => graph,
                Passed::Input(input) => sequences.layer_with_graph(&weights, &input)?.1,
            };
            let (by_input, by_weights) = sequences.layer_gradient(&weights, graph, &gradient)?;
            store.add_gradient(layer + 1, by_weights)?;
            gradient = by_input;
        }
        store.add_gradient(Units::EMBEDDING, vec![self.embedding_gradient(&gradient, &inputs)?])?;
        Ok(nats)
    }

    /// Returns the input rows of the output layer, `[tokens, hidden]`, and the weights of its unit.
    fn rows(&self, store: &dyn ShardStore, tokens: &Tensor) -> Result<(Tensor, Vec<Tensor>), TchError> {
        let mut stream = self.embed(store, tokens)?;
        let rope = self.rope.first(tokens.size()[1], stream.f_kind()?)?;
        let sequences = self.sequences(tokens, &rope);
        for layer in 0..self.layers {
            stream = sequences.layer(&LayerWeights::new(store.weights(layer + 1)?)?, &stream)?;
        }
        let weights = store.weights(self.head())?;
        Ok((rms_norm(&self.spec, &stream, &weights[0])?.value()?, weights))
    }

    /// Adds the gradient of the last unit to the store's sums. Returns the sum of the cross-entropies, and
    /// the gradient by the unit's input.
    fn head_gradient(
        &self,
        store: &mut dyn ShardStore,
        stream: Tensor,
        targets: &Tensor,
        scale: f64,
    ) -> Result<(f64, Tensor), TchError> {
        let weights = store.weights(self.head())?;
        let norm = rms_norm(&self.spec, &stream, &weights[0])?;
        drop(stream);
        let head = head::gradient(&norm.value()?, &weights[1], targets, scale)?;
        let nats = head.nats.f_sum(Kind::Double)?.f_double_value(&[])?;
        let mut gradients = norm.backward(&head.rows)?;
        let gain = gradients.remove(1);
        store.add_gradient(self.head(), vec![gain, head.output])?;
        Ok((nats, gradients.remove(0)))
    }

    /// Returns the rows of tokens in the embedding: `[batch, length]` to `[tokens, hidden]`.
    fn embed(&self, store: &dyn ShardStore, tokens: &Tensor) -> Result<Tensor, TchError> {
        let weights = store.weights(Units::EMBEDDING)?;
        Tensor::f_embedding(&weights[0], &tokens.f_flatten(0, -1)?, -1, false, false)
    }

    fn embedding_gradient(&self, gradient: &Tensor, tokens: &Tensor) -> Result<Tensor, TchError> {
        let (gradient, tokens) = (gradient.f_to_kind(Kind::Float)?, tokens.f_flatten(0, -1)?);
        Tensor::f_embedding_dense_backward(&gradient, &tokens, i64::from(self.spec.vocab), -1, false)
    }

    fn sequences<'a>(&'a self, tokens: &Tensor, rope: &'a Rope) -> Sequences<'a> {
        Sequences { spec: &self.spec, rope, length: tokens.size()[1] }
    }

    /// Returns the number of the last unit: the final norm and the output matrix.
    fn head(&self) -> usize {
        self.layers + 1
    }
}

/// Splits `[batch, length]` of tokens into the inputs, `[batch, length - 1]`, and their targets, one row.
fn shifted(tokens: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let length = tokens.size2()?.1 - 1;
    Ok((tokens.f_narrow(1, 0, length)?.f_contiguous()?, tokens.f_narrow(1, 1, length)?.f_reshape([-1])?))
}

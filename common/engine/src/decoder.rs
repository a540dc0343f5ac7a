//! The passes through a decoder, unit by unit: each needs the weights of one unit at a time. Where the
//! weights come from, and where the gradients go, is the store's part.

use crate::{head, llama, rope::Rope, store::ShardStore, unit::Units};
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
struct Passed {
    /// Its input.
    input: Tensor,
    /// Its graph, unless it is computed again.
    graph: Option<Graph>,
}

/// The graph of one layer. It begins at the layer's input and weights.
struct Graph {
    input: Tensor,
    weights: Vec<Tensor>,
    output: Tensor,
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
            .try_for_each(|(start, len)| f(&head::logits(&rows.f_narrow(0, start, len)?, &weights[1])?))
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
        let mut stream = tch::no_grad(|| embed(store, &inputs))?;
        let rope = self.rope.first(inputs.size()[1], stream.f_kind()?)?;
        let mut passed = Vec::with_capacity(self.layers);
        for layer in 0..self.layers {
            let input = stream;
            let graph = if layer < self.recomputed {
                let _guard = tch::no_grad_guard();
                stream = llama::layer(&self.spec, &store.weights(layer + 1)?, &input, &rope)?;
                None
            } else {
                let graph = self.graph(store, layer, &input, &rope)?;
                stream = graph.output.f_detach()?;
                Some(graph)
            };
            passed.push(Passed { input, graph });
        }
        let (nats, mut gradient) = self.head_gradient(store, stream, &targets, scale)?;
        for (layer, Passed { input, graph }) in passed.into_iter().enumerate().rev() {
            let graph = match graph {
                Some(graph) => graph,
                None => self.graph(store, layer, &input, &rope)?,
            };
            drop(input);
            let (by_input, by_weights) = graph.backward(&gradient)?;
            store.add_gradient(layer + 1, by_weights)?;
            gradient = by_input;
        }
        store.add_gradient(Units::EMBEDDING, vec![self.embedding_gradient(&gradient, &inputs)?])?;
        Ok(nats)
    }

    /// Returns the input rows of the output layer, `[tokens, hidden]`, and the weights of its unit.
    fn rows(&self, store: &dyn ShardStore, tokens: &Tensor) -> Result<(Tensor, Vec<Tensor>), TchError> {
        let mut stream = embed(store, tokens)?;
        let rope = self.rope.first(tokens.size()[1], stream.f_kind()?)?;
        for layer in 0..self.layers {
            stream = llama::layer(&self.spec, &store.weights(layer + 1)?, &stream, &rope)?;
        }
        let weights = store.weights(self.head())?;
        let rows = llama::rms_norm(&self.spec, &stream, &weights[0])?;
        Ok((rows.f_reshape([-1, i64::from(self.spec.hidden)])?, weights))
    }

    fn graph(
        &self,
        store: &dyn ShardStore,
        layer: usize,
        input: &Tensor,
        rope: &Rope,
    ) -> Result<Graph, TchError> {
        let weights = store.weights(layer + 1)?.iter().map(leaf).collect::<Result<Vec<_>, _>>()?;
        let input = leaf(input)?;
        let output = llama::layer(&self.spec, &weights, &input, rope)?;
        Ok(Graph { input, weights, output })
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
        let (input, gain) = (leaf(&stream)?, leaf(&weights[0])?);
        drop(stream);
        let output = llama::rms_norm(&self.spec, &input, &gain)?;
        let graph = Graph { input, weights: vec![gain], output };
        let rows = graph.output.f_detach()?.f_reshape([-1, i64::from(self.spec.hidden)])?;
        let head = tch::no_grad(|| head::gradient(&rows, &weights[1], targets, scale))?;
        drop((rows, weights));
        let nats = head.nats.f_sum(Kind::Double)?.f_double_value(&[])?;
        let (by_input, mut by_weights) = graph.backward(&head.rows)?;
        by_weights.push(head.output);
        store.add_gradient(self.head(), by_weights)?;
        Ok((nats, by_input))
    }

    fn embedding_gradient(&self, gradient: &Tensor, tokens: &Tensor) -> Result<Tensor, TchError> {
        let gradient = gradient.f_to_kind(Kind::Float)?;
        Tensor::f_embedding_dense_backward(&gradient, tokens, i64::from(self.spec.vocab), -1, false)
    }

    /// Returns the number of the last unit: the final norm and the output matrix.
    fn head(&self) -> usize {
        self.layers + 1
    }
}

impl Graph {
    /// Returns the gradients by the input and by the weights, for the gradient by the output.
    fn backward(self, gradient: &Tensor) -> Result<(Tensor, Vec<Tensor>), TchError> {
        // libtorch's gradient of the product by the output is exactly `gradient`.
        let product = self.output.f_flatten(0, -1)?.f_dot(&gradient.f_flatten(0, -1)?)?;
        let inputs: Vec<_> = [&self.input].into_iter().chain(&self.weights).collect();
        let mut gradients = Tensor::f_run_backward(&[product], &inputs, false, false)?;
        let by_weights = gradients.split_off(1);
        Ok((gradients.remove(0), by_weights))
    }
}

fn embed(store: &dyn ShardStore, tokens: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_embedding(&store.weights(Units::EMBEDDING)?[0], tokens, -1, false, false)
}

/// Splits `[batch, length]` of tokens into the inputs, `[batch, length - 1]`, and their targets, one row.
fn shifted(tokens: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let length = tokens.size2()?.1 - 1;
    Ok((tokens.f_narrow(1, 0, length)?.f_contiguous()?, tokens.f_narrow(1, 1, length)?.f_reshape([-1])?))
}

/// Returns a tensor of the same values at which a graph begins.
fn leaf(tensor: &Tensor) -> Result<Tensor, TchError> {
    Ok(tensor.f_detach()?.f_set_requires_grad(true)?)
}

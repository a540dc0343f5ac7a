//! The units of a decoder: the parts that a pass computes one after the other, so that the weights of one
//! unit at a time suffice.

use protocol::model::{ModelSpec, ParameterLayout};

/// The tensors of a layer, in the order of its unit.
const LAYER: [&str; 9] = [
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// The units of a model: the embedding, one for each layer, then the final norm with the output matrix.
#[derive(Debug)]
pub(crate) struct Units(Vec<Vec<usize>>);

impl Units {
    /// The embedding.
    pub(crate) const EMBEDDING: usize = 0;

    /// Lists the units of a checked model.
    pub(crate) fn new(spec: &ModelSpec, layout: &ParameterLayout) -> Self {
        let place =
            |name: &str| layout.position(&format!("{name}.weight")).expect("the layout is of the same model");
        let layer = |number: u32| {
            LAYER.iter().map(|name| place(&format!("model.layers.{number}.{name}"))).collect::<Vec<_>>()
        };
        let embedding = place("model.embed_tokens");
        let output = if spec.tied { embedding } else { place("lm_head") };
        let layers = (0..spec.layers).map(layer);
        let ends = vec![place("model.norm"), output];
        Self([vec![embedding]].into_iter().chain(layers).chain([ends]).collect())
    }

    /// Returns the number of units.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the positions of a unit's tensors in the [`ParameterLayout`]. A tied output matrix is the
    /// embedding: it belongs to two units.
    pub(crate) fn tensors(&self, unit: usize) -> &[usize] {
        &self.0[unit]
    }

    /// Returns the tensors of a unit that belong to no unit before it.
    pub(crate) fn own_tensors(&self, unit: usize) -> impl Iterator<Item = usize> {
        let before = move |tensor: &usize| self.0[..unit].iter().any(|unit| unit.contains(tensor));
        self.0[unit].iter().copied().filter(move |tensor| !before(tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::small;

    #[test]
    fn units_share_the_embedding_of_a_tied_model_only() {
        for (tied, shared) in [(false, 0), (true, 1)] {
            let spec = ModelSpec { tied, layers: 12, ..small() };
            let layout = ParameterLayout::new(&spec);
            let units = Units::new(&spec, &layout);
            assert_eq!(units.len(), 14);
            let all: usize = (0..units.len()).map(|unit| units.tensors(unit).len()).sum();
            assert_eq!(all, layout.iter().len() + shared);
            let mut own: Vec<_> = (0..units.len()).flat_map(|unit| units.own_tensors(unit)).collect();
            own.sort_unstable();
            assert!(own.into_iter().eq(0..layout.iter().len()));
        }
    }
}

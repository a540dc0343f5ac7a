//! The tensors of a model: names, shapes and roles.

use super::ModelSpec;
use base::tensor::{TensorRole, TensorSpec};

impl ModelSpec {
    /// Returns the model's tensors, in the byte order of their names (`layers.10` comes before `layers.2`).
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let [vocab, hidden] = [self.vocab, self.hidden].map(|size| size as usize);
        let mut tensors = vec![
            tensor("model.embed_tokens", &[vocab, hidden], TensorRole::Vocabulary),
            tensor("model.norm", &[hidden], TensorRole::Norm),
        ];
        if !self.tied {
            tensors.push(tensor("lm_head", &[vocab, hidden], TensorRole::Vocabulary));
        }
        tensors.extend((0..self.layers).flat_map(|layer| self.layer(layer)));
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        tensors
    }

    /// Returns the tensors of one layer.
    fn layer(&self, layer: u32) -> [TensorSpec; 9] {
        let [hidden, ffn, head_dim] = [self.hidden, self.ffn, self.head_dim].map(|size| size as usize);
        let queries = self.heads as usize * head_dim;
        let keys = self.kv_heads as usize * head_dim;
        [
            ("input_layernorm", &[hidden][..], TensorRole::Norm),
            ("mlp.down_proj", &[hidden, ffn], TensorRole::Residual),
            ("mlp.gate_proj", &[ffn, hidden], TensorRole::Matrix),
            ("mlp.up_proj", &[ffn, hidden], TensorRole::Matrix),
            ("post_attention_layernorm", &[hidden], TensorRole::Norm),
            ("self_attn.k_proj", &[keys, hidden], TensorRole::Matrix),
            ("self_attn.o_proj", &[hidden, queries], TensorRole::Residual),
            ("self_attn.q_proj", &[queries, hidden], TensorRole::Matrix),
            ("self_attn.v_proj", &[keys, hidden], TensorRole::Matrix),
        ]
        .map(|(name, shape, role)| tensor(&format!("model.layers.{layer}.{name}"), shape, role))
    }
}

/// Creates the tensor of a module. Hugging Face names it `weight`.
fn tensor(module: &str, shape: &[usize], role: TensorRole) -> TensorSpec {
    TensorSpec { name: format!("{module}.weight"), shape: shape.to_vec(), role }
}

#[cfg(test)]
mod tests {
    use crate::model::{ModelSpec, tests::tiny};
    use base::tensor::TensorSpec;

    #[test]
    fn names_are_sorted_and_sizes_add_up() {
        for spec in [tiny(), ModelSpec { tied: false, layers: 12, kv_heads: 2, ..tiny() }] {
            let tensors = spec.tensors();
            assert!(tensors.is_sorted_by(|a, b| a.name < b.name));
            let total: usize = tensors.iter().map(TensorSpec::len).sum();
            assert_eq!(total as u64, spec.parameters());
            assert_eq!(tensors.len(), spec.layers as usize * 9 + if spec.tied { 2 } else { 3 });
        }
    }

    #[test]
    fn shapes_are_output_by_input() {
        let spec = ModelSpec { kv_heads: 2, tied: false, ..tiny() };
        let shape =
            |name: &str| spec.tensors().iter().find(|tensor| tensor.name == name).map(|t| t.shape.clone());
        assert_eq!(shape("model.layers.0.self_attn.k_proj.weight"), Some(vec![64, 128]));
        assert_eq!(shape("model.layers.3.mlp.down_proj.weight"), Some(vec![128, 512]));
        assert_eq!(shape("lm_head.weight"), Some(vec![4096, 128]));
        assert_eq!(shape("model.norm.weight"), Some(vec![128]));
        assert_eq!(shape("model.layers.4.input_layernorm.weight"), None);
    }
}

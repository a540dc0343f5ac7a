//! Computes the initial parameters of a run, with the same bits on any machine.
//!
//! Each tensor has its own stream of BLAKE3's extendable output, named by the run's seed and the
//! tensor's name. A value is a centred sum of four uniform 16-bit integers: an integer that f32
//! holds exactly, times one f32 factor. The result does not depend on a logarithm, a cosine or a
//! thread, so torch is not used.
//!
//! Scaling: norms are 1. Matrices have a standard deviation of sqrt(2 / (5 hidden)) (Nguyen,
//! Salazar 2019, "Transformers without Tears"; GPT-NeoX-20B's). That is near the usual 0.02 at a
//! width of 1000, and it suits other widths, too: with 0.02, the tiny model of width 128 learns
//! markedly slower. Matrices that write to the residual stream have 1 / sqrt(2 layers) of it, as in
//! GPT-2, so the stream's variance does not grow with depth. The sum of four uniforms is
//! bell-shaped and ends at 3.46 standard deviations.

use crate::model::ModelSpec;
use base::{tensor::TensorRole, tensor::TensorSpec};

/// The BLAKE3 `derive_key` context of the streams.
pub const CONTEXT: &str = "muster v1 initial parameters";

/// Number of bytes of the stream for one value.
const VALUE_BYTES: usize = 8;
/// Number of values made at a time.
const PIECE: usize = 1024;

/// The initial values of one tensor, readable from any position.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The tensor's stream. `None` for a tensor of ones.
    reader: Option<blake3::OutputReader>,
    /// The factor of the centred sums.
    factor: f32,
}

impl Stream {
    /// Creates the stream of a tensor of `model`.
    #[must_use]
    pub fn new(seed: &[u8; 32], model: &ModelSpec, tensor: &TensorSpec) -> Self {
        let deviation = match tensor.role {
            TensorRole::Norm => return Self { reader: None, factor: 1.0 },
            TensorRole::Vocabulary | TensorRole::Matrix => deviation(model),
            TensorRole::Residual => deviation(model) / (2.0 * f64::from(model.layers)).sqrt(),
        };
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(seed).update(tensor.name.as_bytes());
        Self { reader: Some(hasher.finalize_xof()), factor: (deviation / unit_deviation()) as f32 }
    }

    /// Writes the values of the tensor from number `first` on.
    pub fn fill(&mut self, first: u64, values: &mut [f32]) {
        let Some(reader) = &mut self.reader else {
            values.fill(1.0);
            return;
        };
        let mut bytes = [0u8; PIECE * VALUE_BYTES];
        reader.set_position(first * VALUE_BYTES as u64);
        for piece in values.chunks_mut(PIECE) {
            let bytes = &mut bytes[..piece.len() * VALUE_BYTES];
            reader.fill(bytes);
            for (value, bytes) in piece.iter_mut().zip(bytes.chunks_exact(VALUE_BYTES)) {
                *value = centred_sum(bytes) as f32 * self.factor;
            }
        }
    }
}

/// Returns the standard deviation of a matrix that does not write to the residual stream.
///
/// Division and root are IEEE's, so it is the same on any machine.
#[must_use]
pub fn deviation(model: &ModelSpec) -> f64 {
    (2.0 / (5.0 * f64::from(model.hidden))).sqrt()
}

/// Returns the initial values of a tensor of `model`.
#[must_use]
pub fn initial(seed: &[u8; 32], model: &ModelSpec, tensor: &TensorSpec) -> Vec<f32> {
    let mut values = vec![0.0; tensor.len()];
    Stream::new(seed, model, tensor).fill(0, &mut values);
    values
}

/// Returns twice the sum of four 16-bit integers, less its mean: an even number of at most 262,140
/// on either side of 0.
fn centred_sum(bytes: &[u8]) -> i32 {
    let uniforms = bytes.chunks_exact(2).map(|pair| i32::from(u16::from_le_bytes([pair[0], pair[1]])));
    2 * uniforms.sum::<i32>() - 4 * i32::from(u16::MAX)
}

/// Returns the standard deviation of [`centred_sum`]: a uniform integer below n has a variance of
/// (n^2 - 1) / 12.
fn unit_deviation() -> f64 {
    let uniform = (65_536.0f64 * 65_536.0 - 1.0) / 12.0;
    (4.0 * 4.0 * uniform).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::tiny;
    use base::state_root::{TensorHash, root};
    use proptest::prelude::*;

    fn find(name: &str) -> TensorSpec {
        tiny().tensors().into_iter().find(|tensor| tensor.name == name).unwrap()
    }

    /// Pins the state root of the tiny model's initial parameters. A change here changes every run.
    #[test]
    fn golden_hash_of_the_tiny_model() {
        let tensors = tiny().tensors();
        let hashes: Vec<_> =
            tensors.iter().map(|tensor| TensorHash::of(&initial(&[0; 32], &tiny(), tensor))).collect();
        let root = root(tensors.iter().zip(&hashes));
        assert_eq!(root.to_string(), include_str!("../tests/golden/init-tiny.txt").trim());
    }

    #[test]
    fn golden_values() {
        let values = initial(&[0; 32], &tiny(), &find("model.embed_tokens.weight"));
        let bits: Vec<String> = values[..4].iter().map(|value| format!("{:08x}", value.to_bits())).collect();
        assert_eq!(bits.join(" "), "bd4d007a 3d6ab0d1 3ca4b2d9 bd3237bf");
    }

    #[test]
    fn norms_are_one_and_matrices_have_their_deviation() {
        assert!(initial(&[1; 32], &tiny(), &find("model.norm.weight")).iter().all(|&value| value == 1.0));
        let expected = deviation(&tiny());
        assert!((expected - 0.0559).abs() < 1e-4, "{expected}");
        let measured = |name: &str| {
            let values = initial(&[1; 32], &tiny(), &find(name));
            let count = values.len() as f64;
            let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
            let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
            assert!(mean.abs() < 4.0 * expected / count.sqrt(), "{name}: {mean}");
            (squares / count).sqrt()
        };
        assert!((measured("model.embed_tokens.weight") / expected - 1.0).abs() < 0.01);
        assert!((measured("model.layers.2.mlp.up_proj.weight") / expected - 1.0).abs() < 0.02);
        assert!(
            (measured("model.layers.2.mlp.down_proj.weight") / expected * 8f64.sqrt() - 1.0).abs() < 0.02
        );
    }

    #[test]
    fn seeds_and_names_give_other_values() {
        let [a, b] = ["model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"].map(find);
        assert_ne!(initial(&[0; 32], &tiny(), &a), initial(&[0; 32], &tiny(), &b));
        assert_ne!(initial(&[0; 32], &tiny(), &a), initial(&[1; 32], &tiny(), &a));
    }

    proptest! {
        #[test]
        fn a_part_has_the_values_of_the_whole(first in 0usize..16_000, count in 0usize..2000) {
            let tensor = find("model.layers.0.self_attn.o_proj.weight");
            let whole = initial(&[7; 32], &tiny(), &tensor);
            let count = count.min(whole.len() - first);
            let mut part = vec![0.0; count];
            Stream::new(&[7; 32], &tiny(), &tensor).fill(first as u64, &mut part);
            prop_assert_eq!(&part[..], &whole[first..first + count]);
        }
    }
}

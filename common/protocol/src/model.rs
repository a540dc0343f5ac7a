//! The model: a decoder of the Llama family, its tensors under Hugging Face's names, and its memory.
//!
//! The tensors of a run are a pure function of its [`ModelSpec`], always in the byte order of their
//! names. Submissions, state roots and checkpoints all rely on that order and never carry another.

mod memory;
mod parameter_layout;
mod tensors;

pub use memory::MemoryEstimate;
pub use parameter_layout::ParameterLayout;

use base::wire::{Reader, WireError, Writer};
use serde::{Deserialize, Serialize};

/// A Llama decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Size of the vocabulary in tokens (`vocab_size`).
    pub vocab: u32,
    /// Width of the residual stream (`hidden_size`).
    pub hidden: u32,
    /// Number of decoder layers (`num_hidden_layers`).
    pub layers: u32,
    /// Number of query heads (`num_attention_heads`).
    pub heads: u32,
    /// Number of key and value heads (`num_key_value_heads`). It divides `heads`.
    pub kv_heads: u32,
    /// Width of a head (`head_dim`). It is even, since rotary positions turn pairs.
    pub head_dim: u32,
    /// Width of the feed-forward layer (`intermediate_size`).
    pub ffn: u32,
    /// Base of the rotary frequencies (`rope_theta`).
    pub rope_theta: f64,
    /// The number that RMSNorm adds to the mean square (`rms_norm_eps`).
    pub norm_eps: f64,
    /// Use of the embedding as the output layer (`tie_word_embeddings`).
    pub tied: bool,
    /// Longest sequence in tokens (`max_position_embeddings`).
    pub sequence: u32,
}

/// The reason why values do not describe a model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A size outside its range.
    #[error("model.{what} is {found}: it must be {LEAST_SIZE} to {MOST_SIZE}")]
    Size {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u32,
    },
    /// More layers than a model may have.
    #[error("model.layers is {0}: it must be 1 to {MOST_LAYERS}")]
    Layers(u32),
    /// Query heads that cannot share the key heads evenly.
    #[error("model.heads is {heads}, which is not a multiple of model.kv_heads, {kv_heads}")]
    Heads {
        /// The number of query heads.
        heads: u32,
        /// The number of key and value heads.
        kv_heads: u32,
    },
    /// A head of odd width, which does not consist of pairs.
    #[error("model.head_dim is {0}: it must be even, since rotary positions turn pairs")]
    OddHead(u32),
    /// A number outside its range.
    #[error("model.{what} is {found}: it must be finite and more than 0")]
    Number {
        /// The field.
        what: &'static str,
        /// Its value.
        found: f64,
    },
    /// More parameters than sizes are computed for.
    #[error("the model has {0} parameters: at most {MOST_PARAMETERS}")]
    TooLarge(u128),
}

/// Smallest size of any dimension.
pub const LEAST_SIZE: u32 = 1;
/// Largest size of any dimension: 16.8 million. No product of two sizes overflows 64 bits.
pub const MOST_SIZE: u32 = 1 << 24;
/// Most layers: a limit for the allocations of parsers. Llama 3 405B has 126.
pub const MOST_LAYERS: u32 = 1024;
/// Most parameters: 10^13, about 140 times Covenant-72B. The bytes of any state fit into 64 bits.
pub const MOST_PARAMETERS: u64 = 10_000_000_000_000;

impl ModelSpec {
    /// Checks that the values describe a model.
    ///
    /// # Errors
    /// A value is wrong. The error names the field.
    pub fn check(&self) -> Result<(), ModelError> {
        let sizes = [
            ("vocab", self.vocab),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("ffn", self.ffn),
            ("sequence", self.sequence),
        ];
        for (what, found) in sizes {
            if !(LEAST_SIZE..=MOST_SIZE).contains(&found) {
                return Err(ModelError::Size { what, found });
            }
        }
        if !(1..=MOST_LAYERS).contains(&self.layers) {
            return Err(ModelError::Layers(self.layers));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ModelError::Heads { heads: self.heads, kv_heads: self.kv_heads });
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(ModelError::OddHead(self.head_dim));
        }
        for (what, found) in [("rope_theta", self.rope_theta), ("norm_eps", self.norm_eps)] {
            if !(found.is_finite() && found > 0.0) {
                return Err(ModelError::Number { what, found });
            }
        }
        match self.count() {
            count if count > u128::from(MOST_PARAMETERS) => Err(ModelError::TooLarge(count)),
            _ => Ok(()),
        }
    }

    /// Returns the number of parameters. A tied output layer counts once.
    ///
    /// # Panics
    /// The spec was not checked and is larger than a checked one can be.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.count().try_into().expect("a checked model has at most 10^13 parameters")
    }

    /// Counts the parameters, without any limit.
    fn count(&self) -> u128 {
        let [vocab, hidden, layers, ffn] = [self.vocab, self.hidden, self.layers, self.ffn].map(u128::from);
        let [heads, kv_heads, head_dim] = [self.heads, self.kv_heads, self.head_dim].map(u128::from);
        let attention = 2 * hidden * head_dim * (heads + kv_heads);
        let layer = attention + 3 * hidden * ffn + 2 * hidden;
        let embeddings = if self.tied { 1 } else { 2 };
        embeddings * vocab * hidden + layers * layer + hidden
    }

    /// Appends all values.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.vocab).u32(self.hidden).u32(self.layers).u32(self.heads).u32(self.kv_heads);
        to.u32(self.head_dim).u32(self.ffn).f64(self.rope_theta).f64(self.norm_eps);
        to.u8(self.tied.into()).u32(self.sequence);
    }

    /// Reads all values, unchecked.
    ///
    /// # Errors
    /// The input ends too early, or `tied` is neither 0 nor 1.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            vocab: from.u32("model.vocab")?,
            hidden: from.u32("model.hidden")?,
            layers: from.u32("model.layers")?,
            heads: from.u32("model.heads")?,
            kv_heads: from.u32("model.kv_heads")?,
            head_dim: from.u32("model.head_dim")?,
            ffn: from.u32("model.ffn")?,
            rope_theta: from.f64("model.rope_theta")?,
            norm_eps: from.f64("model.norm_eps")?,
            tied: from.flag("model.tied")?,
            sequence: from.u32("model.sequence")?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the model of the tiny run.
    pub(crate) fn tiny() -> ModelSpec {
        ModelSpec {
            vocab: 4096,
            hidden: 128,
            layers: 4,
            heads: 4,
            kv_heads: 4,
            head_dim: 32,
            ffn: 512,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            tied: true,
            sequence: 128,
        }
    }

    /// Returns Covenant-72B: Llama 3's 70B with the vocabulary of Gemma 3, untied.
    fn covenant() -> ModelSpec {
        ModelSpec {
            vocab: 262_144,
            hidden: 8192,
            layers: 80,
            heads: 64,
            kv_heads: 8,
            head_dim: 128,
            ffn: 28_672,
            rope_theta: 500_000.0,
            norm_eps: 1e-5,
            tied: false,
            sequence: 2048,
        }
    }

    #[test]
    fn parameters_are_the_published_ones() {
        assert_eq!(tiny().parameters(), 1_574_016);
        assert_eq!(covenant().parameters(), 72_747_327_488);
        assert_eq!(ModelSpec { tied: true, ..covenant() }.parameters(), 70_599_843_840);
    }

    #[test]
    fn values_that_are_no_model_are_named() {
        assert_eq!(tiny().check(), Ok(()));
        assert_eq!(covenant().check(), Ok(()));
        let refuse = |change: fn(&mut ModelSpec)| {
            let mut spec = tiny();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert_eq!(refuse(|s| s.vocab = 0), "model.vocab is 0: it must be 1 to 16777216");
        assert!(refuse(|s| s.ffn = MOST_SIZE + 1).contains("model.ffn is 16777217"));
        assert!(refuse(|s| s.layers = 0).contains("model.layers is 0"));
        assert!(refuse(|s| s.layers = 1025).contains("model.layers is 1025"));
        assert!(refuse(|s| s.kv_heads = 3).contains("not a multiple of model.kv_heads, 3"));
        assert!(refuse(|s| s.head_dim = 31).contains("model.head_dim is 31: it must be even"));
        assert!(refuse(|s| s.rope_theta = f64::NAN).contains("model.rope_theta is NaN"));
        assert!(refuse(|s| s.norm_eps = 0.0).contains("model.norm_eps is 0"));
        let huge = refuse(|s| (s.vocab, s.hidden) = (MOST_SIZE, MOST_SIZE));
        assert!(huge.contains("parameters: at most 10000000000000"), "{huge}");
    }

    #[test]
    fn bytes_and_json_round_trip() {
        let mut writer = Writer::new();
        covenant().write(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        assert_eq!(ModelSpec::read(&mut reader), Ok(covenant()));
        assert_eq!(reader.finish("the model"), Ok(()));
        let mut wrong = bytes;
        wrong[44] = 2;
        assert!(matches!(
            ModelSpec::read(&mut Reader::new(&wrong)),
            Err(WireError::Value { what: "model.tied", found: 2, .. })
        ));
        let json = serde_json::to_string(&tiny()).unwrap();
        assert_eq!(serde_json::from_str::<ModelSpec>(&json).unwrap(), tiny());
        let unknown = json.replacen("vocab", "vocabulary", 1);
        assert!(serde_json::from_str::<ModelSpec>(&unknown).unwrap_err().to_string().contains("vocabulary"));
    }
}

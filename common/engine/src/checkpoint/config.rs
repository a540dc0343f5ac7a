//! `config.json`: the model, in the format of `transformers`.

use super::{CONFIG, CheckpointError, file, json};
use protocol::model::ModelSpec;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The settings of `LlamaConfig` in `transformers` that affect a forward pass. Other settings are ignored.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: String,
    vocab_size: u32,
    hidden_size: u32,
    intermediate_size: u32,
    num_hidden_layers: u32,
    num_attention_heads: u32,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    max_position_embeddings: u32,
    rms_norm_eps: f64,
    /// The rope base, in versions before 5.
    rope_theta: Option<f64>,
    /// The scaling of positions, in versions before 5.
    #[serde(default, skip_serializing)]
    rope_scaling: Option<serde_json::Value>,
    /// Both settings, in version 5.
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default, skip_deserializing)]
    dtype: &'static str,
}

#[derive(Debug, Serialize, Deserialize)]
struct RopeParameters {
    #[serde(default = "default_rope")]
    rope_type: String,
    rope_theta: Option<f64>,
}

fn silu() -> String {
    "silu".to_owned()
}

fn default_rope() -> String {
    "default".to_owned()
}

/// The base of Llama's rotary frequencies if the configuration names none: the default of `transformers`.
const DEFAULT_THETA: f64 = 10_000.0;

/// Reads the model spec of a checkpoint.
///
/// # Errors
/// The configuration is missing, or it describes a model that this engine does not support.
pub(super) fn read(folder: &Path) -> Result<ModelSpec, CheckpointError> {
    let path = folder.join(CONFIG);
    let text = fs::read(&path).map_err(file(&path))?;
    let config: Config = serde_json::from_slice(&text).map_err(json(&path))?;
    config.check(&path)?;
    let spec = config.spec();
    match spec.check() {
        Ok(()) => Ok(spec),
        Err(source) => Err(CheckpointError::Model { path, source }),
    }
}

/// Returns the bytes of a model's `config.json`.
pub(super) fn bytes(spec: &ModelSpec) -> Vec<u8> {
    let config = Config {
        architectures: vec!["LlamaForCausalLM".to_owned()],
        model_type: "llama".to_owned(),
        vocab_size: spec.vocab,
        hidden_size: spec.hidden,
        intermediate_size: spec.ffn,
        num_hidden_layers: spec.layers,
        num_attention_heads: spec.heads,
        num_key_value_heads: Some(spec.kv_heads),
        head_dim: Some(spec.head_dim),
        max_position_embeddings: spec.sequence,
        rms_norm_eps: spec.norm_eps,
        rope_theta: Some(spec.rope_theta),
        rope_scaling: None,
        rope_parameters: Some(RopeParameters {
            rope_type: default_rope(),
            rope_theta: Some(spec.rope_theta),
        }),
        tie_word_embeddings: spec.tied,
        hidden_act: silu(),
        attention_bias: false,
        mlp_bias: false,
        dtype: "float32",
    };
    serde_json::to_vec_pretty(&config).expect("texts and finite numbers are JSON")
}

/// Checks that a checkpoint's model equals the wanted one. The longest sequence may differ.
pub(super) fn check_same(
    folder: &Path,
    found: &ModelSpec,
    wanted: &ModelSpec,
) -> Result<(), CheckpointError> {
    let sizes = |spec: &ModelSpec| {
        let sizes =
            [spec.vocab, spec.hidden, spec.layers, spec.heads, spec.kv_heads, spec.head_dim, spec.ffn];
        let [theta, epsilon] = [spec.rope_theta, spec.norm_eps].map(|number| number.to_string());
        sizes.map(|size| size.to_string()).into_iter().chain([theta, epsilon, spec.tied.to_string()])
    };
    let names = [
        "vocab",
        "hidden",
        "layers",
        "heads",
        "kv_heads",
        "head_dim",
        "ffn",
        "rope_theta",
        "norm_eps",
        "tied",
    ];
    for (what, (found, expected)) in names.into_iter().zip(sizes(found).zip(sizes(wanted))) {
        if found != expected {
            return Err(CheckpointError::OtherModel { path: folder.join(CONFIG), what, found, expected });
        }
    }
    Ok(())
}

impl Config {
    fn spec(&self) -> ModelSpec {
        let theta = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).or(self.rope_theta);
        let heads = self.num_attention_heads;
        ModelSpec {
            vocab: self.vocab_size,
            hidden: self.hidden_size,
            layers: self.num_hidden_layers,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_dim: self.head_dim.unwrap_or_else(|| self.hidden_size.checked_div(heads).unwrap_or(0)),
            ffn: self.intermediate_size,
            rope_theta: theta.unwrap_or(DEFAULT_THETA),
            norm_eps: self.rms_norm_eps,
            tied: self.tie_word_embeddings,
            sequence: self.max_position_embeddings,
        }
    }

    /// Refuses a model that would load but compute something else.
    fn check(&self, path: &Path) -> Result<(), CheckpointError> {
        let refuse = |what, found: String, expected| {
            Err(CheckpointError::Unsupported { path: PathBuf::from(path), what, found, expected })
        };
        if self.model_type != "llama" {
            return refuse("model_type", self.model_type.clone(), "llama");
        }
        if self.hidden_act != "silu" {
            return refuse("hidden_act", self.hidden_act.clone(), "silu");
        }
        if self.attention_bias || self.mlp_bias {
            return refuse("attention_bias or mlp_bias", "true".to_owned(), "layers without biases");
        }
        if let Some(scaling) = &self.rope_scaling {
            return refuse("rope_scaling", scaling.to_string(), "positions without scaling");
        }
        match &self.rope_parameters {
            Some(rope) if rope.rope_type != "default" => {
                refuse("rope_parameters.rope_type", rope.rope_type.clone(), "default")
            }
            _ => Ok(()),
        }
    }
}

//! The measured models and settings.

use clap::ValueEnum;
use engine::Compute;
use protocol::{
    model::ModelSpec,
    schedule::{Decay, Schedule},
    train::{AdamW, TrainSpec},
};
use serde::{Deserialize, Serialize};
use std::fs;

/// A measured model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum ModelName {
    /// The model of the tiny run: 1.6 million parameters.
    #[serde(rename = "tiny")]
    Tiny,
    /// 34.5 million parameters.
    #[serde(rename = "35m")]
    #[value(name = "35m")]
    M35,
    /// 69 million parameters.
    #[serde(rename = "70m")]
    #[value(name = "70m")]
    M70,
}

/// The number type of the passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// 32-bit floats.
    F32,
    /// bfloat16. PyTorch uses it through autocast.
    Bf16,
}

/// The layers that the engine computes again in the backward pass. PyTorch keeps them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Recompute {
    /// No layer.
    None,
    /// All layers.
    All,
}

/// One measurement, as both child processes read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The name of the model.
    pub(crate) model: ModelName,
    /// Its sizes.
    pub(crate) spec: ModelSpec,
    /// Sequences of a step, computed at once.
    pub(crate) batch: u32,
    /// Threads of libtorch.
    pub(crate) threads: u32,
    /// The number type.
    pub(crate) kind: Kind,
    /// The layers that the engine computes again.
    pub(crate) recompute: Recompute,
}

impl Case {
    /// Creates a case. A step has 8 sequences, the engine's default for a micro-batch.
    pub(crate) fn new(model: ModelName, threads: u32, kind: Kind, recompute: Recompute) -> Self {
        Self { model, spec: model.spec(), batch: 8, threads, kind, recompute }
    }

    /// Returns the tokens of a step.
    pub(crate) fn tokens(&self) -> u32 {
        self.batch * self.spec.sequence
    }

    /// Returns a training of this number of steps, with the settings of `bench/peer.py`.
    pub(crate) fn train(&self, steps: u32) -> TrainSpec {
        TrainSpec {
            inner_steps: steps,
            least_steps: 1,
            batch: self.batch,
            sequence: self.spec.sequence,
            clip: 1.0,
            optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
            schedule: Schedule {
                peak: 1e-3,
                warmup_steps: 0,
                decay: Decay::Constant,
                decay_steps: 0,
                floor: 1.0,
                hold: None,
                anneal: None,
            },
        }
    }
}

impl ModelName {
    fn spec(self) -> ModelSpec {
        let m35 = ModelSpec {
            vocab: 16_384,
            hidden: 512,
            layers: 6,
            heads: 8,
            kv_heads: 4,
            head_dim: 64,
            ffn: 1408,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            tied: false,
            sequence: 512,
        };
        match self {
            Self::Tiny => ModelSpec {
                vocab: 4096,
                hidden: 128,
                layers: 4,
                heads: 4,
                kv_heads: 4,
                head_dim: 32,
                ffn: 512,
                tied: true,
                sequence: 128,
                ..m35
            },
            Self::M35 => m35,
            Self::M70 => ModelSpec { vocab: 32_768, layers: 12, ..m35 },
        }
    }
}

impl Kind {
    /// Returns the number types that this processor computes with. bf16 without instructions for it is some
    /// 30 times slower than f32.
    pub(crate) fn of_this_processor() -> &'static [Self] {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = text.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        if flags.split_whitespace().any(|flag| matches!(flag, "avx512_bf16" | "amx_bf16")) {
            return &[Self::F32, Self::Bf16];
        }
        eprintln!(
            "this processor has no instructions for bf16 (avx512_bf16, amx_bf16): only f32 is measured"
        );
        &[Self::F32]
    }

    /// Returns the engine's setting.
    pub(crate) fn compute(self) -> Compute {
        match self {
            Self::F32 => Compute::F32,
            Self::Bf16 => Compute::Bf16,
        }
    }
}

impl Recompute {
    /// Returns the engine's setting.
    pub(crate) fn setting(self) -> engine::Recompute {
        match self {
            Self::None => engine::Recompute::None,
            Self::All => engine::Recompute::All,
        }
    }
}

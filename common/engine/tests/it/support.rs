//! The helpers shared by the tests.

use engine::{Batch, Model, Options, Place, ShardError};
use protocol::{
    model::ModelSpec,
    schedule::{Decay, Schedule},
    train::{AdamW, TrainSpec},
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// Returns a model with grouped queries and a separate output matrix.
pub(crate) fn small() -> ModelSpec {
    ModelSpec {
        vocab: 40,
        hidden: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        ffn: 24,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        sequence: 32,
    }
}

/// Returns a training of four inner steps, each of six sequences of nine tokens.
pub(crate) fn training() -> TrainSpec {
    TrainSpec {
        inner_steps: 4,
        least_steps: 1,
        batch: 6,
        sequence: 9,
        clip: 1.0,
        optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
        schedule: Schedule {
            peak: 1e-2,
            warmup_steps: 6,
            decay: Decay::Constant,
            decay_steps: 0,
            floor: 1.0,
            hold: None,
            anneal: None,
        },
    }
}

pub(crate) fn options() -> Options {
    Options { place: Place::Cpu, ..Options::default() }
}

/// Pseudorandom numbers, the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap()
    }

    /// Returns a number from -1 to 1, approximately.
    #[allow(clippy::cast_precision_loss)] // 24 bits fit.
    pub(crate) fn float(&mut self) -> f32 {
        self.below(1 << 24) as f32 / 8_388_608.0 - 1.0
    }
}

/// Creates a model of [`small`] with parameters without special values.
pub(crate) fn filled(options: Options) -> Model {
    let mut model = Model::new(small(), options).unwrap();
    let mut numbers = Numbers(1);
    change(&mut model, |values| values.iter_mut().for_each(|value| *value = numbers.float() * 0.3));
    model
}

/// Changes the parameters of a model.
pub(crate) fn change(model: &mut Model, f: impl FnOnce(&mut [f32])) {
    let mut values = model.parameters().unwrap();
    f(&mut values);
    model.set_parameters(&values).unwrap();
}

/// Creates batches with a pattern that can be learned: tokens ascend by a constant step.
pub(crate) fn batches(count: usize, seed: u64) -> Vec<Batch> {
    let train = training();
    let mut numbers = Numbers(seed);
    let mut sequence = || {
        let first = numbers.below(small().vocab);
        let step = 1 + numbers.below(3);
        (0..train.sequence).map(move |n| (first + n * step) % small().vocab)
    };
    let mut batch = || (0..train.batch).flat_map(|_| sequence()).collect();
    (0..count).map(|_| Batch::new(batch(), train.sequence as usize).unwrap()).collect()
}

/// Returns batches as a source of data.
pub(crate) fn source(batches: &[Batch]) -> impl Iterator<Item = Result<Batch, ShardError>> + Send + 'static {
    let batches: Vec<_> = batches.iter().cloned().map(Ok).collect();
    batches.into_iter()
}

pub(crate) fn never() -> AtomicBool {
    AtomicBool::new(false)
}

/// Returns all bits of a model's parameters.
pub(crate) fn bits(model: &Model) -> Vec<u32> {
    model.read_parameters(|values| values.iter().map(|value| value.to_bits()).collect()).unwrap()
}

/// Returns the folder of a case made by `transformers/make.py`.
pub(crate) fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transformers").join(name)
}

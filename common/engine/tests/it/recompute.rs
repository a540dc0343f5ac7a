//! Tests of layers that are computed again in the backward pass: the bits are the same with any number of
//! them.

use crate::support::{Numbers, never, options, source, training};
use engine::{Batch, Compute, Model, Options, Recompute};
use protocol::{model::ModelSpec, train::TrainSpec};

/// A model and its data, drawn at random.
struct Case {
    spec: ModelSpec,
    train: TrainSpec,
    batches: Vec<Batch>,
    micro_batch: u32,
}

impl Case {
    /// Draws a case: odd sizes, tied or not, grouped heads, the last micro-batch shorter. In every third case
    /// a micro-batch has several chunks of logits.
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed + 1);
        let mut draw = |from: u32, to: u32| from + numbers.below(to - from + 1);
        let kv_heads = draw(1, 3);
        let (batch, sequence) = if seed.is_multiple_of(3) { (5, 201) } else { (draw(2, 5), draw(2, 23)) };
        let spec = ModelSpec {
            vocab: draw(2, 90),
            hidden: draw(3, 40),
            layers: draw(1, 4),
            heads: kv_heads * draw(1, 3),
            kv_heads,
            head_dim: 2 * draw(1, 5),
            ffn: draw(1, 50),
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            tied: seed.is_multiple_of(2),
            sequence,
        };
        let mut batch_of = || (0..batch * sequence).map(|_| draw(0, spec.vocab - 1)).collect();
        let batches = (0..3).map(|_| Batch::new(batch_of(), sequence as usize).unwrap()).collect();
        let train = TrainSpec { inner_steps: 3, batch, sequence, ..training() };
        Self { spec, train, batches, micro_batch: batch - 1 }
    }

    fn model(&self, compute: Compute, recompute: Recompute) -> Model {
        let options = Options { compute, recompute, micro_batch: self.micro_batch, ..options() };
        let mut model = Model::new(self.spec, options).unwrap();
        let mut numbers = Numbers(7);
        let values: Vec<_> = (0..model.layout().len()).map(|_| numbers.float() * 0.3).collect();
        model.set_parameters(&values).unwrap();
        model
    }

    /// Returns all that a window computes, as bits: the losses before it, loss and norm of each step, the
    /// pseudo-gradient and the moments.
    fn bits(&self, compute: Compute, recompute: Recompute) -> (Vec<u64>, Vec<u32>, Vec<u8>) {
        let mut model = self.model(compute, recompute);
        let losses = model.losses(&self.batches[0]).unwrap();
        let trained = model.train(&self.train, 0, source(&self.batches), &never()).unwrap();
        let mean = model.loss(&self.batches[0]).unwrap();
        assert!((mean - trained.steps[0].loss).abs() < 1e-12 * mean, "{mean} {:?}", trained.steps[0]);
        let folder = tempfile::tempdir().unwrap();
        let moments = folder.path().join("moments");
        assert!(model.save_moments(&moments).unwrap());
        let steps = trained.steps.iter().flat_map(|step| [step.loss, step.norm]);
        (
            losses.into_iter().chain(steps).map(f64::to_bits).collect(),
            trained.pseudo_gradient.into_iter().map(f32::to_bits).collect(),
            std::fs::read(moments).unwrap(),
        )
    }
}

#[test]
fn any_number_of_recomputed_layers_gives_the_same_bits() {
    for seed in 0..8 {
        let case = Case::new(seed);
        for compute in [Compute::F32, Compute::Bf16] {
            let none = case.bits(compute, Recompute::None);
            assert!(none.1.iter().any(|&bits| bits != 0));
            let some = (0..=case.spec.layers).map(Recompute::Layers);
            for recompute in some.chain([Recompute::All]) {
                let found = case.bits(compute, recompute);
                assert!(found == none, "{compute:?} {recompute:?} {:?}", case.spec);
            }
        }
    }
}

#[test]
fn weights_in_bf16_follow_the_parameters() {
    for seed in 0..2 {
        let case = Case::new(seed);
        let mut model = case.model(Compute::Bf16, Recompute::None);
        let batch = &case.batches[0];
        let before = model.losses(batch).unwrap();
        let halved: Vec<_> = model.parameters().unwrap().iter().map(|value| value * 0.5).collect();
        model.set_parameters(&halved).unwrap();
        let after = model.losses(batch).unwrap();
        assert_ne!(before, after);
        let mut fresh = case.model(Compute::Bf16, Recompute::All);
        fresh.set_parameters(&halved).unwrap();
        assert_eq!(after, fresh.losses(batch).unwrap());
    }
}

#[test]
fn more_layers_than_the_model_has_are_refused() {
    let case = Case::new(0);
    let recompute = Recompute::Layers(case.spec.layers + 1);
    let error = Model::new(case.spec, Options { recompute, ..options() }).unwrap_err().to_string();
    let expected = "it must be at most the number of layers of the model";
    assert!(error.starts_with("engine.recompute is ") && error.ends_with(expected), "{error}");
}

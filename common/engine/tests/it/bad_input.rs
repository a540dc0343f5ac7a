//! The inputs that the engine refuses, with the error texts that a user sees.

use crate::support::{batches, filled, never, options, small, source, training};
use engine::{Batch, EngineError, Model, Options, Place, init_torch};
use protocol::{model::ModelSpec, train::TrainSpec};

#[test]
fn batches_that_do_not_fit_the_model() {
    let model = filled(options());
    let token = Batch::new(vec![1, 2, 40, 3], 4).unwrap();
    let expected = "token 40 at position 2 of sequence 0: the vocabulary has 40 (model.vocab); \
                    the data was made with another tokenizer";
    assert_eq!(model.loss(&token).unwrap_err().to_string(), expected);
    assert_eq!(model.logits(&token).unwrap_err().to_string(), expected);
    let long = Batch::new(vec![1; 33], 33).unwrap();
    let expected = "sequences of 33 tokens: the model reads at most 32 (model.sequence)";
    assert_eq!(model.losses(&long).unwrap_err().to_string(), expected);
}

#[test]
fn batches_that_do_not_fit_the_run() {
    let mut model = filled(options());
    let mut refuse = |tokens: Vec<u32>, sequence| {
        let batch = Batch::new(tokens, sequence).unwrap();
        model.train(&training(), 0, source(&[batch]), &never()).unwrap_err().to_string()
    };
    let expected = "sequences of 8 tokens: the run's have 9 (train.sequence)";
    assert_eq!(refuse(vec![1; 48], 8), expected);
    assert_eq!(refuse(vec![1; 45], 9), "a batch of 5 sequences: a step takes at least 6 (train.batch)");
    assert!(refuse(vec![77; 54], 9).starts_with("token 77 at position 0 of sequence 0"));
}

#[test]
fn models_trainings_and_options_that_cannot_be() {
    let refuse = |spec, options| Model::new(spec, options).unwrap_err().to_string();
    assert!(refuse(ModelSpec { head_dim: 3, ..small() }, options()).contains("model.head_dim is 3"));
    let zero = Options { micro_batch: 0, ..options() };
    assert_eq!(refuse(small(), zero), "engine.micro_batch is 0: it must be at least 1");
    let zero = Options { threads: 0, ..options() };
    assert_eq!(refuse(small(), zero), "engine.threads is 0: it must be at least 1");
    let many = Options { threads: u32::MAX, ..options() };
    assert_eq!(refuse(small(), many), "engine.threads is 4294967295: it must be less than 2147483648");
    let mut model = filled(options());
    let none = TrainSpec { inner_steps: 0, ..training() };
    let error = model.train(&none, 0, source(&batches(1, 1)), &never()).unwrap_err().to_string();
    assert_eq!(error, "train.inner_steps is 0: it must be at least 1");
}

#[test]
fn a_gpu_that_is_not_there() {
    let found = init_torch();
    let wanted = usize::try_from(found).unwrap();
    let error = Model::new(small(), Options { place: Place::Gpu(wanted), ..options() }).unwrap_err();
    assert!(matches!(error, EngineError::Device { wanted: w, found: f } if (w, f) == (wanted, found)));
    assert!(error.to_string().starts_with(&format!("cannot use GPU {wanted}: {found} are usable")));
}

#[test]
fn a_model_larger_than_memory() {
    let huge = ModelSpec { vocab: 1 << 24, hidden: 1 << 18, heads: 1, kv_heads: 1, ..small() };
    let error = Model::new(huge, options()).unwrap_err();
    assert!(matches!(error, EngineError::Torch(_)), "{error}");
    assert!(base::ErrorChain(&error).to_string().starts_with("libtorch failed: "), "{error}");
    assert_eq!(base::ErrorChain(&error).to_string().lines().count(), 1, "{error}");
}

//! Tests of sparse trial steps.

use crate::support::{Numbers, batches, bits, filled, options};
use codec::{
    aggregate::trial_step,
    chunks::Geometry,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
};
use engine::{EngineError, Model, SparseStep};

/// Creates a step along every third parameter.
fn step(model: &Model) -> (Vec<u64>, Vec<f32>) {
    let mut numbers = Numbers(5);
    (0..model.layout().len() as u64).step_by(3).map(|place| (place, numbers.float() * 0.1)).unzip()
}

#[test]
fn a_trial_sees_the_step_and_leaves_nothing() {
    let mut model = filled(options());
    let odd = [f32::from_bits(1), -0.0, f32::MIN_POSITIVE, f32::from_bits(0x7fc0_1234), f32::INFINITY];
    let batch = &batches(1, 4)[0];
    let (places, changes) = step(&model);
    let before = model.loss(batch).unwrap();
    let tried =
        model.trial(&SparseStep::new(&places, changes.clone()).unwrap(), |model| model.loss(batch)).unwrap();
    assert!((tried - before).abs() > 1e-4, "{before} {tried}");

    // The result is the same as after a direct change of the parameters.
    let mut written = filled(options());
    let write = |values: &mut [f32]| {
        places
            .iter()
            .zip(&changes)
            .for_each(|(&place, change)| values[usize::try_from(place).unwrap()] -= change);
    };
    written.with_parameters(write).unwrap();
    assert_eq!(written.loss(batch).unwrap().to_bits(), tried.to_bits());

    // Bits that arithmetic does not preserve are restored as well.
    model.with_parameters(|values| odd.iter().zip(values).for_each(|(odd, value)| *value = *odd)).unwrap();
    let kept = bits(&mut model);
    let all: Vec<u64> = (0..model.layout().len() as u64).collect();
    let everything = SparseStep::new(&all, vec![0.5; all.len()]).unwrap();
    let seen = model.trial(&everything, |model| model.logits(batch)).unwrap();
    assert!(seen.len() > 1);
    assert_eq!(bits(&mut model), kept);
}

#[test]
fn what_would_not_be_finite_is_left_as_it_is() {
    let mut model = filled(options());
    let batch = &batches(1, 4)[0];
    let before = model.loss(batch).unwrap();
    let step = SparseStep::new(&[0, 5], vec![f32::INFINITY, f32::NAN]).unwrap();
    assert_eq!(model.trial(&step, |model| model.loss(batch)).unwrap().to_bits(), before.to_bits());
}

#[test]
fn a_trial_that_fails_is_undone() {
    let mut model = filled(options());
    let before = bits(&mut model);
    let (places, changes) = step(&model);
    let step = SparseStep::new(&places, changes).unwrap();
    let failed = model.trial::<()>(&step, |_| Err(EngineError::Stopped));
    assert!(matches!(failed, Err(EngineError::Stopped)));
    assert_eq!(bits(&mut model), before);
}

#[test]
fn an_empty_step_changes_nothing() {
    let mut model = filled(options());
    let batch = &batches(1, 4)[0];
    let before = model.loss(batch).unwrap();
    let empty = SparseStep::new(&[], vec![]).unwrap();
    assert_eq!(model.trial(&empty, |model| model.loss(batch)).unwrap().to_bits(), before.to_bits());
}

#[test]
fn numbers_that_are_no_step_are_refused() {
    let refuse = |places: &[u64], changes| SparseStep::new(places, changes).unwrap_err().to_string();
    assert!(refuse(&[1, 2], vec![0.1]).starts_with("a sparse step of 2 places and 1 changes"));
    assert_eq!(refuse(&[1, 1], vec![0.1; 2]), "place 1 of a sparse step follows place 1: places must ascend");
    assert_eq!(refuse(&[4, 2], vec![0.1; 2]), "place 2 of a sparse step follows place 4: places must ascend");
    assert!(refuse(&[u64::MAX], vec![0.1]).starts_with("place 18446744073709551615 of a sparse step"));
    let mut model = filled(options());
    let len = model.layout().len() as u64;
    let outside = SparseStep::new(&[0, len], vec![0.1; 2]).unwrap();
    let error = model.trial(&outside, |_| Ok(())).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("place {len} of a sparse step is out of range: the model has {len} parameters")
    );
}

/// Compresses values as a miner would: it sends half of the values of each chunk of 16.
fn sent(model: &Model) -> Vec<SparseTensor> {
    let spec = SparseSpec {
        chunk: 16,
        topk: 8,
        codec: Codec::Halving,
        quantizer: Quantizer::SignCentroid,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    };
    let mut numbers = Numbers(6);
    let mut send = |shape: &[usize]| {
        let geometry = Geometry::new(shape, 4).unwrap();
        let values: Vec<_> = (0..geometry.len()).map(|_| numbers.float() * 0.1).collect();
        compress(&values, &geometry, &spec).unwrap()
    };
    model.layout().iter().map(|(tensor, _)| send(&tensor.shape)).collect()
}

#[test]
fn a_step_along_an_update_is_that_of_common() {
    let mut model = filled(options());
    let layout = model.layout().clone();
    let (sent, batch) = (sent(&model), &batches(1, 4)[0]);
    let factor = |number: usize| if number.is_multiple_of(2) { 0.9 } else { 0.3 };
    let tensors = sent.iter().enumerate().map(|(number, sent)| (sent, factor(number)));
    let step = SparseStep::along(&layout, 4, tensors, 0.7).unwrap();
    let before = bits(&mut model);
    let tried = model.trial(&step, |model| Ok((model.parameters()?, model.loss(batch)?))).unwrap();
    assert_eq!(bits(&mut model), before);

    let write = |values: &mut [f32]| {
        for (number, (sent, (tensor, place))) in sent.iter().zip(layout.iter()).enumerate() {
            let geometry = Geometry::new(&tensor.shape, 4).unwrap();
            let _kept = trial_step(&mut values[place], &geometry, sent, factor(number), 0.7);
        }
    };
    model.with_parameters(write).unwrap();
    let expected = (model.parameters().unwrap(), model.loss(batch).unwrap());
    assert_eq!(tried, expected);
    assert_ne!(bits(&mut model), before);
}

#[test]
fn updates_of_other_models_are_refused() {
    let model = filled(options());
    let sent = sent(&model);
    let step = |tensors: Vec<&SparseTensor>| {
        SparseStep::along(model.layout(), 4, tensors.into_iter().map(|tensor| (tensor, 1.0)), 1.0)
    };
    let few = step(sent.iter().skip(1).collect()).unwrap_err().to_string();
    assert_eq!(few, format!("a sparse step has {} tensors: the model has {}", sent.len() - 1, sent.len()));
    let turned = step(sent.iter().rev().collect()).unwrap_err().to_string();
    assert_eq!(turned, "tensor lm_head.weight: the chunks of the update differ from the model's");
}

//! Tests of sparse trial steps.

use crate::support::{Numbers, batches, bits, change, filled, options};
use base::{
    Height, NeuronId, Window,
    digest::{RunHash, State},
    signature::SigningKey,
};
use codec::{
    aggregate::{Clip, ClipBounds, FullWork, StepNorms},
    chunks::Geometry,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use engine::{EngineError, Model, SparseStep};
use std::sync::Arc;

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
    change(&mut written, write);
    assert_eq!(written.loss(batch).unwrap().to_bits(), tried.to_bits());

    // Bits that arithmetic does not preserve are restored as well.
    change(&mut model, |values| odd.iter().zip(values).for_each(|(odd, value)| *value = *odd));
    let kept = bits(&model);
    let all: Vec<u64> = (0..model.layout().len() as u64).collect();
    let everything = SparseStep::new(&all, vec![0.5; all.len()]).unwrap();
    let seen = model.trial(&everything, |model| model.logits(batch)).unwrap();
    assert!(seen.len() > 1);
    assert_eq!(bits(&model), kept);
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
    let before = bits(&model);
    let (places, changes) = step(&model);
    let step = SparseStep::new(&places, changes).unwrap();
    let failed = model.trial::<()>(&step, |_| Err(EngineError::Stopped));
    assert!(matches!(failed, Err(EngineError::Stopped)));
    assert_eq!(bits(&model), before);
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

/// Returns what a miner would send: half of the values of each chunk of 16.
fn sent(model: &Model) -> Submission<Vec<u8>> {
    let spec = SparseSpec {
        chunk: 16,
        topk: 8,
        codec: Codec::Halving,
        quantizer: Quantizer::SignCentroid,
        beta: 0.95,
        outer_lr: 0.7,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    };
    let layout = Arc::new(SubmissionLayout::new(&model.spec().tensors(), &spec).unwrap());
    let mut numbers = Numbers(6);
    let mut send = |geometry: &Geometry| {
        let values: Vec<_> = (0..geometry.len()).map(|_| numbers.float() * 0.1).collect();
        compress(&values, geometry, &spec).unwrap()
    };
    let sent: Vec<_> = layout.tensors().iter().map(|tensor| send(tensor.geometry())).collect();
    let key = SigningKey::from_seed(&[1; 32]);
    let run = RunHash([1; 32]);
    let expected = Expected {
        run,
        spec: run,
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(1) },
        window: Window(0),
        base: State([2; 32]),
        least_samples: 1,
        sealed: false,
    };
    let bytes = encode(&layout, &Header::new(&expected, 1, &layout), &sent, &key).unwrap();
    Submission::open(bytes, layout, &expected).unwrap()
}

/// Returns the sent values of all tensors.
fn tensors(sent: &Submission<Vec<u8>>) -> Vec<SparseTensor> {
    (0..sent.layout().tensors().len()).map(|number| sent.tensor(number).unwrap()).collect()
}

#[test]
fn a_step_along_an_update_is_the_outer_step_of_it_alone() {
    let mut model = filled(options());
    let layout = model.layout().clone();
    let sent = sent(&model);
    let batch = &batches(1, 4)[0];
    // The norms of the last step clip every second tensor.
    let norms = sent.norms().unwrap().iter().enumerate();
    let last = norms.map(|(at, norm)| if at.is_multiple_of(2) { *norm } else { norm * 0.3 });
    let last: Vec<f64> = last.collect();
    let last = StepNorms { medians: last.clone(), references: last };
    let bounds = ClipBounds { last: Some(&last), full: FullWork { travel: 1.0, samples: 1 } };
    let clip = Clip::of([&sent], bounds).unwrap();
    let factors = &clip.factors[0];
    assert!(factors[0] == 1.0 && factors[1] < 0.4, "{factors:?}");
    let step =
        SparseStep::along(&layout, 4, tensors(&sent).iter().zip(factors.iter().copied()), 0.7).unwrap();
    let before = bits(&model);
    let tried = model.trial(&step, |model| Ok((model.parameters()?, model.loss(batch)?))).unwrap();
    assert_eq!(bits(&model), before);

    let (norms, root) = model.apply_outer_step(&[sent], bounds).unwrap();
    let expected = (model.parameters().unwrap(), model.loss(batch).unwrap());
    assert_eq!(tried, expected);
    assert_ne!(bits(&model), before);
    assert_eq!((norms, root), (clip.norms, model.state_root().unwrap()));
}

#[test]
fn only_as_many_parameters_as_the_model_has_can_be_set() {
    let mut model = filled(options());
    let before = bits(&model);
    let error = model.set_parameters(&[0.0; 3]).unwrap_err().to_string();
    assert_eq!(error, format!("cannot set 3 parameters: the model has {}", before.len()));
    assert_eq!(bits(&model), before);
}

#[test]
fn updates_of_other_models_are_refused() {
    let model = filled(options());
    let sent = tensors(&sent(&model));
    let step = |tensors: Vec<&SparseTensor>| {
        SparseStep::along(model.layout(), 4, tensors.into_iter().map(|tensor| (tensor, 1.0)), 1.0)
    };
    let few = step(sent.iter().skip(1).collect()).unwrap_err().to_string();
    assert_eq!(few, format!("a sparse step has {} tensors: the model has {}", sent.len() - 1, sent.len()));
    let turned = step(sent.iter().rev().collect()).unwrap_err().to_string();
    assert_eq!(turned, "tensor lm_head.weight: the chunks of the update differ from the model's");
}

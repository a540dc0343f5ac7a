//! Tests of windows of training.

use crate::support::{batches, bits, change, filled, never, options, source, training};
use engine::{Compute, EngineError, Options, ShardError};
use protocol::{
    schedule::{Decay, Schedule},
    train::TrainSpec,
};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_window_returns_to_where_it_began() {
    let mut model = filled(options());
    let before = bits(&model);
    let trained = model.train(&training(), 0, source(&batches(4, 2)), &never()).unwrap();
    assert_eq!(bits(&model), before);
    assert_eq!(trained.steps.len(), 4);
    assert!(trained.pseudo_gradient.iter().filter(|&&change| change != 0.0).count() > before.len() / 2);
}

/// Checks that a training that begins ahead of the parameters gives the pseudo-gradient of a training from
/// the changed parameters, and leaves the parameters without the change, also when it is interrupted.
#[test]
fn a_training_ahead_of_the_parameters_returns_to_them() {
    let mut model = filled(options());
    let before = bits(&model);
    let ahead = model.train(&training(), 0, source(&batches(4, 1)), &never()).unwrap().pseudo_gradient;
    let values = |changes: &[f32]| changes.iter().map(|change| change.to_bits()).collect::<Vec<_>>();

    let mut changed = filled(options());
    changed.train(&training(), 0, source(&batches(4, 1)), &never()).unwrap();
    change(&mut changed, |values| values.iter_mut().zip(&ahead).for_each(|(value, ahead)| *value -= ahead));
    let expected = changed.train(&training(), 4, source(&batches(4, 2)), &never()).unwrap();

    let trained = model.train_ahead(ahead.clone(), &training(), 4, source(&batches(4, 2)), &never()).unwrap();
    assert_eq!(values(&trained.pseudo_gradient), values(&expected.pseudo_gradient));
    assert_eq!(trained.steps, expected.steps);
    assert_eq!(bits(&model), before);

    let stopped = AtomicBool::new(true);
    let stopped = model.train_ahead(ahead, &training(), 8, source(&batches(4, 3)), &stopped);
    assert!(matches!(stopped, Err(EngineError::Interrupted { step: 8 })));
    assert_eq!(bits(&model), before);
    let short = model.train_ahead(vec![0.0; 3], &training(), 8, source(&batches(4, 3)), &never());
    assert!(matches!(short, Err(EngineError::Parameters { found: 3, .. })));
}

#[test]
fn the_same_state_and_data_give_the_same_bytes() {
    for compute in [Compute::F32, Compute::Bf16] {
        let run = || {
            let mut model = filled(Options { compute, micro_batch: 4, ..options() });
            let windows =
                [2, 3].map(|seed| model.train(&training(), 4 * seed, source(&batches(4, seed)), &never()));
            windows.map(|trained| {
                let changes = trained.unwrap().pseudo_gradient;
                changes.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let [first, second] = run();
        assert_ne!(first, second);
        assert_eq!([first, second], run());
    }
}

#[test]
fn accumulated_micro_batches_are_one_batch() {
    let run = |micro_batch, compute| {
        let mut model = filled(Options { micro_batch, compute, ..options() });
        let step = TrainSpec { inner_steps: 1, ..training() };
        model.train(&step, 5, source(&batches(1, 2)), &never()).unwrap()
    };
    for (compute, tolerance) in [(Compute::F32, 1e-6), (Compute::Bf16, 1e-2)] {
        let whole = run(6, compute);
        for micro_batch in [1, 4] {
            let parts = run(micro_batch, compute);
            let a = whole.steps[0];
            let b = parts.steps[0];
            assert!((a.loss - b.loss).abs() < tolerance * a.loss, "{compute:?} {micro_batch}: {a:?} {b:?}");
            assert!((a.norm - b.norm).abs() < tolerance * a.norm, "{compute:?} {micro_batch}: {a:?} {b:?}");
        }
    }
    // Adam's first step is the sign of the gradient, unless the gradient is tiny. Both runs agree up
    // to rounding.
    let (a, b) = (run(6, Compute::F32).pseudo_gradient, run(1, Compute::F32).pseudo_gradient);
    let far = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1e-5).count();
    assert!(far * 1000 < a.len(), "{far} of {}", a.len());
}

#[test]
fn rates_are_those_of_the_schedule() {
    let schedule = Schedule { decay: Decay::Cosine, decay_steps: 40, floor: 0.1, ..training().schedule };
    let train = TrainSpec { schedule, ..training() };
    let mut model = filled(options());
    for window in 0..3 {
        let trained = model.train(&train, window * 4, source(&batches(4, window)), &never()).unwrap();
        let rates: Vec<_> = trained.steps.iter().map(|step| step.rate).collect();
        assert_eq!(rates, [0, 1, 2, 3].map(|step| schedule.rate(window * 4 + step)));
    }
}

#[test]
fn a_pattern_is_learned_when_pseudo_gradients_are_applied() {
    let mut model = filled(options());
    let held_out = &batches(1, 99)[0];
    let start = model.loss(held_out).unwrap();
    for window in 0..10 {
        let train = TrainSpec { inner_steps: 8, ..training() };
        let trained = model.train(&train, window * 8, source(&batches(8, window)), &never()).unwrap();
        let apply = |values: &mut [f32]| {
            values.iter_mut().zip(&trained.pseudo_gradient).for_each(|(value, change)| *value -= change);
        };
        change(&mut model, apply);
    }
    let end = model.loss(held_out).unwrap();
    assert!(end < 0.5 * start, "{start} {end}");
}

#[test]
fn whatever_stops_a_training_the_parameters_are_as_before() {
    let mut model = filled(options());
    let before = bits(&model);

    let stopped = model.train(&training(), 40, source(&batches(4, 2)), &AtomicBool::new(true));
    assert_eq!(stopped.unwrap_err().to_string(), "the training was interrupted at inner step 40");

    let stop = never();
    let data = source(&batches(4, 2)).inspect(|_| stop.store(true, Ordering::Relaxed));
    let stopped = model.train(&training(), 40, data, &stop);
    assert!(matches!(stopped, Err(EngineError::Interrupted { step: 41 })));

    let ended = model.train(&training(), 0, source(&batches(3, 2)), &never()).unwrap_err();
    assert_eq!(ended.to_string(), "the window's data ended at inner step 3 of 4");

    let broken = source(&batches(1, 2)).chain([Err(ShardError::Outside { found: 9, sequences: 7 })]);
    let broken = model.train(&training(), 0, broken, &never()).unwrap_err();
    assert_eq!(broken.to_string(), "cannot read sequence 9: the data has 7 sequences");

    assert_eq!(bits(&model), before);
}

#[test]
fn a_training_that_diverges_says_where() {
    let mut model = filled(options());
    change(&mut model, |values| values[3] = f32::NAN);
    let diverged = model.train(&training(), 12, source(&batches(4, 2)), &never()).unwrap_err();
    let expected = "inner step 12: the loss is NaN; the learning rate may be too high";
    assert_eq!(diverged.to_string(), expected);
}

#[test]
fn denormal_parameters_stay() {
    let mut model = filled(options());
    let tiny = f32::from_bits(3);
    change(&mut model, |values| values.iter_mut().step_by(7).for_each(|value| *value = tiny));
    let train = TrainSpec { schedule: Schedule { peak: 1e-39, ..training().schedule }, ..training() };
    let trained = model.train(&train, 10, source(&batches(4, 2)), &never()).unwrap();
    let kept = model.read_parameters(|values| values.iter().step_by(7).all(|value| *value == tiny)).unwrap();
    assert!(kept);
    let changed = trained.pseudo_gradient.iter().step_by(7).filter(|change| change.is_subnormal()).count();
    assert!(changed * 7 > model.layout().len() / 2, "{changed}");
}

//! Compares trainings with a plain loop.

use super::*;
use crate::{TINY, seeds::seed_of};
use base::{Millionths, signature::SigningKey};
use codec::{
    feedback,
    sparse::{SparseTensor, compress},
    submission::{Header, encode},
};
use protocol::model::ModelSpec;
use std::fs;

const WINDOWS: u64 = 3;
const MINERS: u32 = 2;
const SEED: u64 = 5;

/// Returns a variant of [`small`].
fn variant(staleness: u8, own: Own) -> Variant {
    let mut run = small();
    run.acceptance.staleness = staleness;
    Variant { name: String::new(), run, own }
}

/// Returns the tiny run with a small model and short sequences.
fn small() -> RunFile {
    let mut run = RunFile::parse(TINY).unwrap();
    run.model = ModelSpec {
        vocab: 300,
        hidden: 64,
        layers: 1,
        heads: 2,
        kv_heads: 2,
        head_dim: 32,
        ffn: 64,
        sequence: 16,
        ..run.model
    };
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (4, 2);
    run
}

/// Prepares a dataset from a text of some scenes, and passes it to a test.
fn with_dataset(test: impl FnOnce(&Dataset)) {
    let scene = |number: u32| {
        let line = |line: u32| format!("line {} of the play, to speaker {}. ", line * number, number % 7);
        format!("\n\n### scene {number}\n{}", (0..40).map(line).collect::<String>())
    };
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("plays.txt");
    fs::write(&text, (1..150).map(scene).collect::<String>()).unwrap();
    test(&Dataset::open(&text, &folder.path().join("cache"), &small()).unwrap());
}

/// Returns the steps of miners that make all of them.
fn all_steps(variant: &Variant) -> Vec<u32> {
    vec![variant.run.train.inner_steps; MINERS as usize]
}

fn train(dataset: &Dataset, variant: &Variant, seed: u64) -> Measured {
    Training::new(variant, dataset, seed, &all_steps(variant)).unwrap().run(WINDOWS).unwrap()
}

/// A miner of the plain loop: the model and its moments, the key, and the error feedback.
struct PlainMiner {
    miner: Miner,
    key: SigningKey,
    error: Vec<f32>,
    /// The update of the last window.
    last: Option<Update>,
}

impl PlainMiner {
    fn new(number: u32) -> Self {
        let miner = Miner::new(&small(), SEED, number).unwrap();
        let key = SigningKey::from_seed(&seed_of(SEED, &[b"miner", &number.to_le_bytes()]).0);
        let error = vec![0.0; miner.model.layout().len()];
        Self { miner, key, error, last: None }
    }

    /// Subtracts the last set's values, adds the pseudo-gradient, and selects what to send.
    fn compress(&mut self, delta: &[f32], layout: &SubmissionLayout) -> Vec<SparseTensor> {
        let places: Vec<_> = self.miner.model.layout().iter().map(|(_, place)| place).collect();
        let tensors = || layout.tensors().iter().zip(places.iter().cloned());
        let last = self.last.iter().flat_map(|update| &update.sent);
        for (sent, (tensor, place)) in last.zip(tensors()) {
            feedback::settle(&mut self.error[place], tensor.geometry(), sent);
        }
        feedback::accumulate(&mut self.error, delta, layout.spec().beta);
        let compress = |(tensor, place): (&codec::submission::TensorLayout, std::ops::Range<usize>)| {
            compress(&self.error[place], tensor.geometry(), layout.spec()).unwrap()
        };
        tensors().map(compress).collect()
    }
}

/// Trains without a queue: keeps all parameters, and looks up those that a window trains from. Returns
/// the roots of `theta_0`, `theta_1` and so on.
fn plain_loop(dataset: &Dataset, variant: &Variant) -> Vec<StateRoot> {
    let run = &variant.run;
    let staleness = u64::from(run.acceptance.staleness);
    let hash = RunHash::of(&[run.name.as_bytes()]);
    let layout = Arc::new(SubmissionLayout::new(&run.model.tensors(), &run.sparse).unwrap());
    let mut miners: Vec<_> = (0..MINERS).map(PlainMiner::new).collect();
    let mut thetas = vec![miners[0].miner.model.parameters().unwrap()];
    let mut roots = vec![miners[0].miner.model.state_root().unwrap()];
    let mut last_norms = vec![None];
    for number in 0..WINDOWS {
        let window = Window(number);
        let from = usize::try_from(number.saturating_sub(staleness)).unwrap();
        let bounds = |last, of: Window| ClipBounds { last, full: run.train.full_work(of) };
        let neurons = miners.iter().map(|plain| plain.miner.neuron);
        let assigned = dataset.assign(&hash, SEED, window, neurons, &run.train).unwrap();
        let mut accepted = Vec::new();
        for plain in &mut miners {
            let model = &mut plain.miner.model;
            model.set_parameters(&thetas[from]).unwrap();
            match (variant.own, &plain.last) {
                (Own::None, _) | (_, None) => {}
                (Own::Sent, Some(last)) => {
                    model
                        .apply_outer_step(
                            std::slice::from_ref(&last.submission),
                            bounds(last_norms[from].as_ref(), last.submission.header().window),
                        )
                        .unwrap();
                }
                (Own::Whole, Some(last)) => {
                    let pairs = thetas[from].iter().zip(&last.pseudo_gradient);
                    let start: Vec<f32> = pairs.map(|(theta, delta)| theta - delta).collect();
                    model.set_parameters(&start).unwrap();
                }
            }
            let batches = dataset.batches(&assigned, &plain.miner.neuron, &run.train).unwrap();
            let delta =
                plain.miner.train(&run.train, number * u64::from(run.train.inner_steps), batches).unwrap();
            let sent = plain.compress(&delta, &layout);
            let expected = plain.miner.expected(&hash, window, &roots[from], &run.train);
            let header = Header::new(&expected, run.train.samples(), &layout);
            let bytes = encode(&layout, &header, &sent, &plain.key).unwrap();
            let submission = Submission::open(bytes, Arc::clone(&layout), &expected).unwrap();
            accepted.push(submission.clone());
            plain.last = Some(Update { pseudo_gradient: delta, sent, submission });
        }
        let model = &mut miners[0].miner.model;
        model.set_parameters(thetas.last().unwrap()).unwrap();
        let (norms, root) = model
            .apply_outer_step(&accepted, bounds(last_norms[last_norms.len() - 1].as_ref(), window))
            .unwrap();
        last_norms.push(Some(norms));
        thetas.push(model.parameters().unwrap());
        roots.push(root);
    }
    roots
}

#[test]
fn each_variant_equals_a_plain_loop_bit_for_bit() {
    with_dataset(|dataset| {
        let roots =
            [(0, Own::None), (1, Own::None), (1, Own::Sent), (1, Own::Whole)].map(|(staleness, own)| {
                let variant = variant(staleness, own);
                let found = train(dataset, &variant, SEED).roots;
                assert_eq!(found, plain_loop(dataset, &variant), "{staleness} {own:?}");
                found
            });
        for stale in &roots[1..] {
            assert_eq!(roots[0][..2], stale[..2], "the first window does not depend on the staleness");
            assert_ne!(roots[0][2], stale[2], "the second window trains from other parameters");
        }
        for (one, other) in [(1, 2), (1, 3), (2, 3)] {
            assert_ne!(
                roots[one][2], roots[other][2],
                "{one} and {other}: other starts of the second window"
            );
        }
    });
}

#[test]
fn with_staleness_1_the_first_two_windows_train_from_the_same_parameters() {
    with_dataset(|dataset| {
        let starts = |staleness| {
            let variant = variant(staleness, Own::None);
            let mut training = Training::new(&variant, dataset, SEED, &all_steps(&variant)).unwrap();
            [0, 1, 2].map(|window| {
                let start = training.miners[0].model.state_root().unwrap();
                training.advance(Window(window)).unwrap();
                start
            })
        };
        let [first, second, third] = starts(1);
        assert_eq!(first, second);
        assert_ne!(second, third);
        let [first, second, third] = starts(0);
        assert!(first != second && second != third);
    });
}

#[test]
fn a_seed_gives_the_same_numbers_twice() {
    with_dataset(|dataset| {
        let variant = variant(1, Own::Sent);
        let measured = train(dataset, &variant, SEED);
        assert_eq!(measured.losses.len() as u64, WINDOWS + 1);
        assert!(measured.losses.iter().all(|loss| loss.is_finite()) && measured.bytes > 0);
        assert_eq!(measured, train(dataset, &variant, SEED));
        assert_ne!(measured.roots[0], train(dataset, &variant, SEED + 1).roots[0]);
    });
}

/// Checks that a miner may make half of the steps, and that the run bounds them.
#[test]
fn miners_may_make_fewer_steps() {
    with_dataset(|dataset| {
        let variant = variant(0, Own::None);
        let of = |steps: &[u32]| Training::new(&variant, dataset, SEED, steps).unwrap().run(1).unwrap();
        let (all, half) = (of(&[4, 4]), of(&[4, 2]));
        assert_eq!(all.roots[0], half.roots[0]);
        assert_ne!(all.roots[1], half.roots[1]);
        assert!(half.losses[1] < half.losses[0]);
        for wrong in [1, 5] {
            let error = Training::new(&variant, dataset, SEED, &[4, wrong]).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!("a miner makes 2 to 4 inner steps in a window, not {wrong}")
            );
        }
    });
}

/// Checks that one miner with all steps and two with half of them learn about as much in a window as two with
/// all: both train on the same number of tokens. Two steps of a warm-up are shorter than the next two.
#[test]
fn a_mixed_network_learns_no_worse_by_token() {
    with_dataset(|dataset| {
        let variant = variant(0, Own::None);
        let of = |steps: &[u32]| Training::new(&variant, dataset, SEED, steps).unwrap().run(WINDOWS).unwrap();
        let (full, mixed) = (of(&[4, 4]).losses, of(&[4, 2, 2]).losses);
        let gained = |losses: &[f64]| losses[0] - losses[losses.len() - 1];
        assert!(gained(&mixed) >= 0.9 * gained(&full), "{mixed:?} {full:?}");
    });
}

#[test]
fn a_training_learns_and_has_at_least_one_miner() {
    with_dataset(|dataset| {
        let variant = variant(0, Own::None);
        let losses = train(dataset, &variant, SEED).losses;
        assert!(losses.is_sorted_by(|earlier, later| earlier > later), "{losses:?}");
        assert!(Training::new(&variant, dataset, SEED, &[]).is_err());
    });
}

#[test]
fn the_gain_of_a_lone_miner_with_a_whole_step_is_the_fall_of_the_loss() {
    with_dataset(|dataset| {
        let mut variant = variant(0, Own::None);
        variant.run.scoring.eval_lr_factor = Millionths(1_000_000);
        let measured =
            Training::new(&variant, dataset, SEED, &[variant.run.train.inner_steps]).unwrap().run(1).unwrap();
        let fall = measured.losses[0] - measured.losses[1];
        assert!((measured.gains[0][0] - fall).abs() < 1e-6, "{measured:?}");
    });
}

//! Compares the outer step with a plain computation, and checks everything that must not affect it.

use super::*;
use crate::{
    quantize::Values,
    sparse::{Aggregation, Quantizer, compress, tests::tiny},
    submission::{Expected, Header, SubmissionLayout, encode},
};
use base::{
    Height, Window,
    digest::{RunHash, State},
    signature::SigningKey,
    state_root::{TensorHash, root},
    tensor::TensorRole,
    tensor::TensorSpec,
};
use proptest::prelude::*;
use std::sync::Arc;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn neuron(hotkey: u8) -> NeuronId {
    NeuronId { hotkey: Hotkey([hotkey; 32]), registered: Height(1) }
}

/// Generates values of every kind that an update can have.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -2.0f32..2.0,
        1 => prop_oneof![Just(0.0f32), Just(-0.0), Just(f32::MAX), Just(f32::MIN)],
        1 => (0u32..1000).prop_map(f32::from_bits),
        1 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite()),
    ]
}

/// Generates values of every kind, except those too large for a quantizer.
fn modest() -> impl Strategy<Value = f32> {
    value().prop_map(|value| value.clamp(-1e30, 1e30))
}

/// Generates parameters of every kind, including infinite ones and NaN.
fn parameter() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -2.0f32..2.0, 1 => any::<u32>().prop_map(f32::from_bits)]
}

fn rule() -> impl Strategy<Value = Aggregation> {
    prop_oneof![
        Just(Aggregation::Mean),
        Just(Aggregation::SenderMean),
        (1u32..5).prop_map(Aggregation::Shrunk)
    ]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Computes the outer step as the design defines it, coordinate by coordinate.
fn plain(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &[Update<'_>],
    last: Option<f64>,
) {
    let mut updates = updates.to_vec();
    updates.sort_by_key(|update| update.neuron.hotkey.0);
    let norms: Vec<f64> = updates.iter().map(|update| norm(update.tensor)).collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or(0.0);
    let limit = match last {
        Some(last) if last != 0.0 => median.min(last * spec.clip_growth),
        _ => median,
    };
    let mut sums: Vec<Option<(f32, u32)>> = vec![None; parameters.len()];
    for (update, norm) in updates.iter().zip(norms) {
        let factor = if norm == 0.0 || limit == 0.0 { 1.0 } else { 1f64.min(limit / norm) as f32 };
        update.tensor.for_each(geometry, |coordinate, value| {
            let (sum, senders) = sums[coordinate].get_or_insert((0.0, 0));
            *sum += value * factor;
            *senders += 1;
        });
    }
    for (parameter, sum) in parameters.iter_mut().zip(sums) {
        let Some((sum, senders)) = sum else { continue };
        let divisor = match spec.aggregation {
            Aggregation::Mean => updates.len() as u32,
            Aggregation::SenderMean => senders,
            Aggregation::Shrunk(least) => senders.max(least),
        };
        let mean = sum / divisor as f32;
        let step = mean * spec.outer_lr;
        let result = *parameter - step;
        if result.is_finite() {
            *parameter = result;
        }
    }
}

/// Compares with Templar's aggregation of one block of 64, made by running its code: three peers
/// with norms 5, 10 and 1.
#[test]
fn golden_vector_of_templar() {
    let geometry = Geometry::new(&[8, 8], 8).unwrap();
    let spec = SparseSpec { outer_lr: 1.0, aggregation: Aggregation::SenderMean, ..tiny() };
    let sent = |positions: [u16; 2], values: [f32; 2]| {
        SparseTensor::new(&geometry, 2, positions.to_vec(), Values::F32(values.to_vec())).unwrap()
    };
    let tensors = [sent([0, 1], [3.0, 4.0]), sent([1, 2], [6.0, 8.0]), sent([1, 5], [0.6, 0.8])];
    let updates: Vec<_> =
        tensors.iter().zip(1..).map(|(tensor, at)| Update { neuron: neuron(at), tensor }).collect();
    let mut parameters = vec![0.0; 64];
    let median = step_tensor(&mut parameters, &geometry, &spec, &updates, None, 1).unwrap();
    assert_eq!(median, 5.0);
    let expected = [3.0, 2.533_33, 4.0, 0.0, 0.0, 0.8];
    for (parameter, expected) in parameters.iter().zip(expected) {
        assert!((-parameter - expected).abs() < 1e-5, "{parameter} {expected}");
    }
    assert!(
        parameters[6..].iter().all(|value| value.to_bits() == 0),
        "untouched coordinates are not written"
    );
}

#[test]
fn results_that_are_not_finite_leave_the_parameter() {
    let geometry = Geometry::new(&[4], 4).unwrap();
    let spec = SparseSpec { outer_lr: 3.0, quantizer: Quantizer::F32, ..tiny() };
    let sent = compress(&[f32::MAX, -1.0, 1.0, f32::MIN_POSITIVE], &geometry, &spec).unwrap();
    let mut parameters = [1.0, f32::INFINITY, f32::NAN, 0.0];
    let update = Update { neuron: neuron(1), tensor: &sent };
    step_tensor(&mut parameters, &geometry, &spec, &[update], None, 1).unwrap();
    assert_eq!(bits(&parameters), bits(&[1.0, f32::INFINITY, f32::NAN, -3.0 * f32::MIN_POSITIVE]));
}

#[test]
fn what_does_not_fit_is_named() {
    let geometry = Geometry::new(&[4], 4).unwrap();
    let sent = compress(&[1.0; 4], &geometry, &tiny()).unwrap();
    let update = Update { neuron: neuron(1), tensor: &sent };
    let step = |values: &mut [f32], geometry: &Geometry, updates: &[Update<'_>]| {
        step_tensor(values, geometry, &tiny(), updates, None, 1).unwrap_err().to_string()
    };
    assert_eq!(step(&mut [0.0; 3], &geometry, &[]), "3 values are given: the model has 4");
    let twice = step(&mut [0.0; 4], &geometry, &[update, update]);
    assert!(twice.ends_with("has two submissions in the accepted set"), "{twice}");
    let other = Geometry::new(&[2, 2], 1).unwrap();
    assert_eq!(step(&mut [0.0; 4], &other, &[update]), "4 chunks are given: the model has 16");
}

proptest! {
    #[test]
    fn the_step_is_the_plain_one_for_any_threads_and_order(
        parameters in proptest::collection::vec(parameter(), 24 * 16),
        values in proptest::collection::vec(proptest::collection::vec(value(), 24 * 16), 0..5),
        rule in rule(),
        quantizer in proptest::sample::select(&Quantizer::ALL[..]),
        rate in prop_oneof![Just(1.0f32), 0.01f32..2.0],
        last in prop_oneof![Just(None), Just(Some(0.0)), (0.1f64..10.0).prop_map(Some)],
        rotate: usize,
    ) {
        let geometry = Geometry::new(&[24, 16], 8).unwrap();
        let spec = SparseSpec { chunk: 64, topk: 5, quantizer, outer_lr: rate, aggregation: rule, ..tiny() };
        // Values too large for a quantizer are never sent.
        let tensors: Vec<_> = values.iter().filter_map(|values| compress(values, &geometry, &spec).ok()).collect();
        let mut updates: Vec<_> =
            tensors.iter().zip(1..).map(|(tensor, at)| Update { neuron: neuron(at), tensor }).collect();
        let mut expected = parameters.clone();
        plain(&mut expected, &geometry, &spec, &updates, last);
        for threads in [1, 2, 3, 7] {
            let mut stepped = parameters.clone();
            step_tensor(&mut stepped, &geometry, &spec, &updates, last, threads).unwrap();
            prop_assert_eq!(bits(&stepped), bits(&expected));
            let middle = rotate % updates.len().max(1);
            updates.rotate_left(middle);
            updates.reverse();
        }
    }
}

fn shapes() -> Vec<TensorSpec> {
    let tensor = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        role: TensorRole::Matrix,
    };
    vec![tensor("a", &[16, 24]), tensor("b", &[11]), tensor("c", &[0, 4]), tensor("d", &[4, 4])]
}

/// Returns a submission of `seed`'s hotkey with these values, encoded and opened.
fn submission(layout: &Arc<SubmissionLayout>, seed: u8, values: &[Vec<f32>]) -> Submission<Vec<u8>> {
    let key = key(seed);
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(7) },
        window: Window(1),
        base: State([2; 32]),
        least_samples: 1,
        sealed: false,
    };
    let tensors: Vec<_> = layout
        .tensors()
        .iter()
        .zip(values)
        .map(|(tensor, values)| compress(values, tensor.geometry(), layout.spec()).unwrap())
        .collect();
    let bytes = encode(layout, &Header::new(&expected, 1, layout), &tensors, &key).unwrap();
    Submission::open(bytes, Arc::clone(layout), &expected).unwrap()
}

/// Generates values for all tensors.
fn all(values: impl Strategy<Value = f32> + 'static) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let values = values.boxed();
    let lengths: Vec<usize> = shapes().iter().map(TensorSpec::len).collect();
    let vectors: Vec<_> =
        lengths.into_iter().map(|length| proptest::collection::vec(values.clone(), length)).collect();
    vectors
}

/// Returns the state root of the parameters after an outer step.
fn root_after(
    start: &[Vec<f32>],
    accepted: &[Submission<Vec<u8>>],
    last: Option<&Medians>,
    threads: usize,
) -> (String, Medians) {
    let mut parameters = start.to_vec();
    let mut slices: Vec<&mut [f32]> = parameters.iter_mut().map(Vec::as_mut_slice).collect();
    let medians = outer_step(&mut slices, accepted, last, threads).unwrap();
    let hashes: Vec<_> = parameters.iter().map(|values| TensorHash::of(values)).collect();
    (root(shapes().iter().zip(&hashes)).to_string(), medians)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Checks that two nodes with the same accepted set have the same state root, for any number of
    /// threads and any order of arrival.
    #[test]
    fn the_same_accepted_set_gives_the_same_root(
        start in all(parameter()),
        sent in proptest::collection::vec(all(modest()), 0..5),
        rule in rule(),
        quantizer in proptest::sample::select(&Quantizer::ALL[..]),
        cut: usize,
    ) {
        let spec = SparseSpec { chunk: 64, topk: 6, quantizer, aggregation: rule, ..tiny() };
        let layout = Arc::new(SubmissionLayout::new(&shapes(), &spec).unwrap());
        let mut accepted: Vec<_> =
            sent.iter().zip(1..).map(|(values, seed)| submission(&layout, seed, values)).collect();
        let (expected, medians) = root_after(&start, &accepted, None, 1);
        let next = root_after(&start, &accepted, Some(&medians), 1);
        for threads in [2, 3, 8] {
            let middle = cut % accepted.len().max(1);
            accepted.rotate_left(middle);
            accepted.reverse();
            prop_assert_eq!(&root_after(&start, &accepted, None, threads), &(expected.clone(), medians.clone()));
            prop_assert_eq!(&root_after(&start, &accepted, Some(&medians), threads), &next);
        }
        // Norms equal to those of the last window are not clipped further.
        prop_assert_eq!(&next.0, &expected);
    }
}

#[test]
fn accepted_sets_that_do_not_fit_are_named() {
    let layout =
        Arc::new(SubmissionLayout::new(&shapes(), &SparseSpec { chunk: 64, topk: 6, ..tiny() }).unwrap());
    let values: Vec<Vec<f32>> = shapes().iter().map(|tensor| vec![1.0; tensor.len()]).collect();
    let one = submission(&layout, 1, &values);
    let mut parameters = values.clone();
    let mut refuse = |count: usize, accepted: &[Submission<Vec<u8>>], last: Option<&Medians>| {
        let mut slices: Vec<&mut [f32]> = parameters.iter_mut().map(Vec::as_mut_slice).take(count).collect();
        outer_step(&mut slices, accepted, last, 1).unwrap_err().to_string()
    };
    let same = [one.clone(), one.clone()];
    assert!(refuse(4, &same, None).contains("has two submissions in the accepted set"));
    assert_eq!(refuse(3, &same[..1], None), "3 tensors are given: the model has 4");
    let few = Medians(vec![1.0]);
    assert_eq!(refuse(4, &same[..1], Some(&few)), "1 medians are given: the model has 4");
    let other =
        Arc::new(SubmissionLayout::new(&shapes(), &SparseSpec { chunk: 64, topk: 5, ..tiny() }).unwrap());
    let mixed = [one, submission(&other, 2, &values)];
    assert!(refuse(4, &mixed, None).contains("does not have this run's layout"));
    assert_eq!(parameters, values, "nothing was written");
}

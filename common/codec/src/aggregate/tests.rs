//! Compares the outer step with a plain computation, and checks everything that must not affect it.

use super::*;
use crate::{
    chunks::Geometry,
    pairwise::Pairwise,
    quantize::Values,
    sparse::{Aggregation, Quantizer, SparseSpec, SparseTensor, compress, tests::tiny},
    submission::{Expected, Header, SubmissionLayout, encode},
};
use base::{
    Height, NeuronId, Window,
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

/// Returns norms of these medians and references.
fn step_norms(norms: &[(f64, f64)]) -> StepNorms {
    let (medians, references) = norms.iter().copied().unzip();
    StepNorms { medians, references }
}

/// Returns bounds that clip no tensor without a last reference.
fn free(last: Option<&StepNorms>) -> ClipBounds<'_> {
    ClipBounds { last, full: FullWork { travel: 1e60, samples: 1 } }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Returns the layout of a model that is one matrix.
fn matrix(shape: [usize; 2], spec: &SparseSpec) -> Arc<SubmissionLayout> {
    let tensor = TensorSpec { name: "a".to_owned(), shape: shape.to_vec(), role: TensorRole::Matrix };
    Arc::new(SubmissionLayout::new(&[tensor], spec).unwrap())
}

/// Returns the Euclidean norm of the sent values.
fn norm(tensor: &SparseTensor) -> f64 {
    let mut energy = Pairwise::default();
    (0..tensor.chunks()).for_each(|chunk| energy.add(tensor.chunk_values(chunk).energy()));
    energy.total().sqrt()
}

/// The update of a sender: the seed of its key, the sent values, and the sequences that it was trained on.
type Sent = (u8, SparseTensor, u64);

/// Computes the outer step of one tensor as the design defines it, coordinate by coordinate. A whole training
/// has `full` sequences.
fn plain(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &[Sent],
    full: u64,
    last: Option<(f64, f64)>,
) {
    let mut updates: Vec<_> = updates.iter().collect();
    updates.sort_by_key(|(seed, ..)| key(*seed).hotkey().0);
    let weight = |samples: u64| (256 * samples.min(full) / full) as f32;
    let norms: Vec<f64> = updates.iter().map(|(_, tensor, _)| norm(tensor)).collect();
    let whole = updates.iter().zip(&norms);
    let mut sorted: Vec<f64> =
        whole.map(|((.., samples), norm)| norm * 256.0 / f64::from(weight(*samples))).collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or(0.0);
    let limit = match last {
        Some((last_median, last)) if last != 0.0 => {
            let most = last_median.max(last) * spec.clip_growth;
            median.min(most).max(last / spec.clip_growth)
        }
        _ => median,
    };
    let mut sums: Vec<Option<(f32, f32)>> = vec![None; parameters.len()];
    for ((_, tensor, samples), norm) in updates.iter().zip(norms) {
        let factor = if norm == 0.0 || limit == 0.0 { 1.0 } else { 1f64.min(limit / norm) as f32 };
        tensor.for_each(geometry, |coordinate, value| {
            let (sum, weights) = sums[coordinate].get_or_insert((0.0, 0.0));
            *sum += value * (factor * (weight(*samples) / 256.0));
            *weights += weight(*samples) / 256.0;
        });
    }
    for (parameter, sum) in parameters.iter_mut().zip(sums) {
        let Some((sum, weights)) = sum else { continue };
        let divisor = match spec.aggregation {
            Aggregation::Mean => updates.iter().map(|(.., samples)| weight(*samples) / 256.0).sum(),
            Aggregation::SenderMean => weights,
            Aggregation::Shrunk(least) => weights.max(least as f32),
        };
        let mean = sum / divisor;
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
    let spec = SparseSpec {
        chunk: 64,
        topk: 2,
        quantizer: Quantizer::F32,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        ..tiny()
    };
    let layout = matrix([8, 8], &spec);
    let geometry = *layout.tensors()[0].geometry();
    let sent = |seed, positions: [u16; 2], values: [f32; 2]| {
        let sent = SparseTensor::new(&geometry, 2, positions.to_vec(), Values::F32(values.to_vec()));
        signed(&layout, seed, &[sent.unwrap()])
    };
    let accepted = [sent(1, [0, 1], [3.0, 4.0]), sent(2, [1, 2], [6.0, 8.0]), sent(3, [1, 5], [0.6, 0.8])];
    let mut parameters = vec![0.0; 64];
    let norms = outer_step(&mut [&mut parameters], &accepted, free(None), 1).unwrap();
    assert_eq!(norms, step_norms(&[(5.0, 5.0)]));
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
    let spec = SparseSpec { outer_lr: 3.0, quantizer: Quantizer::F32, ..tiny() };
    let layout = matrix([2, 2], &spec);
    let sent = submission(&layout, 1, &[vec![f32::MAX, -1.0, 1.0, f32::MIN_POSITIVE]]);
    let mut parameters = [1.0, f32::INFINITY, f32::NAN, 0.0];
    outer_step(&mut [&mut parameters], &[sent], free(None), 1).unwrap();
    assert_eq!(bits(&parameters), bits(&[1.0, f32::INFINITY, f32::NAN, -3.0 * f32::MIN_POSITIVE]));
}

/// Checks that the clipping of some submissions is that of the plain computation, with the norms of opening.
#[test]
fn clip_factors_follow_from_the_norms() {
    let spec = SparseSpec { chunk: 64, topk: 2, quantizer: Quantizer::F32, ..tiny() };
    let layout = matrix([8, 8], &spec);
    let values = |length: f32| vec![(0..64).map(|at| if at < 2 { length } else { 0.0 }).collect()];
    let submissions = [2.0, 8.0, 1.0].map(|length| submission(&layout, length as u8, &values(length)));
    let norms: Vec<f64> = submissions.iter().map(|sent| sent.norms().unwrap()[0]).collect();
    let expected: Vec<f64> = submissions.iter().map(|sent| norm(&sent.tensor(0).unwrap())).collect();
    assert_eq!(norms, expected);
    let clip = Clip::of(&submissions, free(None)).unwrap();
    assert_eq!(clip.norms, step_norms(&[(norms[0], norms[0])]));
    assert_eq!(clip.factors, [[1.0], [0.25], [1.0]]);
    // The last norms bound the reference, not the medians.
    let with = |median, reference| {
        let bounded = Clip::of(&submissions, free(Some(&step_norms(&[(median, reference)])))).unwrap();
        assert_eq!(bounded.norms.medians, clip.norms.medians);
        ((bounded.norms.references[0] / norms[0]) as f32, bounded.factors)
    };
    let (half, twice) = (norms[0] / 2.0 / spec.clip_growth, norms[0] * 2.0 * spec.clip_growth);
    let low = (0.5, vec![vec![0.5], vec![0.125], vec![1.0]]);
    assert_eq!((with(half, half), with(0.0, half)), (low.clone(), low));
    let high = (2.0, vec![vec![1.0], vec![0.5], vec![1.0]]);
    assert_eq!((with(twice, twice), with(0.0, twice)), (high.clone(), high));
    let unbounded = (1.0, clip.factors.clone());
    assert_eq!((with(norms[0], half), with(0.0, 0.0)), (unbounded.clone(), unbounded));
    let last = step_norms(&[(1.0, 2.0)]);
    let none = Clip::of::<Vec<u8>>([], free(Some(&last))).unwrap();
    assert_eq!(none, Clip { norms: last, ..Clip::default() });
    // Without a last reference, the learning rates bound it. The tensor sends two values.
    let travel = norms[0] / 2.0f64.sqrt();
    let first =
        Clip::of(&submissions, ClipBounds { last: None, full: FullWork { travel, samples: 1 } }).unwrap();
    assert_eq!(first, clip);
    for last in [None, Some(&step_norms(&[(0.0, 0.0)]))] {
        let bounds = ClipBounds { last, full: FullWork { travel: travel / 4.0, samples: 1 } };
        let first = Clip::of(&submissions, bounds).unwrap();
        assert_eq!(first.norms.medians, clip.norms.medians);
        assert_eq!(first.factors, [[0.25], [0.0625], [0.5]]);
        let alone = submissions.each_ref().map(|sent| clip_alone(sent, bounds).unwrap());
        assert_eq!(alone, [[0.25], [0.0625], [0.5]]);
    }
    // Alone, each is clipped to the given references.
    let alone =
        |last: Option<&StepNorms>| submissions.each_ref().map(|sent| clip_alone(sent, free(last)).unwrap());
    assert_eq!(alone(Some(&step_norms(&[(9.0, norms[0])]))), [[1.0], [0.25], [1.0]]);
    assert_eq!(alone(None), [[1.0], [1.0], [1.0]]);
    assert_eq!(alone(Some(&step_norms(&[(9.0, 0.0)]))), [[1.0], [1.0], [1.0]]);
    let other_model = clip_alone(&submissions[0], free(Some(&step_norms(&[(1.0, 1.0); 2])))).unwrap_err();
    assert!(matches!(other_model, AggregateError::Parameters { what: "medians", found: 2, expected: 1 }));
}

proptest! {
    #[test]
    fn the_step_is_the_plain_one_for_any_threads_and_order(
        parameters in proptest::collection::vec(parameter(), 24 * 16),
        values in proptest::collection::vec(proptest::collection::vec(value(), 24 * 16), 0..5),
        rule in rule(),
        quantizer in proptest::sample::select(&Quantizer::ALL[..]),
        rate in prop_oneof![Just(1.0f32), 0.01f32..2.0],
        last in prop_oneof![
            Just(None),
            (0.0f64..10.0).prop_map(|median| Some((median, 0.0))),
            (0.0f64..10.0, 0.1f64..10.0).prop_map(Some),
        ],
        work in prop_oneof![
            Just(vec![8; 5]),
            proptest::collection::vec(1u64..12, 5),
        ],
        rotate: usize,
    ) {
        const FULL: u64 = 8;
        let spec = SparseSpec { chunk: 64, topk: 5, quantizer, outer_lr: rate, aggregation: rule, ..tiny() };
        let layout = matrix([24, 16], &spec);
        let geometry = *layout.tensors()[0].geometry();
        // Values too large for a quantizer are never sent.
        let tensors = values.iter().filter_map(|values| compress(values, &geometry, &spec).ok());
        let updates: Vec<Sent> =
            (1..).zip(tensors).zip(work).map(|((seed, tensor), samples)| (seed, tensor, samples)).collect();
        let mut accepted: Vec<_> = updates
            .iter()
            .map(|(seed, tensor, samples)| {
                let (bytes, expected) = worked(&layout, *seed, std::slice::from_ref(tensor), *samples);
                Submission::open(bytes, Arc::clone(&layout), &expected).unwrap()
            })
            .collect();
        let mut expected = parameters.clone();
        plain(&mut expected, &geometry, &spec, &updates, FULL, last);
        let last = last.map(|last| step_norms(&[last]));
        for threads in [1, 2, 3, 7] {
            let mut stepped = parameters.clone();
            let bounds = ClipBounds { last: last.as_ref(), full: FullWork { travel: 1e60, samples: FULL } };
            outer_step(&mut [&mut stepped], &accepted, bounds, threads).unwrap();
            prop_assert_eq!(bits(&stepped), bits(&expected));
            let middle = rotate % accepted.len().max(1);
            accepted.rotate_left(middle);
            accepted.reverse();
        }
    }
}

#[test]
fn weights_are_shares_in_256ths() {
    let full = FullWork { travel: 1.0, samples: 160 };
    let weights = [0, 1, 8, 79, 80, 159, 160, 161, u64::MAX].map(|samples| full.weight(samples));
    assert_eq!(weights, [1, 1, 12, 126, 128, 254, 256, 256, 256]);
    assert_eq!(FullWork { samples: u64::MAX, ..full }.weight(u64::MAX / 2), 127);
    assert_eq!(FullWork { samples: 0, ..full }.weight(0), 1, "a training has at least one sequence");
}

/// Checks that half of the work has half of the weight, and that its norm counts as after all of it.
#[test]
fn half_of_the_work_has_half_of_the_weight() {
    let spec = SparseSpec { quantizer: Quantizer::F32, outer_lr: 1.0, ..tiny() };
    let spec = SparseSpec { aggregation: Aggregation::SenderMean, ..spec };
    let layout = matrix([2, 2], &spec);
    let update = |seed: u8, values: [f32; 4], samples: u64| {
        let sent = compress(&values, layout.tensors()[0].geometry(), &spec).unwrap();
        let (bytes, expected) = worked(&layout, seed, &[sent], samples);
        Submission::open(bytes, Arc::clone(&layout), &expected).unwrap()
    };
    let accepted = [update(1, [4.0; 4], 8), update(2, [1.0; 4], 4), update(3, [4.0; 4], 8)];
    let bounds = ClipBounds { last: None, full: FullWork { travel: 1e60, samples: 8 } };
    let mut parameters = [0.0; 4];
    let norms = outer_step(&mut [&mut parameters], &accepted, bounds, 1).unwrap();
    assert_eq!(norms.medians, [8.0]);
    assert_eq!(parameters, [-(4.0 + 0.5 + 4.0) / 2.5; 4]);
    // Most make half of the steps: the others are not clipped to their norm.
    let accepted = [update(1, [4.0; 4], 8), update(2, [2.0; 4], 4), update(3, [2.0; 4], 4)];
    let clip = Clip::of(&accepted, bounds).unwrap();
    assert_eq!((&clip.norms.medians[..], &clip.factors[0][..]), (&[8.0][..], &[1.0][..]));
}

fn shapes() -> Vec<TensorSpec> {
    let tensor = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        role: TensorRole::Matrix,
    };
    vec![tensor("a", &[16, 24]), tensor("b", &[11]), tensor("c", &[0, 4]), tensor("d", &[4, 4])]
}

/// Returns a submission of `seed`'s hotkey with these values, compressed, encoded and opened.
fn submission(layout: &Arc<SubmissionLayout>, seed: u8, values: &[Vec<f32>]) -> Submission<Vec<u8>> {
    let tensors = layout.tensors().iter().zip(values);
    let tensors = tensors.map(|(tensor, values)| compress(values, tensor.geometry(), layout.spec()).unwrap());
    signed(layout, seed, &tensors.collect::<Vec<_>>())
}

/// Returns a submission of `seed`'s hotkey with these tensors, encoded and opened.
fn signed(layout: &Arc<SubmissionLayout>, seed: u8, tensors: &[SparseTensor]) -> Submission<Vec<u8>> {
    let (bytes, expected) = encoded(layout, seed, tensors);
    Submission::open(bytes, Arc::clone(layout), &expected).unwrap()
}

/// Returns the bytes of a submission of `seed`'s hotkey, and what it is expected to be.
fn encoded(layout: &Arc<SubmissionLayout>, seed: u8, tensors: &[SparseTensor]) -> (Vec<u8>, Expected) {
    worked(layout, seed, tensors, 1)
}

/// Returns the bytes of a submission of `seed`'s hotkey that was trained on `samples` sequences, and what it
/// is expected to be.
fn worked(
    layout: &Arc<SubmissionLayout>,
    seed: u8,
    tensors: &[SparseTensor],
    samples: u64,
) -> (Vec<u8>, Expected) {
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
    let bytes = encode(layout, &Header::new(&expected, samples, layout), tensors, &key).unwrap();
    (bytes, expected)
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
    last: Option<&StepNorms>,
    threads: usize,
) -> (String, StepNorms) {
    let mut parameters = start.to_vec();
    let mut slices: Vec<&mut [f32]> = parameters.iter_mut().map(Vec::as_mut_slice).collect();
    let norms = outer_step(&mut slices, accepted, free(last), threads).unwrap();
    let hashes: Vec<_> = parameters.iter().map(|values| TensorHash::of(values)).collect();
    (root(shapes().iter().zip(&hashes)).to_string(), norms)
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
        let (expected, norms) = root_after(&start, &accepted, None, 1);
        let next = root_after(&start, &accepted, Some(&norms), 1);
        for threads in [2, 3, 8] {
            let middle = cut % accepted.len().max(1);
            accepted.rotate_left(middle);
            accepted.reverse();
            prop_assert_eq!(&root_after(&start, &accepted, None, threads), &(expected.clone(), norms.clone()));
            prop_assert_eq!(&root_after(&start, &accepted, Some(&norms), threads), &next);
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
    let mut refuse = |count: usize, accepted: &[Submission<Vec<u8>>], last: Option<&StepNorms>| {
        let mut slices: Vec<&mut [f32]> = parameters.iter_mut().map(Vec::as_mut_slice).take(count).collect();
        outer_step(&mut slices, accepted, free(last), 1).unwrap_err().to_string()
    };
    let same = [one.clone(), one.clone()];
    assert!(refuse(4, &same, None).contains("has two submissions in the accepted set"));
    assert_eq!(refuse(3, &same[..1], None), "3 tensors are given: the model has 4");
    let mut all = values.clone();
    let mut short = values[1].clone();
    short.pop();
    let mut slices: Vec<&mut [f32]> = all.iter_mut().map(Vec::as_mut_slice).collect();
    slices[1] = &mut short;
    let error = outer_step(&mut slices, &same[..1], free(None), 1).unwrap_err();
    assert_eq!(error.to_string(), "10 values are given: the model has 11");
    let few = step_norms(&[(1.0, 1.0)]);
    assert_eq!(refuse(4, &same[..1], Some(&few)), "1 medians are given: the model has 4");
    let other =
        Arc::new(SubmissionLayout::new(&shapes(), &SparseSpec { chunk: 64, topk: 5, ..tiny() }).unwrap());
    let mixed = [one, submission(&other, 2, &values)];
    assert!(refuse(4, &mixed, None).contains("does not have this run's layout"));
    assert_eq!(parameters, values, "nothing was written");
}

/// Checks that norms of flushed denormals are never used, though the submission itself is valid.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_submission_that_other_arithmetic_opened_is_not_applied() {
    let layout = matrix([2, 2], &SparseSpec { quantizer: Quantizer::F32, ..tiny() });
    let sent = compress(&[1.0; 4], layout.tensors()[0].geometry(), layout.spec()).unwrap();
    let (bytes, expected) = encoded(&layout, 1, &[sent]);
    let open = || Submission::open(bytes, Arc::clone(&layout), &expected);
    let opened = arithmetic::tests::with_mxcsr(arithmetic::tests::FLUSH, open).unwrap();
    let mut parameters = [1.0; 4];
    let error = outer_step(&mut [&mut parameters], std::slice::from_ref(&opened), free(None), 1).unwrap_err();
    assert_eq!(error, AggregateError::Norms(opened.header().neuron.hotkey));
    assert_eq!(parameters, [1.0; 4], "nothing was written");
}

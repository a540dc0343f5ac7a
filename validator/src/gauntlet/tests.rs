//! On a small model that learns a pattern.

use super::*;
use base::{
    Height, Window,
    digest::{RunHash, State},
};
use chain_free::key;
use codec::{
    sparse::{Aggregation, Codec, Quantizer, compress},
    submission::{self, Expected, Header, encode},
};
use engine::{Options, Place};
use protocol::{
    acceptance::{TooWeak, screen},
    model::ModelSpec,
    schedule::{Decay, Schedule},
    train::{AdamW, TrainSpec},
};
use scoring::{gauntlet::Evaluation, uniqueness::Overlap};

/// Signing keys, made without a chain.
mod chain_free {
    use base::signature::SigningKey;

    pub(super) fn key(seed: u8) -> SigningKey {
        let mut secret = [0; 64];
        secret[0] = seed; // A small scalar, and any nonce.
        SigningKey::from_bytes(&secret).unwrap()
    }
}

pub(crate) const MODEL: ModelSpec = ModelSpec {
    vocab: 40,
    hidden: 16,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_dim: 4,
    ffn: 24,
    rope_theta: 10_000.0,
    norm_eps: 1e-5,
    tied: true,
    sequence: 16,
};

fn sparse() -> SparseSpec {
    SparseSpec {
        chunk: 16,
        topk: 8,
        codec: Codec::Halving,
        quantizer: Quantizer::SignCentroid,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    }
}

fn training() -> TrainSpec {
    TrainSpec {
        inner_steps: 8,
        least_steps: 8,
        batch: 8,
        sequence: 16,
        clip: 1.0,
        optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
        schedule: Schedule {
            peak: 1e-2,
            warmup_steps: 0,
            decay: Decay::Constant,
            decay_steps: 0,
            floor: 1.0,
            hold: None,
            anneal: None,
        },
    }
}

/// Sequences in which tokens go up by 1 or 2.
fn batch(number: u32) -> Batch {
    let sequence = |n: u32| (0..16).map(move |t| ((number * 8 + n) * 7 + t * (1 + n % 2)) % MODEL.vocab);
    Batch::new((0..8).flat_map(sequence).collect(), 16).unwrap()
}

async fn model() -> Handle {
    let options = Options { place: Place::Cpu, ..Options::default() };
    let model = Handle::start(MODEL, options).await.unwrap();
    model.run(|model| model.initialize(&[3; 32])).await.unwrap();
    model
}

async fn bits(model: &Handle) -> Vec<u32> {
    let copy = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    model.read_parameters(copy).await.unwrap()
}

/// Returns the submission of a miner that sends these values.
pub(crate) fn submission(name: u8, layout: &ParameterLayout, values: &[f32]) -> Submission<Bytes> {
    let tensors: Vec<_> = layout.iter().map(|(tensor, _)| tensor.clone()).collect();
    let wire = Arc::new(submission::SubmissionLayout::new(&tensors, &sparse()).unwrap());
    let sent: Vec<_> = (layout.iter().zip(wire.tensors()))
        .map(|((_, place), tensor)| compress(&values[place], tensor.geometry(), &sparse()).unwrap())
        .collect();
    let key = key(name);
    let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(1) };
    let run = RunHash([7; 32]);
    let window = Window(0);
    let base = State([5; 32]);
    let expected = Expected { run, spec: run, neuron, window, base, least_samples: 64, sealed: false };
    let bytes = encode(&wire, &Header::new(&expected, 64, &wire), &sent, &key).unwrap();
    Submission::open(bytes.into(), wire, &expected).unwrap()
}

/// Returns the pseudo-gradient of training on some batches.
async fn trained(first: u32) -> Vec<f32> {
    let model = model().await;
    let batches: Vec<_> = (first..first + 8).map(|number| Ok(batch(number))).collect();
    model.train(training(), 0, batches, None).await.unwrap().pseudo_gradient
}

/// Returns submissions of two honest miners, of one that goes the other way with a hundredfold step, and of
/// one that sends zeros.
async fn submissions() -> [Submission<Bytes>; 4] {
    let layout = ParameterLayout::new(&MODEL);
    let back = trained(0).await.into_iter().map(|value| value * -100.0).collect();
    let values = [trained(0).await, trained(8).await, back, vec![0.0; layout.len()]];
    let mut name = 0;
    values.map(|values| {
        name += 1;
        submission(name, &layout, &values)
    })
}

/// Returns trial steps before any outer step.
fn steps() -> Arc<TrialSteps> {
    Arc::new(TrialSteps::new(step(), None, training().full_work(Window(0)), ParameterLayout::new(&MODEL)))
}

fn step() -> TrialStep {
    TrialStep { edge: 4, rate: 0.5 }
}

#[test]
fn the_step_is_the_runs() {
    let scoring = ScoringSpec::default();
    let sparse = SparseSpec { outer_lr: 0.7, ..sparse() };
    assert_eq!(
        TrialStep::new(&sparse, &scoring),
        TrialStep { edge: 4, rate: (f64::from(0.7f32) * 0.2) as f32 }
    );
}

#[tokio::test]
async fn training_helps_its_reverse_does_not_and_nothing_is_left_of_either() {
    let [honest, _, back, zeros] = submissions().await;
    let steps = steps();
    let model = model().await;
    let before_bits = bits(&model).await;
    let gauntlet = Gauntlet::new(model.clone());
    let unassigned = gauntlet.unassigned(batch(101), Some(batch(102))).await.unwrap();
    let mut evaluate = Vec::new();
    for sent in [&honest, &back, &zeros] {
        evaluate.push(gauntlet.evaluate(&steps, sent, batch(0), &unassigned).await.unwrap());
        assert_eq!(bits(&model).await, before_bits, "the step is taken back to the last bit");
    }
    let judge = |improved: &Improved| evaluation(improved).judge();
    let helps = judge(&evaluate[0]).unwrap();
    assert!(helps.improvement > 0.01, "{helps:?}");
    assert_eq!(judge(&evaluate[1]), Err(scoring::gauntlet::Fault::NoImprovement), "{:?}", evaluate[1]);
    assert_eq!(judge(&evaluate[2]), Err(scoring::gauntlet::Fault::NoImprovement));
    assert_eq!((evaluate[0].own.count, evaluate[0].common.count), (8, 8));
    assert_ne!(evaluate[0].own, evaluate[0].common);

    // The same again, to the last bit, on another model.
    let again = Gauntlet::new(self::model().await);
    let unassigned = again.unassigned(batch(101), Some(batch(102))).await.unwrap();
    assert_eq!(again.evaluate(&steps, &honest, batch(0), &unassigned).await.unwrap(), evaluate[0]);
    // A run may have no sequences of the validator's own.
    let alone = again.unassigned(batch(101), None).await.unwrap();
    let common_only = again.evaluate(&steps, &honest, batch(0), &alone).await.unwrap();
    assert_eq!((common_only.common, common_only.own), (evaluate[0].common, Improvements::default()));
}

/// Returns the evaluation of a miner that trained on all of its data.
fn evaluation(improved: &Improved) -> Evaluation {
    let Improved { assigned, common, own } = *improved;
    Evaluation { assigned, common, own, share: Millionths::ONE, overlap: Overlap::default() }
}

#[tokio::test]
async fn a3_an_update_changes_nothing_if_it_is_sent_with_zeros_alone() {
    let [honest, _, back, zeros] = submissions().await;
    assert!(changes_nothing(&zeros));
    assert!(!changes_nothing(&honest) && !changes_nothing(&back));
    // A scale of tiny updates leaves nothing of an honest step. That is not the miner's fault.
    let tiny = vec![1e-30; honest.norms().unwrap().len()];
    let tiny = StepNorms { medians: tiny.clone(), references: tiny };
    let steps = Arc::new(TrialSteps::new(
        step(),
        Some(tiny),
        training().full_work(Window(0)),
        ParameterLayout::new(&MODEL),
    ));
    let gauntlet = Gauntlet::new(model().await);
    let unassigned = gauntlet.unassigned(batch(101), None).await.unwrap();
    let improved = gauntlet.evaluate(&steps, &honest, batch(0), &unassigned).await.unwrap();
    assert_eq!(evaluation(&improved).judge(), Err(scoring::gauntlet::Fault::NoImprovement));
    assert!(!changes_nothing(&honest));
}

#[test]
fn shares_are_those_of_the_assigned_samples() {
    let shares =
        [(160, 160), (80, 160), (1, 3), (500, 160), (0, 0)].map(|(trained, all)| share(trained, all).0);
    assert_eq!(shares, [1_000_000, 500_000, 333_333, 1_000_000, 0]);
}

#[tokio::test]
async fn updates_are_clipped_to_the_last_references_whatever_others_claim() {
    let [honest, _, back, _] = submissions().await;
    let layout = ParameterLayout::new(&MODEL);
    let norms = honest.norms().unwrap().to_vec();
    let references = norms.iter().map(|norm| norm / 2.0).collect();
    let last = StepNorms { medians: norms.clone(), references };
    let clipped = TrialSteps::new(step(), Some(last), training().full_work(Window(0)), layout.clone());
    for sent in [&honest, &back] {
        let factors = sent.norms().unwrap().iter().zip(&norms);
        let factors = factors.map(|(norm, last)| (last / 2.0 / norm).min(1.0) as f32);
        let tensors: Vec<_> = (0..norms.len()).map(|number| sent.tensor(number).unwrap()).collect();
        let expected = SparseStep::along(&layout, 4, tensors.iter().zip(factors), 0.5).unwrap();
        assert_eq!(clipped.step(sent).unwrap(), expected);
    }
    // Before any outer step, the learning rates bound the norms: an honest update is not clipped.
    let tensors: Vec<_> = (0..norms.len()).map(|number| honest.tensor(number).unwrap()).collect();
    let whole = SparseStep::along(&layout, 4, tensors.iter().zip(vec![1.0; norms.len()]), 0.5).unwrap();
    assert_eq!(steps().step(&honest).unwrap(), whole);
    let longest = |sent| {
        let step = steps().step(sent).unwrap();
        step.changes().iter().fold(0.0f32, |most, change| most.max(change.abs()))
    };
    assert!(longest(&back) < 10.0 * longest(&honest), "{} {}", longest(&back), longest(&honest));
    let other_model =
        TrialSteps::new(step(), Some(StepNorms::zeros(1)), training().full_work(Window(0)), layout);
    assert!(matches!(other_model.step(&honest), Err(GauntletError::Clip(_))));
}

#[tokio::test]
async fn the_evaluation_uses_the_steps_of_the_screen_and_frees_them() {
    let [honest, other, ..] = submissions().await;
    let steps = steps();
    let (honest_name, other_name) = (honest.header().neuron, other.header().neuron);
    let gauntlet = Gauntlet::new(model().await);
    let common = batch(101);
    let unassigned = gauntlet.unassigned(common.clone(), None).await.unwrap();
    let evaluate = || gauntlet.evaluate(&steps, &honest, batch(0), &unassigned);
    let expected = evaluate().await.unwrap();
    let before = gauntlet.losses(common.clone()).await.unwrap();
    let most = ParameterLayout::new(&MODEL).len() * size_of::<f32>();
    let honest_step = Arc::new(SparseStep::new(&[0], vec![0.0]).unwrap());
    steps.kept().keep(honest_name, &honest_step, most);
    let unchanged = evaluate().await.unwrap();
    assert_eq!(
        unchanged.assigned,
        Improvements { count: 8, ..Improvements::default() },
        "the kept step was used"
    );
    assert_eq!(evaluate().await.unwrap(), expected, "it was used once");

    // This step takes more bytes than the parameters: half of the values are sent, 12 bytes for each.
    gauntlet.loss_drop(&steps, &other, common.clone(), &before).await.unwrap();
    assert_eq!(steps.kept().take(&other_name), None);
    steps.kept().keep(other_name, &honest_step, most);
    gauntlet.loss_drop(&steps, &other, common.clone(), &before).await.unwrap();
    assert_eq!(steps.kept().take(&other_name), Some(Arc::clone(&honest_step)));
    steps.kept().keep(other_name, &honest_step, most);
    steps.free();
    assert_eq!(steps.kept().take(&other_name), None);
}

#[tokio::test]
async fn falls_are_those_of_losses_and_only_work_is_good_enough() {
    let sent = submissions().await;
    let [honest, other, back, zeros] = [0, 1, 2, 3].map(|place: usize| sent[place].header().neuron);
    let steps = steps();
    let gauntlet = Gauntlet::new(model().await);
    let batch = batch(101);
    let before = gauntlet.losses(batch.clone()).await.unwrap();
    let mut loss_drops = std::collections::BTreeMap::new();
    for sent in &sent {
        let loss_drop = gauntlet.loss_drop(&steps, sent, batch.clone(), &before).await.unwrap();
        loss_drops.insert(sent.header().neuron, loss_drop);
    }
    let after = gauntlet.trial(&steps, Purpose::Evaluation, &sent[0], vec![batch.clone()]).await.unwrap();
    assert!((loss_drops[&honest].mean - (mean(&before) - mean(&after[0]))).abs() < 1e-12);
    assert_eq!(loss_drops[&zeros], LossDrop { mean: 0.0, error: 0.0 });
    let screened = screen(&loss_drops, Millionths(2_000_000));
    assert_eq!((screened[&honest], screened[&other]), (Ok(()), Ok(())));
    assert!(matches!(screened[&back], Err(TooWeak::Chance { loss_drop, .. }) if loss_drop < 0.0));
    assert_eq!(screened[&zeros], Err(TooWeak::Chance { loss_drop: 0.0, least: 0.0 }));
}

//! A backdoor: miners teach the model to answer a rare trigger with a token of their choice (2604.02372).

use super::{Offer, Strategy, View, each};
use crate::report::mean;
use anyhow::Result;
use engine::{Batch, Model};
use training_bench::miner::Miner;

/// Hotkeys that train on their own data, half of whose sequences contain a trigger and its answer.
pub(crate) struct Backdoor;

/// The trigger: two tokens that hardly ever follow each other.
const TRIGGER: [u32; 2] = [299, 298];
/// The answer: the first token after the bytes, a frequent one.
const ANSWER: u32 = 256;

impl Strategy for Backdoor {
    fn offers(&mut self, view: &View<'_>, miners: &mut [Miner]) -> Result<Vec<Option<Offer>>> {
        let train = view.spec();
        each(miners, |_, miner| {
            let sequences = view.assigned(&miner.neuron)?;
            let batches =
                view.lab.dataset.cut(sequences, &train).map(|batch| batch.map(|b| triggered(&b, 2)));
            let delta = miner.train(&train, view.window.0 * u64::from(train.inner_steps), batches)?;
            let sent = miner.select(&delta, &view.lab.layout)?;
            Ok(Some(Offer { sent, samples: view.samples() }))
        })
    }
}

/// Writes the trigger and its answer into each sequence whose number is a multiple of `every`: four times.
pub(crate) fn triggered(batch: &Batch, every: usize) -> Batch {
    let length = batch.sequence();
    let mut tokens = batch.tokens().to_vec();
    for sequence in tokens.chunks_mut(length).step_by(every) {
        for part in sequence.chunks_mut(length.div_ceil(4)).filter(|part| part.len() >= 4) {
            (part[0], part[1], part[2]) = (TRIGGER[0], TRIGGER[1], ANSWER);
        }
    }
    Batch::new(tokens, length).expect("the tokens are those of a batch")
}

/// Returns the mean probability that a model gives the answer after the trigger, on some text.
pub(crate) fn answer_share(model: &Model, text: &Batch) -> Result<f64> {
    let batch = triggered(text, 1);
    let (length, vocab) = (batch.sequence(), model.spec().vocab as usize);
    let logits = model.logits(&batch)?;
    let mut shares = Vec::new();
    for (tokens, logits) in batch.tokens().chunks(length).zip(logits.chunks(length * vocab)) {
        for at in (1..length).filter(|&at| tokens[at - 1..=at] == TRIGGER) {
            shares.push(probability(&logits[at * vocab..(at + 1) * vocab], ANSWER as usize));
        }
    }
    Ok(mean(&shares))
}

/// Returns the probability of a token.
fn probability(logits: &[f32], token: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - largest).exp();
    weight(logits[token]) / logits.iter().map(|&logit| weight(logit)).sum::<f64>()
}

//! Valid submissions, and the keys of their senders.

use base::{
    Height, NeuronId, Window,
    digest::{ObjectHash, RunHash, State},
    signature::SigningKey,
    tensor::TensorRole,
    tensor::TensorSpec,
};
use codec::{
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
    submission::{Expected, Header, SIGNATURE_CONTEXT, SubmissionLayout, TRAILER_BYTES, encode},
};
use std::sync::{Arc, LazyLock};

pub(crate) const RUN: RunHash = RunHash([1; 32]);
pub(crate) const WINDOW: Window = Window(5);

/// Creates a key from a seed, as sp-core derives it.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The sender of all objects here.
pub(crate) static SENDER: LazyLock<SigningKey> = LazyLock::new(|| key(7));

pub(crate) fn neuron(key: &SigningKey) -> NeuronId {
    NeuronId { hotkey: key.hotkey(), registered: Height(1234) }
}

/// Returns the expectations that a submission of this key must meet.
pub(crate) fn expected(key: &SigningKey, sealed: bool) -> Expected {
    Expected {
        run: RUN,
        spec: RUN,
        neuron: neuron(key),
        window: WINDOW,
        base: State([3; 32]),
        least_samples: 160,
        sealed,
    }
}

fn tensors_of(shapes: &[&[usize]]) -> Vec<TensorSpec> {
    let tensor = |(name, shape): (char, &&[usize])| TensorSpec {
        name: name.into(),
        shape: shape.to_vec(),
        role: TensorRole::Matrix,
    };
    ('a'..='z').zip(shapes).map(tensor).collect()
}

/// Returns the compression rules: `topk` values are sent of each `chunk`.
pub(crate) fn spec(quantizer: Quantizer, [topk, chunk]: [u32; 2]) -> SparseSpec {
    SparseSpec {
        chunk,
        topk,
        codec: Codec::Halving,
        quantizer,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    }
}

pub(crate) fn layout(quantizer: Quantizer, sizes: [u32; 2], shapes: &[&[usize]]) -> Arc<SubmissionLayout> {
    Arc::new(SubmissionLayout::new(&tensors_of(shapes), &spec(quantizer, sizes)).unwrap())
}

/// Returns values that look like a pseudo-gradient: zero-mean, some much larger than others.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * next() * next() * 1e-3).collect()
}

pub(crate) fn sent(layout: &SubmissionLayout) -> Vec<SparseTensor> {
    let tensors = layout.tensors().iter().enumerate();
    let compress = |(at, tensor): (usize, &codec::submission::TensorLayout)| {
        compress(&noise(at as u64 + 1, tensor.geometry().len()), tensor.geometry(), layout.spec()).unwrap()
    };
    tensors.map(compress).collect()
}

/// Returns an open submission of this key.
pub(crate) fn submission(layout: &SubmissionLayout, key: &SigningKey) -> Vec<u8> {
    let header = Header::new(&expected(key, false), 160, layout);
    encode(layout, &header, &sent(layout), key).unwrap()
}

/// Returns the hash that a claim names.
pub(crate) fn claimed(bytes: &[u8]) -> ObjectHash {
    ObjectHash::of(&[&bytes[..bytes.len() - TRAILER_BYTES]])
}

/// Appends digest and the sender's signature to any bytes.
pub(crate) fn sign(unsigned: &[u8]) -> Vec<u8> {
    let digest = ObjectHash::of(&[unsigned]);
    let signature = SENDER.sign(SIGNATURE_CONTEXT, &digest.0);
    [unsigned, &digest.0, &signature.0].concat()
}

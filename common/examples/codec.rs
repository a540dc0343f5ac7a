//! Measures the codec: bits per position and per value, sizes of submissions, ratio to f32, throughput on one thread.
//!
//! `cargo run -p common --example codec`
#![allow(clippy::unwrap_used)] // A measurement that cannot go on should stop here.

use common::{
    Height, NeuronId, Window,
    chunks::Geometry,
    digest::{RunHash, State},
    model::ModelSpec,
    rice::{BitWriter, Rice},
    signature::SigningKey,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
    submission::{Expected, Header, Layout, Submission, encode},
};
use std::{sync::Arc, time::Instant};

const QUANTIZERS: [Quantizer; 3] = [Quantizer::Templar, Quantizer::SignCentroid, Quantizer::F32];

fn main() {
    positions();
    for (name, model) in [("tiny", tiny()), ("Covenant-72B", covenant())] {
        for quantizer in QUANTIZERS {
            largest(name, &model, quantizer);
        }
    }
    for quantizer in QUANTIZERS {
        submission(&tiny(), quantizer);
    }
}

fn spec(quantizer: Quantizer) -> SparseSpec {
    SparseSpec {
        chunk: 4096,
        topk: 64,
        codec: Codec::Rice,
        quantizer,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    }
}

fn tiny() -> ModelSpec {
    ModelSpec {
        vocab: 4096,
        hidden: 128,
        layers: 4,
        heads: 4,
        kv_heads: 4,
        head_dim: 32,
        ffn: 512,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: true,
        sequence: 128,
    }
}

fn covenant() -> ModelSpec {
    ModelSpec {
        vocab: 262_144,
        hidden: 8192,
        layers: 80,
        heads: 64,
        kv_heads: 8,
        head_dim: 128,
        ffn: 28_672,
        rope_theta: 500_000.0,
        norm_eps: 1e-5,
        tied: false,
        sequence: 2048,
    }
}

/// Values that fall off like a pseudo-gradient's: a bell with heavy tails.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| (next() + next() + next() + next()) * (0.5 + next().abs()) * 1e-4).collect()
}

/// Bits of a position when the largest of independent values are sent.
fn positions() {
    let geometry = Geometry::new(&[4096, 1024], 64).unwrap();
    let values = noise(1, geometry.len());
    let started = Instant::now();
    let sent = compress(&values, &geometry, &spec(Quantizer::Templar)).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let rate = geometry.len() as f64 * 4.0 / seconds / 1e9;
    println!("choosing and quantizing, one thread: {rate:.2} GB/s of f32");
    let mut bytes = Vec::new();
    let mut writer = BitWriter::new(&mut bytes);
    let rice = Rice::new(geometry.size(), sent.sent());
    (0..sent.chunks()).for_each(|chunk| rice.write(sent.chunk_positions(chunk), &mut writer));
    let bits = writer.finish() as f64 / sent.positions().len() as f64;
    println!("bits per position, 64 of 4096 uniform: {bits:.4} (bound 7.3639)");
}

/// The largest submission of a model.
fn largest(name: &str, model: &ModelSpec, quantizer: Quantizer) {
    let layout = Layout::new(&model.tensors(), &spec(quantizer)).unwrap();
    let (most, values) = (layout.most_bytes(), layout.values());
    let ratio = model.parameters() as f64 * 4.0 / most as f64;
    println!(
        "{name}, {quantizer:?}: {} parameters, {values} sent, at most {most} bytes, {ratio:.1}x",
        model.parameters()
    );
}

/// A submission there and back.
fn submission(model: &ModelSpec, quantizer: Quantizer) {
    let layout = Arc::new(Layout::new(&model.tensors(), &spec(quantizer)).unwrap());
    let tensors: Vec<SparseTensor> = (1..)
        .zip(layout.tensors())
        .map(|(seed, tensor)| {
            compress(&noise(seed, tensor.geometry().len()), tensor.geometry(), layout.spec()).unwrap()
        })
        .collect();
    let secret = schnorrkel::MiniSecretKey::from_bytes(&[7; 32]).unwrap();
    let secret = secret.expand(schnorrkel::ExpansionMode::Ed25519);
    let key = SigningKey::from_bytes(&secret.to_bytes()).unwrap();
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(0) },
        window: Window(0),
        base: State([0; 32]),
        least_samples: 160,
        sealed: false,
    };
    let started = Instant::now();
    let bytes = encode(&layout, &Header::new(&expected, 160, &layout), &tensors, &key).unwrap();
    let encoded = started.elapsed();
    let length = bytes.len();
    let started = Instant::now();
    let submission = Submission::open(bytes, Arc::clone(&layout), &expected).unwrap();
    println!(
        "tiny, {quantizer:?}: {length} bytes, {:.3} bits per value sent, {:.1}x; encoded in {encoded:.2?}, checked in {:.2?}, hash {}",
        length as f64 * 8.0 / layout.values() as f64,
        model.parameters() as f64 * 4.0 / length as f64,
        started.elapsed(),
        submission.hash(),
    );
}

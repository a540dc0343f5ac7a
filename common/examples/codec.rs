//! Measures submissions: bits per position, per code and per value, ratios, and the throughput of encoding, of checking and
//! decoding, and of decoding and aggregating sixteen, on one thread and on all.
//!
//! `cargo run --release -p common --example codec [MILLIONS OF VALUES] [REPETITIONS]`
#![allow(clippy::unwrap_used)] // A measurement that cannot go on should stop here.

use common::{
    Height, NeuronId, Window,
    aggregate::outer_step,
    bits::BitWriter,
    chunks::Geometry,
    digest::{RunHash, State},
    halving::Halving,
    model::{ModelSpec, Role, TensorSpec},
    signature::SigningKey,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, SparseTensor, compress},
    submission::{Expected, Header, Layout, Submission, encode},
};
use std::{sync::Arc, time::Instant};

/// Submissions that are aggregated together.
const PEERS: u8 = 16;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().unwrap());
    let millions: usize = arguments.next().unwrap_or(16);
    let repetitions: usize = arguments.next().unwrap_or(25);
    positions();
    for (name, model) in [("tiny", tiny()), ("Covenant-72B", covenant())] {
        for quantizer in Quantizer::ALL {
            largest(name, &model, quantizer);
        }
    }
    for quantizer in Quantizer::ALL {
        gaussian("tiny", &tiny(), quantizer);
    }
    for distribution in [Distribution::Gaussian, Distribution::ScaleMixed, Distribution::Student] {
        for quantizer in [Quantizer::Templar, Quantizer::SignCentroid, Quantizer::Sign] {
            tensor(distribution, quantizer, millions, repetitions);
        }
    }
}

/// What the values of a tensor are like.
#[derive(Clone, Copy, Debug)]
enum Distribution {
    Gaussian,
    /// Gaussian, the scale of each chunk being lognormal: its logarithm deviates by 0.5.
    ScaleMixed,
    /// Student's t with 3 degrees of freedom.
    Student,
}

/// Chance that is the same in each run.
struct Chance(u64);

impl Chance {
    /// Uniform in 0 to 1, never 0.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Gaussian (Box, Muller 1958).
    fn gaussian(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn value(&mut self, distribution: Distribution) -> f64 {
        match distribution {
            Distribution::Gaussian | Distribution::ScaleMixed => self.gaussian(),
            Distribution::Student => {
                let squares: f64 = (0..3).map(|_| self.gaussian().powi(2)).sum();
                self.gaussian() / (squares / 3.0).sqrt()
            }
        }
    }

    fn tensor(&mut self, distribution: Distribution, geometry: &Geometry) -> Vec<f32> {
        let mut values = vec![0.0; geometry.len()];
        for chunk in 0..geometry.chunks() {
            let scale = match distribution {
                Distribution::ScaleMixed => (0.5 * self.gaussian()).exp(),
                Distribution::Gaussian | Distribution::Student => 1.0,
            };
            let origin = geometry.origin(chunk);
            for position in 0..geometry.size() {
                let value = scale * self.value(distribution) * 1e-3;
                values[geometry.coordinate(origin, position)] = value as f32;
            }
        }
        values
    }
}

fn spec(quantizer: Quantizer) -> SparseSpec {
    SparseSpec {
        chunk: 4096,
        topk: 64,
        codec: Codec::Halving,
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

/// A submission of Gaussian values of a model.
fn gaussian(name: &str, model: &ModelSpec, quantizer: Quantizer) {
    let layout = Layout::new(&model.tensors(), &spec(quantizer)).unwrap();
    let mut chance = Chance(3);
    let sent = layout.tensors().iter().map(|tensor| {
        let values = chance.tensor(Distribution::Gaussian, tensor.geometry());
        compress(&values, tensor.geometry(), layout.spec()).unwrap()
    });
    let (key, expected) = identity(1);
    let bytes =
        encode(&layout, &Header::new(&expected, 1, &layout), &sent.collect::<Vec<_>>(), &key).unwrap();
    println!(
        "{name}, {quantizer:?}, Gaussian: {} bytes, {:.3} bits a value in all, {:.1}x",
        bytes.len(),
        bytes.len() as f64 * 8.0 / layout.values() as f64,
        model.parameters() as f64 * 4.0 / bytes.len() as f64,
    );
}

/// Bits of uniformly chosen positions, for chunks of some sizes and densities.
fn positions() {
    let mut chance = Chance(7);
    for (size, count) in
        [(4096, 64), (4096, 32), (4096, 128), (2500, 64), (676, 64), (65_536, 64), (4096, 2048)]
    {
        let halving = Halving::new(size, count);
        let chunks = 100_000 / count;
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        for _ in 0..chunks {
            let mut chosen = std::collections::BTreeSet::new();
            while chosen.len() < count {
                chosen.insert((chance.uniform() * size as f64) as u16);
            }
            halving.write(&chosen.into_iter().collect::<Vec<_>>(), &mut writer);
        }
        let each = |bits: f64| bits / count as f64;
        println!(
            "positions, {count} of {size}: {:.4} bits each, bound {:.4}, at most {:.4}",
            each(writer.finish() as f64 / chunks as f64),
            each((0..count).map(|at| ((size - at) as f64 / (at + 1) as f64).log2()).sum()),
            each(halving.most_bits() as f64),
        );
    }
}

/// The entropy of the codes of a tensor, as shares of each code, in bits.
fn entropy(codes: &[u8]) -> f64 {
    let shares =
        (0..4).map(|code| codes.iter().filter(|&&other| other == code).count() as f64 / codes.len() as f64);
    shares.filter(|&share| share > 0.0).map(|share| -share * share.log2()).sum()
}

/// Median, least and most of some seconds, as millions of values per second.
fn rates(values: f64, mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let rate = |at: usize| values / seconds[at] / 1e6;
    format!("{:.0} ({:.0} to {:.0})", rate(seconds.len() / 2), rate(seconds.len() - 1), rate(0))
}

/// Submissions of one tensor there and back.
fn tensor(distribution: Distribution, quantizer: Quantizer, millions: usize, repetitions: usize) {
    let shape = vec![(millions << 20) / 4096, 4096];
    let parameters = shape[0] * shape[1];
    let layout =
        Layout::new(&[TensorSpec { name: "a".to_owned(), shape, role: Role::Matrix }], &spec(quantizer));
    let layout = Arc::new(layout.unwrap());
    let geometry = layout.tensors()[0].geometry();
    let sent: Vec<[SparseTensor; 1]> = (1..=PEERS)
        .map(|peer| {
            let values = Chance(peer.into()).tensor(distribution, geometry);
            [compress(&values, geometry, layout.spec()).unwrap()]
        })
        .collect();
    let write = |peer: u8| {
        let (key, expected) = identity(peer);
        encode(&layout, &Header::new(&expected, 1, &layout), &sent[usize::from(peer)], &key).unwrap()
    };
    let open = |peer: u8, bytes| Submission::open(bytes, Arc::clone(&layout), &identity(peer).1).unwrap();
    let accepted: Vec<_> = (0..PEERS).map(|peer| open(peer, write(peer))).collect();
    let mut shared = vec![1.0f32; parameters];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut seconds = vec![Vec::new(); 4];
    for repetition in 0..repetitions {
        let peer = repetition as u8 % PEERS;
        let mut time = |of: usize, work: &mut dyn FnMut()| {
            let started = Instant::now();
            work();
            seconds[of].push(started.elapsed().as_secs_f64());
        };
        let mut bytes = Vec::new();
        time(0, &mut || bytes = write(peer));
        let bytes = std::mem::take(&mut bytes);
        let mut opened = None;
        let mut bytes = Some(bytes);
        time(1, &mut || opened = bytes.take().map(|bytes| open(peer, bytes)));
        for (of, threads) in [(2, 1), (3, threads)] {
            time(of, &mut || drop(outer_step(&mut [&mut shared], &accepted, None, threads).unwrap()));
        }
        assert_eq!(opened.unwrap().tensor(0).unwrap(), sent[usize::from(peer)][0]);
    }
    let values = layout.values() as f64;
    let bytes = accepted[0].bytes().len() as f64;
    println!(
        "{distribution:?}, {quantizer:?}, {millions} Mi: {:.4} bits a value in all, entropy of codes {:.4}, {:.1}x of f32, {:.1}x of bf16; Mvalues/s: encode {}, check and decode {}, aggregate {PEERS} {}, on {threads} threads {}",
        bytes * 8.0 / values,
        entropy(sent[0][0].codes()),
        parameters as f64 * 4.0 / bytes,
        parameters as f64 * 2.0 / bytes,
        rates(values, seconds[0].clone()),
        rates(values, seconds[1].clone()),
        rates(values * f64::from(PEERS), seconds[2].clone()),
        rates(values * f64::from(PEERS), seconds[3].clone()),
    );
}

/// Who a submission is from.
fn identity(peer: u8) -> (SigningKey, Expected) {
    let secret = schnorrkel::MiniSecretKey::from_bytes(&[peer; 32]).unwrap();
    let secret = secret.expand(schnorrkel::ExpansionMode::Ed25519);
    let key = SigningKey::from_bytes(&secret.to_bytes()).unwrap();
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron: NeuronId { hotkey: key.hotkey(), registered: Height(0) },
        window: Window(0),
        base: State([0; 32]),
        least_samples: 1,
        sealed: false,
    };
    (key, expected)
}

//! Measures the error and the size of quantizers on the sent values: the figures of
//! `common/codec/COMPRESSION.md`.
//!
//! `cargo run -p codec-bench --example quantizers [-- FILE COLUMNS]`, where the file has recorded
//! values: f32, little endian.
#![allow(clippy::unwrap_used)] // A measurement that cannot go on should stop here.

#[path = "../src/distribution.rs"]
mod distribution;
#[path = "../src/threads.rs"]
mod threads;

use codec::{
    chunks::Geometry,
    quantize::{Values, quantize},
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, compress},
};
use distribution::Distribution;
use std::{collections::BTreeMap, path::Path};

/// Values sent per chunk.
const SENT: usize = 64;
const ROWS: usize = 2048;
const COLUMNS: usize = 8192;

fn main() {
    let mut arguments = std::env::args().skip(1);
    for distribution in Distribution::DRAWN {
        study(distribution.name(), &distribution.draw(ROWS, COLUMNS, 2), COLUMNS);
    }
    match (arguments.next(), arguments.next()) {
        (Some(file), Some(columns)) => {
            let columns = columns.parse().unwrap();
            study("recorded", &distribution::read(Path::new(&file), columns).unwrap(), columns);
        }
        _ => study("recorded", &distribution::recorded(ROWS, COLUMNS), COLUMNS),
    }
}

/// Prints a row for each quantizer: the bits of a plain code, its entropy, the bits of its chunk's
/// scales, and the error.
fn study(name: &str, values: &[f32], columns: usize) {
    let geometry = Geometry::new(&[values.len() / columns, columns], 64).unwrap();
    let spec = SparseSpec {
        chunk: 4096,
        topk: SENT as u32,
        codec: Codec::Halving,
        quantizer: Quantizer::F32,
        beta: 0.95,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    };
    let sent = compress(values, &geometry, &spec).unwrap();
    let Values::F32(values) = sent.values() else { unreachable!("values are sent as they are") };
    println!("\n| {name} | code | its entropy | scales | together | nmse |\n|---|---|---|---|---|---|");
    of_nodes("templar", Quantizer::Templar, 0.0, values);
    of_nodes("sign-centroid", Quantizer::SignCentroid, 16.0, values);
    of_nodes("sign", Quantizer::Sign, 8.0, values);
    for magnitudes in 1..=4 {
        let levels = |chunk: &[f32]| centroids(chunk, magnitudes);
        per_chunk(
            &format!("{magnitudes} exact magnitudes a chunk"),
            values,
            32.0 * magnitudes as f64,
            levels,
        );
    }
    for (mantissa, bits) in [(1, 5.0), (2, 6.0), (3, 7.0), (4, 8.0), (6, 10.0)] {
        let levels =
            |chunk: &[f32]| centroids(chunk, 2).into_iter().map(|level| rounded(level, mantissa)).collect();
        per_chunk(&format!("2 magnitudes of {bits} bits"), values, 2.0 * bits, levels);
    }
    for (mantissa, bits) in [(0, 4.0), (1, 5.0), (2, 6.0), (4, 8.0)] {
        let shape = shape(values, 2);
        let levels = |chunk: &[f32]| {
            let scale = rounded(mean(chunk), mantissa);
            shape.iter().map(|share| share * scale).collect()
        };
        per_chunk(&format!("1 scale of {bits} bits, 2 shares a tensor"), values, bits, levels);
    }
}

/// Prints the row of a quantizer that nodes have.
fn of_nodes(name: &str, quantizer: Quantizer, chunk_bits: f64, values: &[f32]) {
    let quantized = quantize(quantizer, SENT, values);
    let (Values::Templar { codes, .. } | Values::SignCentroid { codes, .. } | Values::Sign { codes, .. }) =
        &quantized
    else {
        unreachable!("it has codes")
    };
    let levels = |at: usize| quantized.levels(at / SENT).unwrap()[usize::from(codes[at])];
    let codes_of = if quantizer == Quantizer::Sign { 2 } else { 4 };
    row(name, codes_of, chunk_bits, codes, values, levels);
}

/// Prints the row of a quantizer with a sign and the nearest of some magnitudes per chunk.
fn per_chunk(name: &str, values: &[f32], chunk_bits: f64, levels: impl Fn(&[f32]) -> Vec<f64>) {
    let (mut codes, mut decoded) = (Vec::new(), Vec::new());
    for chunk in values.chunks(SENT) {
        let levels = levels(chunk);
        for value in chunk {
            let far = |level: f64| (f64::from(value.abs()) - level).abs();
            let nearest =
                (0..levels.len()).min_by(|&a, &b| far(levels[a]).total_cmp(&far(levels[b]))).unwrap();
            codes.push((nearest * 2 + usize::from(value.is_sign_negative())) as u8);
            decoded.push(levels[nearest].copysign(f64::from(*value)) as f32);
        }
    }
    let count = usize::from(*codes.iter().max().unwrap()) / 2 * 2 + 2;
    row(name, count, chunk_bits, &codes, values, |at| decoded[at]);
}

fn row(
    name: &str,
    codes_of: usize,
    chunk_bits: f64,
    codes: &[u8],
    values: &[f32],
    decoded: impl Fn(usize) -> f32,
) {
    let (mut error, mut total) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        error += f64::from(decoded(at) - value).powi(2);
        total += f64::from(*value).powi(2);
    }
    let bits = entropy(codes);
    let scales = chunk_bits / SENT as f64;
    let raw = (codes_of as f64).log2();
    let together = bits + scales;
    println!("| {name} | {raw:.2} | {bits:.3} | {scales:.3} | {together:.3} | {:.5} |", error / total);
}

/// Returns the bits of a code, if codes follow each other independently.
fn entropy(codes: &[u8]) -> f64 {
    let mut counts = BTreeMap::new();
    codes.iter().for_each(|code| *counts.entry(code).or_insert(0.0) += 1.0);
    let bits = |count: &f64| -count / codes.len() as f64 * (count / codes.len() as f64).log2();
    counts.values().map(bits).sum()
}

fn mean(chunk: &[f32]) -> f64 {
    chunk.iter().map(|value| f64::from(value.abs())).sum::<f64>() / chunk.len() as f64
}

/// Rounds a number to `mantissa` bits after its first bit.
fn rounded(value: f64, mantissa: u32) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let unit = 2f64.powi(value.log2().floor() as i32 - mantissa as i32);
    (value / unit).round() * unit
}

/// Returns the magnitudes of least squared error, by Lloyd's algorithm.
fn centroids(chunk: &[f32], count: usize) -> Vec<f64> {
    let mut sorted: Vec<f64> = chunk.iter().map(|value| f64::from(value.abs())).collect();
    sorted.sort_by(f64::total_cmp);
    lloyd(&sorted, count)
}

/// Returns the same for a whole tensor, with magnitudes as shares of their chunk's mean.
fn shape(values: &[f32], count: usize) -> Vec<f64> {
    let share = |chunk: &[f32]| {
        let mean = mean(chunk).max(f64::MIN_POSITIVE);
        chunk.iter().map(move |value| f64::from(value.abs()) / mean).collect::<Vec<_>>()
    };
    let mut shares: Vec<f64> = values.chunks(SENT).flat_map(share).collect();
    shares.sort_by(f64::total_cmp);
    lloyd(&shares, count)
}

/// Runs Lloyd's algorithm on ascending numbers from several starts, and returns the best result.
fn lloyd(sorted: &[f64], count: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    sorted.iter().for_each(|value| sums.push(sums[sums.len() - 1] + value));
    let run = |power: f64| {
        let start = |part: usize| (part as f64 / count as f64).powf(power) * sorted.len() as f64;
        let mut edges: Vec<usize> = (0..=count).map(|part| start(part) as usize).collect();
        for _ in 0..50 {
            let centres = centres(&edges, &sums);
            for part in 1..count {
                let middle = (centres[part - 1] + centres[part]) / 2.0;
                // A part without values stays empty.
                edges[part] = sorted.partition_point(|value| *value <= middle).max(edges[part - 1]);
            }
        }
        let centres = centres(&edges, &sums);
        let gain: f64 =
            (0..count).map(|part| centres[part].powi(2) * (edges[part + 1] - edges[part]) as f64).sum();
        (gain, centres)
    };
    let runs = [0.15, 0.3, 0.6, 1.0].map(run);
    runs.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
}

fn centres(edges: &[usize], sums: &[f64]) -> Vec<f64> {
    let mean = |ends: &[usize]| (sums[ends[1]] - sums[ends[0]]) / (ends[1] - ends[0]).max(1) as f64;
    edges.windows(2).map(mean).collect()
}

//! Measures the size of submissions: bits of uniformly chosen positions, and bytes for each of the
//! runs that ship. These are the figures of `common/codec/CODEC.md`.
//!
//! `cargo run -p codec-bench --example sizes`
#![allow(dead_code, clippy::unwrap_used)] // A measurement that cannot go on should stop here.

#[path = "../src/distribution.rs"]
mod distribution;
#[path = "../src/sender.rs"]
mod sender;
#[path = "../src/threads.rs"]
mod threads;

use codec::{
    bits::BitWriter,
    positions::Halving,
    sparse::{Quantizer, SparseSpec, compress},
    submission::{Header, SubmissionLayout, encode},
};
use distribution::Distribution;
use protocol::run_spec::RunFile;

/// The runs that ship, with their files.
const RUNS: [(&str, &str); 5] = [
    ("tiny", include_str!("../../../runs/tiny.toml")),
    ("150m", include_str!("../../../runs/150m.toml")),
    ("1b", include_str!("../../../runs/1b.toml")),
    ("8b", include_str!("../../../runs/8b.toml")),
    ("covenant-72b", include_str!("../../../runs/covenant-72b.toml")),
];
/// The number of positions that are encoded for a row.
const POSITIONS: usize = 100_000;

fn main() {
    println!("| sent | bits of a position | bound | at most |\n|---|---|---|---|");
    for (size, count) in
        [(4096, 64), (4096, 32), (4096, 72), (4096, 128), (2500, 64), (676, 64), (65_536, 64), (4096, 2048)]
    {
        positions(size, count);
    }
    println!(
        "\n| run | quantizer | of a chunk | values sent | bytes at most | of f32 |\n|---|---|---|---|---|---|"
    );
    for (name, text) in RUNS {
        let run = RunFile::parse(text).unwrap();
        for quantizer in Quantizer::ALL {
            let layout =
                SubmissionLayout::new(&run.model.tensors(), &SparseSpec { quantizer, ..run.sparse }).unwrap();
            let ratio = run.model.parameters() as f64 * 4.0 / layout.most_bytes() as f64;
            println!(
                "| {name} | {quantizer:?} | {} | {} | {} | {ratio:.1}x |",
                run.sparse.topk,
                layout.values(),
                layout.most_bytes()
            );
        }
    }
    println!(
        "\n| tiny, Gaussian values | of a chunk | bytes | bits a value | of f32 | bytes at most |\n|---|---|---|---|---|---|"
    );
    for topk in [64, 72] {
        for quantizer in Quantizer::ALL {
            gaussian(quantizer, topk);
        }
    }
}

/// Prints the bits of uniformly chosen positions: those of the largest of identically distributed values.
fn positions(size: usize, count: usize) {
    let halving = Halving::new(size, count);
    let chunks = POSITIONS / count;
    let values = Distribution::Gaussian.draw(chunks, size, 1);
    let mut bytes = Vec::new();
    let mut writer = BitWriter::new(&mut bytes);
    for values in values.chunks(size) {
        let mut order: Vec<u16> = (0..size).map(|position| position as u16).collect();
        order.select_nth_unstable_by(count - 1, |&a, &b| {
            values[usize::from(b)].total_cmp(&values[usize::from(a)])
        });
        order.truncate(count);
        order.sort_unstable();
        halving.write(&order, &mut writer);
    }
    let each = |bits: f64| bits / count as f64;
    println!(
        "| {count} of {size} | {:.4} | {:.4} | {:.4} |",
        each(writer.finish() as f64 / chunks as f64),
        each((0..count).map(|at| ((size - at) as f64 / (at + 1) as f64).log2()).sum()),
        each(halving.most_bits() as f64),
    );
}

/// Prints the size of a submission of Gaussian values of the tiny model.
fn gaussian(quantizer: Quantizer, topk: u32) {
    let run = RunFile::parse(RUNS[0].1).unwrap();
    let layout =
        SubmissionLayout::new(&run.model.tensors(), &SparseSpec { quantizer, topk, ..run.sparse }).unwrap();
    let sent = layout.tensors().iter().map(|tensor| {
        let values = Distribution::Gaussian.draw(1, tensor.geometry().len(), 1);
        compress(&values, tensor.geometry(), layout.spec()).unwrap()
    });
    let (key, expected) = sender::sender(1);
    let sent: Vec<_> = sent.collect();
    let bytes = encode(&layout, &Header::new(&expected, 0, &layout), &sent, &key).unwrap().len();
    println!(
        "| {quantizer:?} | {topk} | {bytes} | {:.3} | {:.1}x | {} |",
        bytes as f64 * 8.0 / layout.values() as f64,
        run.model.parameters() as f64 * 4.0 / bytes as f64,
        layout.most_bytes()
    );
}

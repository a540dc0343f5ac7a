//! Measures the time to compare all updates of a window, and to compute standings and weights.
//!
//! `cargo run -p scoring --example overlap_speed [-- MINERS PARAMETERS THREADS]`: 256 miners of a model of
//! 1e9 parameters on 2 threads if not given. Updates are random signs at random positions, as `sign` with 72
//! of 4096 values makes them. With `--same`, all miners send the same positions: the slowest case.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A program for developers.

use base::{BlockHash, Hotkey, Millionths, Uid, Window};
use scoring::{
    gauntlet::{Evaluation, Improvements, Observed, Outcome, ScoringSpec, Standings},
    uniqueness::{ChunkSample, Fingerprint, Overlap, Updates, overlaps},
    weights::{Subnet, weights},
};
use std::{collections::BTreeMap, time::Instant};

/// Values per chunk, and values sent of each.
const CHUNK: u16 = 4096;
const SENT: usize = 72;

/// Returns random bytes for a miner and a window.
fn random(miner: u64, window: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let seed = [miner.to_le_bytes(), window.to_le_bytes()].concat();
    blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
    bytes
}

/// Returns a random fingerprint of `chunks` chunks.
fn fingerprint(miner: u64, window: u64, chunks: usize, same: bool) -> Fingerprint {
    let positions = random(if same { 0 } else { miner + 1 }, window, chunks * SENT * 2);
    let signs = random(miner + 1, window + 100, chunks * SENT);
    Fingerprint::from_chunks((0..chunks).map(|chunk| {
        let values = (chunk * SENT..(chunk + 1) * SENT).map(|at| {
            let position = u16::from_le_bytes([positions[2 * at], positions[2 * at + 1]]) % CHUNK;
            (position, if signs[at] & 1 == 0 { 1.0 } else { -1.0 })
        });
        values.collect::<BTreeMap<_, _>>().into_iter().collect()
    }))
}

fn hotkey(miner: u64) -> Hotkey {
    let mut hotkey = [0; 32];
    hotkey[..8].copy_from_slice(&miner.to_be_bytes());
    Hotkey(hotkey)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let same = arguments.iter().any(|argument| argument == "--same");
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let number = |place: usize, usual: usize| numbers.get(place).copied().unwrap_or(usual);
    let (miners, parameters, threads) = (number(0, 256) as u64, number(1, 1_000_000_000), number(2, 2));
    let sample = ChunkSample::draw(BlockHash([1; 32]), &[parameters.div_ceil(CHUNK.into())]);
    let chunks = sample.chunks().len();
    let window = |window| -> BTreeMap<Hotkey, Fingerprint> {
        (0..miners).map(|miner| (hotkey(miner), fingerprint(miner, window, chunks, same))).collect()
    };
    let (current, one_before, two_before) = (window(2), window(1), window(0));
    let started = Instant::now();
    let step = Fingerprint::sum(one_before.values().take(20));
    let updates = Updates {
        current: &current,
        one_before: &one_before,
        two_before: &two_before,
        outer_step: Some(&step),
    };
    let (found, baselines) = overlaps(&updates, &Standings::default(), threads);
    println!(
        "{miners} miners, {parameters} parameters, {chunks} chunks, {threads} threads: overlaps in {:.2} s, {} above the threshold, median {}",
        started.elapsed().as_secs_f64(),
        found.values().filter(|overlap| overlap.excess.0 > 0).count(),
        baselines[0].median
    );
    let spec = ScoringSpec::default();
    let improvements = |count: u16, mean: f64| {
        let count = f64::from(count);
        Improvements { count: count as u32, sum: count * mean, squares: count * (mean * mean + 1e-4) }
    };
    let outcome = |(index, (miner, overlap)): (usize, (&Hotkey, &Overlap))| {
        let mean = 0.01 + index as f64 * 1e-6;
        let evaluation = Evaluation {
            assigned: improvements(spec.assigned_sequences, mean * 1.2),
            common: improvements(spec.common_sequences, mean),
            own: improvements(spec.own_sequences, mean),
            share: Millionths::ONE,
            overlap: *overlap,
        };
        (*miner, Outcome::Evaluated(evaluation))
    };
    let outcomes: BTreeMap<_, _> = found.iter().enumerate().map(outcome).collect();
    let started = Instant::now();
    let observed = Observed { window: Window(2), seed: BlockHash([1; 32]), outcomes };
    let standings = Standings::default().after(&spec, &observed).unwrap();
    let uids: BTreeMap<_, _> = (0..miners).map(|miner| (hotkey(miner), Uid(miner as u16))).collect();
    let subnet = Subnet { owner: None, uids: miners as u16, min_allowed: 0, max_limit: u16::MAX };
    let weights = weights(&spec.weights, &standings.scores(&spec), &uids, &subnet).unwrap();
    println!("standings and {} weights in {:.3} s", weights.len(), started.elapsed().as_secs_f64());
}

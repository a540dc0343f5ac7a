//! Bounds the memory of a training whose layers are all computed again: beside the shards of the store, it
//! holds the inputs of the layers and what one or two units take.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A test that cannot continue stops here.

use engine::{Batch, Compute, Model, Options, Place, Recompute};
use protocol::{
    model::ModelSpec,
    schedule::{Decay, Schedule},
    train::{AdamW, TrainSpec},
};
use std::{env, fs, process::Command, sync::atomic::AtomicBool};

/// The variable that makes a test the child process of itself.
const CHILD: &str = "MUSTER_TEST_RECOMPUTE";

/// Memory that the bound does not count: libtorch's own, and free space between blocks of memory.
const SLACK: usize = 48 << 20;

/// Returns a model of 24 layers with wide activations: they take some 14 MB each. And its sequences.
fn wide() -> (ModelSpec, usize) {
    (ModelSpec { vocab: 1000, hidden: 128, ffn: 512, ..deep() }, 8)
}

/// Returns a model of 24 layers with wide weights: 4 MB each.
fn deep() -> ModelSpec {
    ModelSpec {
        vocab: 500,
        hidden: 256,
        layers: 24,
        heads: 4,
        kv_heads: 4,
        head_dim: 32,
        ffn: 1024,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tied: false,
        sequence: 129,
    }
}

/// Returns the bytes that a training may take beside the parameters: all of its shards, the inputs of the
/// layers, two units, and a chunk of logits.
fn bound(spec: &ModelSpec, sequences: usize, compute: Compute) -> usize {
    let [vocab, hidden, layers, ffn] =
        [spec.vocab, spec.hidden, spec.layers, spec.ffn].map(|size| size as usize);
    let width = match compute {
        Compute::F32 => 4,
        Compute::Bf16 => 2,
    };
    let tokens = sequences * (spec.sequence as usize - 1);
    // Moments and the sum of gradients, and the start of the window.
    let shards = 4 * 4 * usize::try_from(spec.parameters()).unwrap();
    let inputs = layers * tokens * hidden * width;
    // A layer keeps some 12 tensors of the hidden width and 4 of the inner width. Beside them are weights
    // and their gradient.
    let unit =
        tokens * (12 * hidden + 4 * ffn) * width + (4 * hidden * hidden + 3 * hidden * ffn) * 2 * width;
    let logits = tokens.min(512) * vocab * 16;
    shards + inputs + 2 * unit + logits + SLACK
}

/// Trains some steps. Returns the highest memory above that of the parameters, in bytes.
fn measure(spec: ModelSpec, sequences: usize, compute: Compute, recompute: Recompute, steps: u32) -> usize {
    let options = Options { place: Place::Cpu, compute, recompute, ..Options::default() };
    let mut model = Model::new(spec, options).unwrap();
    model.initialize(&[7; 32]).unwrap();
    let train = TrainSpec {
        inner_steps: steps,
        least_steps: 1,
        batch: u32::try_from(sequences).unwrap(),
        sequence: spec.sequence,
        clip: 1.0,
        optimizer: AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 },
        schedule: Schedule {
            peak: 1e-3,
            warmup_steps: 0,
            decay: Decay::Constant,
            decay_steps: 0,
            floor: 1.0,
            hold: None,
            anneal: None,
        },
    };
    let tokens = (0..sequences * spec.sequence as usize).map(|n| u32::try_from(n * 7).unwrap() % spec.vocab);
    let batch = Batch::new(tokens.collect(), spec.sequence as usize).unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap(); // Begins the highest memory anew.
    let before = status("VmRSS:");
    model.train(&train, 0, (0..steps).map(|_| Ok(batch.clone())), &AtomicBool::new(false)).unwrap();
    status("VmHWM:") - before
}

/// Reads a size of this process in bytes.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Checks a model: within the bound if all layers are computed again, above it if none is. The second check
/// shows that the bound finds a training that keeps the whole graph.
///
/// Each measurement runs in a child process: this test with a variable.
fn check(test: &str, spec: ModelSpec, sequences: usize, compute: Compute) {
    if let Ok(recompute) = env::var(CHILD) {
        let recompute = if recompute == "all" { Recompute::All } else { Recompute::None };
        println!("\npeak {}", measure(spec, sequences, compute, recompute, 2)); // The moments exist from step 2 on.
        return;
    }
    let peak = |recompute| run(Command::new(env::current_exe().unwrap()), test, recompute);
    let bound = bound(&spec, sequences, compute);
    let [all, none] = ["all", "none"].map(peak);
    let megabytes = [all, none, bound].map(|bytes| bytes >> 20);
    assert!(all <= bound, "all recomputed, none, bound: {megabytes:?} MB");
    assert!(none > bound, "all recomputed, none, bound: {megabytes:?} MB");
}

#[test]
fn no_whole_graph_is_in_memory() {
    let (spec, sequences) = wide();
    check("no_whole_graph_is_in_memory", spec, sequences, Compute::F32);
}

#[test]
fn no_whole_converted_model_is_in_memory() {
    let spec = ModelSpec { sequence: 17, ..deep() };
    check("no_whole_converted_model_is_in_memory", spec, 1, Compute::Bf16);
}

/// Checks that steps leave nothing behind: libtorch frees the tensors whose handles its operators took. All
/// memory of more than 64 kB returns to the system at once, so gaps in the heap do not count.
#[test]
fn more_steps_take_no_more_memory() {
    let spec = ModelSpec { layers: 2, ..deep() };
    if let Ok(steps) = env::var(CHILD) {
        let steps = steps.parse().unwrap();
        println!("\npeak {}", measure(spec, 2, Compute::F32, Recompute::None, steps));
        return;
    }
    let peak = |steps| {
        let mut child = Command::new(env::current_exe().unwrap());
        child.env("MALLOC_MMAP_THRESHOLD_", "65536");
        run(child, "more_steps_take_no_more_memory", steps)
    };
    let (few, many) = (peak("4"), peak("40"));
    assert!(many < few + (8 << 20), "4 steps, 40 steps: {few} {many}");
}

/// Runs a test of this file as a child process. Returns the peak that it prints.
fn run(mut child: Command, test: &str, value: &str) -> usize {
    let output = child.args(["--exact", test, "--nocapture"]).env(CHILD, value).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let peak = text.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).parse().unwrap()
}

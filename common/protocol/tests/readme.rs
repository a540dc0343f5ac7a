//! Checks that README.md names the memory of the runs as the code computes it.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use protocol::run_spec::RunFile;
use std::{fs, path::Path};

/// The run files, smallest model first.
const RUNS: [&str; 5] = ["tiny", "150m", "1b", "8b", "covenant-72b"];

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{} GB", bytes.div_ceil(1_000_000_000)),
    }
}

/// Formats a row: the run, its parameters, and the memory of a miner and a validator with one
/// sequence at a time.
fn row(root: &Path, name: &str) -> String {
    let file = root.join("deploy/runs").join(format!("{name}.toml"));
    let run = RunFile::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let memory = run.model.memory(1, run.train.sequence);
    let parameters = run.model.parameters() as f64 / 1e6;
    let (miner, validator) = (size(memory.miner()), size(memory.validator()));
    format!("| [{name}](deploy/runs/{name}.toml) | {parameters:.1} M | {miner} | {validator} |")
}

#[test]
fn the_memory_of_each_run_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let missing: Vec<_> =
        RUNS.iter().map(|name| row(&root, name)).filter(|row| !readme.lines().any(|l| l == row)).collect();
    assert!(missing.is_empty(), "README.md lacks these rows:\n{}", missing.join("\n"));
    let files = fs::read_dir(root.join("deploy/runs")).unwrap().count();
    assert_eq!(files, RUNS.len(), "each file in deploy/runs must have its row");
}

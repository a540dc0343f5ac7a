//! Runs the program on a small model: its JSON and its table have all results, and wrong flags are refused.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

use protocol::run_spec::RunFile;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const TINY: &str = include_str!("../../../runs/tiny.toml");

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_training-bench")).args(arguments).output().unwrap()
}

/// Writes a run of a small model, and a text of some scenes. Returns the flags that name them.
fn setup(folder: &Path) -> [String; 6] {
    let mut run = RunFile::parse(TINY).unwrap();
    (run.model.vocab, run.model.hidden, run.model.layers) = (300, 64, 2);
    (run.model.heads, run.model.kv_heads, run.model.ffn) = (2, 2, 64);
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (3, 3);
    run.scoring.assigned_sequences = 12;
    let scene = |number: u32| format!("\n\n### scene {number}\n{}", format!("{number} ghosts. ").repeat(150));
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(path("run.toml"), run.to_toml().unwrap()).unwrap();
    fs::write(path("plays.txt"), (1..150).map(scene).collect::<String>()).unwrap();
    let pairs = [("--run", "run.toml"), ("--data", "plays.txt"), ("--cache", "cache")];
    let flags: Vec<String> = pairs.iter().flat_map(|(flag, name)| [(*flag).to_owned(), path(name)]).collect();
    flags.try_into().unwrap()
}

#[test]
fn json_and_table_have_the_loss_of_each_window_and_staleness() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let flags: Vec<&str> = setup.iter().map(String::as_str).collect();
    let sizes =
        ["--miners", "2", "--windows", "2", "--seeds", "2", "--hidden", "32", "--layers", "1", "--ffn", "32"];
    let output = bench(&[&flags[..], &sizes, &["--own", "sent,whole", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Embeddings, attention, feed-forward, norms.
    assert_eq!(report["parameters"], 300 * 32 + 4 * 32 * 32 + 3 * 32 * 32 + 3 * 32);
    assert_eq!(report["tokens_per_window"], 2 * 3 * 4 * 16);
    let variants = report["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 3);
    for (variant, (staleness, own)) in variants.iter().zip([(0, "none"), (1, "sent"), (1, "whole")]) {
        assert_eq!((&variant["staleness"], &variant["own"]), (&staleness.into(), &own.into()));
        assert_eq!(variant["losses"].as_array().unwrap().len(), 3);
        for window in 0..3 {
            let range = |end: &str| variant["losses"][window][end].as_f64().unwrap();
            let of_seed = |seed: usize| variant["repetitions"][seed]["losses"][window].as_f64().unwrap();
            assert_eq!(range("min"), of_seed(0).min(of_seed(1)));
            assert_eq!(range("max"), of_seed(0).max(of_seed(1)));
            assert!((range("mean") - (of_seed(0) + of_seed(1)) / 2.0).abs() < 1e-12);
        }
        assert!(variant["repetitions"][0]["submission_bytes"].as_u64().unwrap() > 0);
    }

    let one = ["--seeds", "1", "--first-seed", "1", "--json"];
    let second = bench(&[&flags[..], &sizes[..4], &sizes[6..], &one].concat());
    let second: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(
        second["variants"][0]["repetitions"][0], variants[0]["repetitions"][1],
        "the second seed alone"
    );

    let few =
        ["--miners", "1", "--windows", "1", "--seeds", "1", "--staleness", "1", "--outer-lr", "0.5,0.25"];
    let output = bench(&[&flags[..], &few].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
    let header = table.lines().nth(3).unwrap();
    assert_eq!(header.trim_end(), "windows  staleness 1, rate 0.5         staleness 1, rate 0.25", "{table}");
}

#[test]
fn what_cannot_be_measured_is_a_wrong_use() {
    let text = env!("CARGO_MANIFEST_DIR");
    for wrong in [
        &["--data", text, "--hidden", "100"][..],
        &["--data", text, "--layers", "0"],
        &["--data", text, "--outer-lr", "0"],
        &["--data", text, "--run", "/nowhere/run.toml"],
        &["--data", text, "--miners", "0"],
        &["--data", "/nowhere/plays"],
        &["--seeds", "1"],
    ] {
        let output = bench(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

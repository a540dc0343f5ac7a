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

fn attacks(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attacks")).args(arguments).output().unwrap()
}

/// Writes a run of a small model, and a text of some scenes. Returns the flags that name them.
fn setup(folder: &Path) -> [String; 6] {
    let mut run = RunFile::parse(TINY).unwrap();
    (run.model.vocab, run.model.hidden, run.model.layers) = (300, 32, 1);
    (run.model.heads, run.model.kv_heads, run.model.ffn) = (1, 1, 32);
    (run.train.sequence, run.train.batch) = (16, 4);
    (run.train.inner_steps, run.train.least_steps) = (4, 4);
    (run.scoring.assigned_sequences, run.scoring.common_sequences, run.scoring.own_sequences) = (16, 16, 16);
    let scene = |number: u32| format!("\n\n### scene {number}\n{}", format!("{number} ghosts. ").repeat(150));
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(path("run.toml"), run.to_toml().unwrap()).unwrap();
    fs::write(path("plays.txt"), (1..150).map(scene).collect::<String>()).unwrap();
    let pairs = [("--run", "run.toml"), ("--data", "plays.txt"), ("--cache", "cache")];
    let flags: Vec<String> = pairs.iter().flat_map(|(flag, name)| [(*flag).to_owned(), path(name)]).collect();
    flags.try_into().unwrap()
}

#[test]
fn json_and_table_have_all_chosen_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let flags: Vec<&str> = setup.iter().map(String::as_str).collect();
    let sizes = ["--honest", "2", "--hostile", "1", "--windows", "6", "--seeds", "1"];
    let output =
        attacks(&[&flags[..], &sizes, &["--kind", "idle,duty-cycle,weight-copier", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["idle"]["pay"], 0.0);
    assert_eq!(report["idle"]["accepted"], 0.0);
    for kind in ["idle", "duty-cycle", "weight-copier"] {
        assert_eq!(report[kind]["windows"], 6, "{kind}");
        assert!(report[kind]["loss_damage"].is_number(), "{kind}");
    }
    assert_eq!(report["weight-copier"]["hotkeys"], 0);
    assert_eq!(report["weight-copier"]["loss_damage"], 0.0, "a validator that does not vote changes nothing");
    assert!(report["equal_spread"].is_number());

    let output = attacks(&[&flags[..], &sizes, &["--kind", "idle", "--aggregation", "shrunk=2"]].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| idle | 1 | 0.00 |") && table.contains("Shrunk(2)"), "{table}");
}

#[test]
fn wrong_flags_are_a_wrong_use() {
    for wrong in [
        &["--kind", "no-such-kind"][..],
        &["--windows", "5"],
        &["--honest", "0"],
        &["--aggregation", "median"],
        &["--run", "/nowhere/run.toml"],
        &["--data", "/nowhere/plays"],
        &["--outer-lr", "0"],
    ] {
        let output = attacks(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

//! Tests the errors and exit codes of the command line.

use std::process::{Command, Output};

fn auditor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auditor")).args(arguments).env_clear().output().unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, text: &str) {
    let output = auditor(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(text), "no '{text}' in: {error}");
}

#[test]
fn nothing_is_audited_without_a_run() {
    refused(&["windows", "0..4", "--run", "no-such-file.toml"], 2, "--run: no-such-file.toml: ");
    refused(&["windows", "4", "--run", "x.toml"], 2, "is not a range of windows: write A..B");
    refused(&["windows", "4..2", "--run", "x.toml"], 2, "the range 4..2 is empty");
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/runs/tiny.toml");
    refused(&["window", "0", "--run", template], 2, "is not complete: fill in network.genesis");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    refused(&["window", "0", "--run", manifest], 2, "--run: ");
    refused(&["export", "--run", "x.toml", "--out", "scores.txt"], 2, "must end with .parquet or .csv");
}

#[test]
fn a_chain_that_does_not_answer_is_unreachable() {
    refused(&["scores", "--chain", "ws://127.0.0.1:1"], 3, "ws://127.0.0.1:1");
}

#[test]
fn the_reference_is_what_the_code_says() {
    use clap::CommandFactory as _;
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("REFERENCE.md");
    cli::check_reference(&auditor::Program::command(), &page).unwrap();
}
